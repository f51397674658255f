"""Batch normalisation as torch computes it, for batches with padded frames.

Three differences to `flax.linen.BatchNorm`, all needed to equal the goldens: the
running variance is the *unbiased* one, the variance is computed in two passes
(E[x^2] - E[x]^2 cancels badly in float32), and the momentum is torch's default
(0.1 there is 0.9 here). Under `jit` over a mesh the sums run over the global batch.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


def near_one(stddev: float = 0.02) -> nn.initializers.Initializer:
    """Scales drawn from N(1, stddev), as the field initialises them."""
    normal = nn.initializers.normal(stddev)
    return lambda key, shape, dtype=jnp.float32: 1 + normal(key, shape, dtype)


class BatchNorm(nn.Module):
    """Normalises over all axes but the last `feature_axes`.

    Statistics, scale and bias are float32 whatever `dtype` is.
    """

    feature_axes: int = 1
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32
    fixed_bias: bool = False  # stays what it was: no gradient

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """x [..., features]; mask broadcasts against x and is 1 for what counts."""
        features = x.shape[-self.feature_axes :]
        mean_var = self.variable("batch_stats", "mean", jnp.zeros, features)
        running_var = self.variable("batch_stats", "var", jnp.ones, features)
        scale = self.param("scale", near_one(), features)
        bias = self.param("bias", nn.initializers.zeros_init(), features)
        if self.fixed_bias:
            bias = jax.lax.stop_gradient(bias)
        x = x.astype(jnp.float32)
        if train:
            mean, var, count = _moments(x, mask, x.ndim - self.feature_axes)
            if not self.is_initializing():
                keep, new = self.momentum, 1 - self.momentum
                unbiased = var * (count / jnp.maximum(count - 1, 1))
                mean_var.value = keep * mean_var.value + new * mean
                running_var.value = keep * running_var.value + new * unbiased
        else:
            mean, var = mean_var.value, running_var.value
        y = (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
        return y.astype(self.dtype)


def _moments(
    x: jax.Array, mask: jax.Array | None, num_axes: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    axes = tuple(range(num_axes))
    if mask is None:
        count = jnp.float32(x.size / x[(0,) * num_axes].size)
        mean = x.mean(axes)
        return mean, jnp.square(x - mean).mean(axes), count
    mask = mask.astype(jnp.float32)
    # A mask holds one value per frame: sums within a frame come first, so that it
    # multiplies few numbers (a seventh of the step's time on a CPU otherwise).
    within = tuple(axis for axis in axes if mask.shape[axis] == 1)
    size = x.size / mask.size / x[(0,) * num_axes].size  # values per frame and feature
    count = jnp.maximum(mask.sum() * size, 1)

    def masked_mean(values: jax.Array) -> jax.Array:
        return (values.sum(within, keepdims=True) * mask).sum(axes) / count

    mean = masked_mean(x)
    return mean, masked_mean(jnp.square(x - mean)), count
