"""DeepGaitV2 (Fan et al. 2023, "Exploring Deep Models for Practical Gait Recognition").

A residual network whose later stages may look across frames, maximum over time,
horizontal strips, one FC per strip, and a BNNeck classifier. On two-channel heat maps
it is SkeletonGait (Fan et al., AAAI 2024). Equal to the goldens of the reference
implementation; unlike it, padded batches are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.arguments import at_least, unknown
from gaitjax.errors import GaitError
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.layers.temporal import FrameConv, Stage
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max

STRIDES = (1, 2, 2, 1)


class Trunk(nn.Module):
    """DeepGaitV2 up to its last feature maps; the first stage is always 2d.

    blocks: per stage. stem: False for stages that go on where another network stopped.
    remat: recompute each stage in the backward pass, which saves memory.
    """

    mode: str = "p3d"
    blocks: Sequence[int] = (1, 1, 1, 1)
    channels: Sequence[int] = (64, 128, 256, 512)
    strides: Sequence[int] = STRIDES
    stem: bool = True
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, t, h', w', channels[-1]]."""

        def call(stage: Stage, x: jax.Array, mask: jax.Array) -> jax.Array:
            return stage(x, mask, train=train)

        heavy = nn.remat(call) if self.remat else call
        x = x.astype(self.dtype)
        if self.stem:
            stem = FrameConv(self.channels[0], dtype=self.dtype, name="layer0")
            x = stem(x, mask, train=train)
        stages = zip(self.channels, self.strides, self.blocks, strict=True)
        for i, (features, stride, blocks) in enumerate(stages, 1):
            mode = "2d" if i == 1 and self.stem else self.mode
            stage = Stage(mode, features, stride, blocks, self.dtype, name=f"layer{i}")
            x = heavy(stage, x, mask)
        return x


class DeepGaitV2(nn.Module):
    """Embeddings before the BNNeck; logits where `num_classes` is not 0.

    mode: "2d", "3d" or "p3d", of all stages but the first, which is 2d.
    unit_embeddings: outside training, give what the BNNeck classifies.
    """

    num_classes: int = 0
    mode: str = "p3d"
    layers: Sequence[int] = (1, 1, 1, 1)
    channels: Sequence[int] = (64, 128, 256, 512)
    bins: Sequence[int] = (16,)
    features: int = 256
    unit_embeddings: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] -> embeddings [n, p, d], logits [n, p, k].

        h and w are such that the last feature map can be cut into `bins`.
        """
        trunk = Trunk(self.mode, self.layers, self.channels, dtype=self.dtype)
        nn.share_scope(self, trunk)  # its layers are ours: layer0 to layer4
        return heads(
            trunk(x, mask, train=train),
            mask,
            train,
            num_classes=self.num_classes,
            bins=self.bins,
            features=self.features,
            unit_embeddings=self.unit_embeddings,
        )


def heads(
    x: jax.Array,
    mask: jax.Array,
    train: bool,
    *,
    num_classes: int,
    bins: Sequence[int],
    features: int,
    unit_embeddings: bool = False,
) -> dict[str, jax.Array]:
    """Feature maps [n, t, h, w, c] -> a network's outputs; inside `nn.compact`."""
    x = temporal_max(x, mask)  # [n, h, w, c]
    x = horizontal_pyramid(x.astype(jnp.float32), bins)  # [n, p, c]
    embeddings = SeparateFCs(features, name="fcs")(x)  # [n, p, d]
    if not num_classes:
        return {"embeddings": embeddings}
    necks = SeparateBNNecks(num_classes, name="necks")
    unit, logits = necks(embeddings, train=train)  # [n, p, d], [n, p, k]
    if unit_embeddings and not train:  # the triplet loss takes those before
        embeddings = unit
    return {"embeddings": embeddings, "logits": logits}


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    mode: Literal["2d", "3d", "p3d"] = "p3d",
    layers: tuple[int, ...] = (1, 1, 1, 1),
    channels: tuple[int, ...] = (64, 128, 256, 512),
    bins: tuple[int, ...] = (16,),
    features: int = 256,
    unit_embeddings: bool = False,
) -> DeepGaitV2:
    """DeepGaitV2 from a config's `backbone_args`; layers: blocks per stage."""
    where = "method_args.backbone_args"
    if mode not in ("2d", "3d", "p3d"):
        raise GaitError(unknown(mode, ("2d", "3d", "p3d"), f"{where}.mode"))
    check_stages(where, bins, features, 4, layers=layers, channels=channels)
    if unit_embeddings and not num_classes:
        raise GaitError(
            f"{where}.unit_embeddings needs the BNNeck, and ce_weight=0 leaves it out; "
            "set a ce_weight or drop unit_embeddings"
        )
    return DeepGaitV2(
        num_classes,
        mode,
        tuple(layers),
        tuple(channels),
        tuple(bins),
        features,
        unit_embeddings,
        dtype,
    )


def check_stages(
    where: str,
    bins: Sequence[int],
    features: int,
    num_stages: int,
    **sizes: Sequence[int],
) -> None:
    """Raises GaitError for sizes that make no network; `where` is their section.

    sizes: what must have a positive entry per stage.
    """
    prefix = where.replace(".", "__")
    for name, values in sizes.items():
        if len(values) != num_stages:
            raise GaitError(
                f"{where}.{name}: expected {num_stages} numbers, got {len(values)}; "
                "give one per stage"
            )
    for name, values in {**sizes, "bins": bins}.items():
        at_least(1, **{f"{prefix}__{name}": min(values, default=0)})
    at_least(1, **{f"{prefix}__features": features})
