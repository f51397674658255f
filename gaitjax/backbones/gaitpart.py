"""GaitPart (Fan et al., CVPR 2020): focal convolutions and a temporal module per part.

A plain backbone on every frame, horizontal strips, then for each strip attention over
short stretches of time (micro-motion capture) and the maximum over time, one FC per
strip. No normalisation and no classifier. Equal to the goldens of the reference
implementation; a padded batch gives what single sequences give.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.arguments import at_least
from gaitjax.backbones.gaitset import no_classifier
from gaitjax.layers.parts import SeparateFCs
from gaitjax.layers.plain import Plain, leaky_relu, parse
from gaitjax.ops.pooling import (
    horizontal_pyramid,
    max_around,
    mean_around,
    temporal_max,
)

CASIA_B = ("BC-32", "BC-32", "M", "FC-64-2", "FC-64-2", "M", "FC-128-3", "FC-128-3")


class PartConv1D(nn.Module):
    """A convolution over time per part, without bias, zeros beyond the ends.

    One parameter per part, as checkpoints of the field have them. Always float32: it
    works on strips, a fortieth of the backbone's products.
    """

    features: int
    kernel: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [n, t, p, c], 0 where padded -> [n, t, p, features]."""
        t, parts, channels = x.shape[1:]
        init = nn.initializers.xavier_uniform()
        shape = (self.kernel, channels, self.features)
        kernels = [self.param(f"part{i}", init, shape) for i in range(parts)]
        kernel = jnp.stack(kernels, 1)  # [k, p, c, features]
        half = self.kernel // 2
        x = jnp.pad(x, ((0, 0), (half, half), (0, 0), (0, 0)))
        taps = [
            jnp.einsum("ntpc,pcd->ntpd", x[:, k : k + t], kernel[k])
            for k in range(self.kernel)
        ]
        return sum(taps)


class MicroMotion(nn.Module):
    """Attention over two lengths of time, and the maximum over all of it."""

    squeeze: int = 4

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x [n, t, p, c], mask [n, t] (real frames first) -> [n, p, c]."""
        channels = x.shape[-1]
        real = mask[:, :, None, None]
        x = x * real  # zeros beyond each sequence's own ends

        def branch(kernel: int, window: int) -> jax.Array:
            def conv(features: int, kernel: int, layer: int) -> PartConv1D:
                name = f"window{window}_conv{layer}"
                return PartConv1D(features, kernel, name=name)

            y = leaky_relu(conv(channels // self.squeeze, 3, 0)(x)) * real
            attention = nn.sigmoid(conv(channels, kernel, 1)(y))
            return attention * (mean_around(x, window) + max_around(x, mask, window))

        return temporal_max(branch(1, 3) + branch(3, 5), mask)


class GaitPart(nn.Module):
    """layers: of the backbone, see `layers.plain`. squeeze: of the attention."""

    layers: Sequence[str] = CASIA_B
    bins: Sequence[int] = (16,)
    features: int = 128
    squeeze: int = 4
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] -> embeddings [n, p, d]."""
        x = Plain(self.layers, dtype=self.dtype, name="backbone")(x)
        n, t = mask.shape
        x = x.reshape(n * t, *x.shape[2:]).astype(jnp.float32)
        x = horizontal_pyramid(x, self.bins)  # [n t, p, c]
        x = x.reshape(n, t, *x.shape[1:])
        x = MicroMotion(self.squeeze, name="temporal")(x, mask)  # [n, p, c]
        return {"embeddings": SeparateFCs(self.features, name="fcs")(x)}


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    layers: tuple[str, ...] = CASIA_B,
    bins: tuple[int, ...] = (16,),
    features: int = 128,
    squeeze: int = 4,
) -> GaitPart:
    """GaitPart from a config's `backbone_args`."""
    no_classifier("gaitpart", num_classes)
    parse(layers)
    at_least(
        1,
        method_args__backbone_args__bins=min(bins, default=0),
        method_args__backbone_args__features=features,
        method_args__backbone_args__squeeze=squeeze,
    )
    return GaitPart(tuple(layers), tuple(bins), features, squeeze, dtype)
