"""Layers with weights of their own for every body part (horizontal strip)."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.layers.norm import BatchNorm


def part_xavier(key: jax.Array, shape: tuple, dtype: jnp.dtype = jnp.float32):
    """Xavier-uniform as torch applies it to a [p, c_in, c_out] tensor.

    torch takes the last axes for a receptive field: fan_in = c_in c_out and
    fan_out = p c_out, a far smaller bound than a Xavier per part has. The field's
    recipes are tuned with it.
    """
    parts, num_in, num_out = shape
    bound = (6 / ((num_in + parts) * num_out)) ** 0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class SeparateFCs(nn.Module):
    """One matrix per part, no bias (GaitSet, section 3.4).

    Always float32: its outputs are what distances are taken of, and it is a small
    share of a network's products.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [n, p, c] -> float32 [n, p, features]."""
        shape = (x.shape[1], x.shape[2], self.features)
        kernel = self.param("kernel", part_xavier, shape)
        return jnp.einsum("npc,pcd->npd", x.astype(jnp.float32), kernel)


class SeparateBNNecks(nn.Module):
    """Batch norm over all parts and dims, then a cosine classifier per part.

    Luo et al. 2019 (BNNeck), one classifier per part. Always float32: the logits
    are multiplied by 16 in the loss, which half precision does not survive.
    """

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """x [n, p, d] -> unit features [n, p, d], logits in [-1, 1] [n, p, classes]."""
        shape = (x.shape[1], x.shape[2], self.num_classes)
        kernel = self.param("kernel", part_xavier, shape)
        x = BatchNorm(feature_axes=2, name="bn")(x, train=train)
        x = unit(x, axis=-1)
        # Accelerators round float32 products to TF32 or bf16 unless told otherwise.
        logits = jnp.einsum(
            "npd,pdc->npc",
            x,
            unit(kernel, axis=1),
            precision=jax.lax.Precision.HIGHEST,
        )
        return x, logits


def unit(x: jax.Array, axis: int, epsilon: float = 1e-12) -> jax.Array:
    """x divided by its length along an axis, as torch's `F.normalize` does."""
    square = jnp.square(x).sum(axis, keepdims=True)
    # sqrt has no gradient at 0: a zero vector stays zero, and so does its gradient.
    length = jnp.sqrt(jnp.where(square > 0, square, 1))
    return x / jnp.where(square > 0, jnp.maximum(length, epsilon), epsilon)
