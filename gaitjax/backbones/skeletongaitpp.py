"""SkeletonGait++ (Fan et al., AAAI 2024): pose heat maps and silhouettes together.

Two DeepGaitV2 stems, weights between the two for every pixel and channel, and the
p3d stages of DeepGaitV2 on the sum. Equal to the goldens of the reference
implementation; unlike it, padded batches are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.backbones.deepgaitv2 import STRIDES, check_stages, heads
from gaitjax.errors import GaitError
from gaitjax.layers.conv import Conv
from gaitjax.layers.temporal import FrameConv, Stage, per_frame

INPUTS = ("heatmaps", "sils")
SQUEEZE = 16  # times fewer channels where the weights are computed; the paper's figure


class SkeletonGaitPP(nn.Module):
    """Embeddings before the BNNeck; logits where `num_classes` is not 0."""

    num_classes: int = 0
    layers: Sequence[int] = (1, 1, 1, 1)
    channels: Sequence[int] = (64, 128, 256, 512)
    bins: Sequence[int] = (16,)
    features: int = 256
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Mapping[str, jax.Array], mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x of equal size, mask [n, t] -> embeddings [n, p, d], logits [n, p, k].

        x: `heatmaps` [n, t, h, w, 2] (bones, joints) and `sils` [n, t, h, w, 1].
        """
        maps = self._stem(x["heatmaps"], mask, "map", train)
        sils = self._stem(x["sils"], mask, "sil", train)
        y = Fusion(self.dtype, name="fusion")(sils, maps, mask, train=train)
        stages = zip(self.channels[1:], STRIDES[1:], self.layers[1:], strict=True)
        for i, (features, stride, blocks) in enumerate(stages, 2):
            stage = Stage("p3d", features, stride, blocks, self.dtype, name=f"layer{i}")
            y = stage(y, mask, train=train)
        return heads(
            y,
            mask,
            train,
            num_classes=self.num_classes,
            bins=self.bins,
            features=self.features,
        )

    def _stem(
        self, x: jax.Array, mask: jax.Array, prefix: str, train: bool
    ) -> jax.Array:
        width, blocks = self.channels[0], self.layers[0]
        conv = FrameConv(width, dtype=self.dtype, name=f"{prefix}_layer0")
        x = conv(x.astype(self.dtype), mask, train=train)
        stage = Stage("2d", width, 1, blocks, self.dtype, name=f"{prefix}_layer1")
        return stage(x, mask, train=train)  # [n, t, h, w, c]


class Fusion(nn.Module):
    """Two maps weighed against one another, by a softmax per pixel and channel."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, a: jax.Array, b: jax.Array, mask: jax.Array, *, train: bool
    ) -> jax.Array:
        """a, b [n, t, h, w, c], mask [n, t] -> [n, t, h, w, c]."""
        channels = a.shape[-1]
        few = channels // SQUEEZE
        x = jnp.concatenate([a, b], -1)  # [n, t, h, w, 2c]
        x = FrameConv(few, 1, self.dtype, name="squeeze")(x, mask, train=train)
        x = FrameConv(few, 3, self.dtype, name="mix")(x, mask, train=train)
        x = per_frame(Conv(2 * channels, 1, 1, self.dtype, name="expand"), x)
        x = x.reshape(*x.shape[:-1], 2, channels).astype(jnp.float32)
        weights = jax.nn.softmax(x, -2).astype(self.dtype)  # [n, t, h, w, 2, c]
        return a * weights[..., 0, :] + b * weights[..., 1, :]


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    layers: tuple[int, ...] = (1, 1, 1, 1),
    channels: tuple[int, ...] = (64, 128, 256, 512),
    bins: tuple[int, ...] = (16,),
    features: int = 256,
) -> SkeletonGaitPP:
    """SkeletonGait++ from a config's `backbone_args`; layers: blocks per stage."""
    where = "method_args.backbone_args"
    check_stages(where, bins, features, 4, layers=layers, channels=channels)
    if channels[0] < SQUEEZE:
        raise GaitError(
            f"{where}.channels: expected at least {SQUEEZE} in the first stage, got "
            f"{channels[0]}; the fusion has a {SQUEEZE}th of them"
        )
    return SkeletonGaitPP(
        num_classes, tuple(layers), tuple(channels), tuple(bins), features, dtype
    )
