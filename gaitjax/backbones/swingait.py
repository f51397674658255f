"""SwinGait (Fan et al. 2023, "Exploring Deep Models for Practical Gait Recognition").

The first stages of DeepGaitV2-P3D, then two stages of a video Swin transformer on maps
of 15 x 10. Equal to the goldens of the reference implementation; unlike it, padded
batches are exact (`layers.swin` says how).
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.arguments import between
from gaitjax.backbones.deepgaitv2 import STRIDES, check_stages
from gaitjax.errors import GaitError
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.layers.swin import SwinBlock, layer_norm, linear
from gaitjax.layers.temporal import FrameConv, Stage, per_frame
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max

SIZE = (30, 20)  # of the frames that the transformer cuts into patches of 2 x 2


class SwinGait(nn.Module):
    """Embeddings before the BNNeck; logits where `num_classes` is not 0.

    layers: blocks of the two convolutional and the two transformer stages; channels
    likewise. heads: of the transformer stages.
    """

    num_classes: int = 0
    layers: Sequence[int] = (1, 1, 2, 2)
    channels: Sequence[int] = (64, 128, 256, 512)
    heads: Sequence[int] = (16, 32)
    bins: Sequence[int] = (15,)
    features: int = 256
    drop_path: float = 0.1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] -> embeddings [n, p, d], logits [n, p, k]."""
        stem = FrameConv(self.channels[0], dtype=self.dtype, name="layer0")
        x = stem(x.astype(self.dtype), mask, train=train)
        for i, mode in enumerate(("2d", "p3d")):
            stage = Stage(
                mode,
                self.channels[i],
                STRIDES[i],
                self.layers[i],
                self.dtype,
                name=f"layer{i + 1}",
            )
            x = stage(x, mask, train=train)
        x = resize(x, SIZE)  # [n, t, 30, 20, c]
        transformer = Transformer(
            self.layers[2:],
            self.channels[2:],
            self.heads,
            self.drop_path,
            self.dtype,
            name="transformer",
        )
        x = transformer(x, mask, train=train)  # [n, t, 15, 10, c]
        x = temporal_max(x, mask)  # [n, 15, 10, c]
        x = horizontal_pyramid(x.astype(jnp.float32), self.bins)  # [n, p, c]
        return self._heads(x, train)

    def _heads(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
        # A part too many, the last one again, dropped at the end: the reference starts
        # from a DeepGaitV2 of 16 parts, and checkpoints hold 16. Nothing else sees it.
        x = jnp.concatenate([x, x[:, -1:]], 1)
        embeddings = SeparateFCs(self.features, name="fcs")(x)  # [n, p + 1, d]
        out = {"embeddings": embeddings[:, :-1]}
        if self.num_classes:
            necks = SeparateBNNecks(self.num_classes, name="necks")
            _, logits = necks(embeddings, train=train)  # [n, p + 1, k]
            out["logits"] = logits[:, :-1]
        return out


class Transformer(nn.Module):
    """Patches of 2 x 2, and a stage per entry of the fields. No spatial merging."""

    layers: Sequence[int]
    channels: Sequence[int]
    heads: Sequence[int]
    drop_path: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, t, h / 2, w / 2, channels[-1]]."""
        patches = nn.Conv(
            self.channels[0],
            (2, 2),
            strides=2,
            padding="VALID",
            dtype=self.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
            name="patches",
        )
        x = layer_norm(per_frame(patches, x), "patches_norm", self.dtype)
        rates = iter(np.linspace(0, self.drop_path, sum(self.layers)).tolist())
        for stage, features in enumerate(self.channels):
            if stage:
                x = layer_norm(x, f"widen{stage}_norm", self.dtype)
                x = linear(features, f"widen{stage}", self.dtype, use_bias=False)(x)
            for i in range(self.layers[stage]):
                block = SwinBlock(
                    self.heads[stage],
                    i % 2 == 1,
                    next(rates),
                    self.dtype,
                    name=f"stage{stage}_block{i}",
                )
                x = block(x, mask, train=train)
        return layer_norm(x, "norm", self.dtype)


def resize(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Bilinear, corners on corners: x [n, t, h, w, c] -> [n, t, *size, c]."""
    rows, columns = (
        jnp.asarray(_between(old, new), x.dtype)
        for old, new in zip(x.shape[2:4], size, strict=True)
    )
    return jnp.einsum("nthwc,ah,bw->ntabc", x, rows, columns)


def _between(old: int, new: int) -> np.ndarray:
    """Weights [new, old] of linear interpolation, first and last points kept."""
    places = np.linspace(0, old - 1, new)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    layers: tuple[int, ...] = (1, 1, 2, 2),
    channels: tuple[int, ...] = (64, 128, 256, 512),
    heads: tuple[int, ...] = (16, 32),
    bins: tuple[int, ...] = (15,),
    features: int = 256,
    drop_path: float = 0.1,
) -> SwinGait:
    """SwinGait from a config's `backbone_args`; layers: blocks per stage."""
    where = "method_args.backbone_args"
    check_stages(where, bins, features, 4, layers=layers, channels=channels)
    check_stages(where, bins, features, 2, heads=heads)
    between(0, 0.99, method_args__backbone_args__drop_path=drop_path)
    for width, number in zip(channels[2:], heads, strict=True):
        if width % number:
            raise GaitError(
                f"{where}: {width} channels do not divide into {number} heads; choose "
                "heads that divide the last two channels"
            )
    return SwinGait(
        num_classes,
        tuple(layers),
        tuple(channels),
        tuple(heads),
        tuple(bins),
        features,
        drop_path,
        dtype,
    )
