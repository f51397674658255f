"""Encoders of several modalities, and the head that they share.

Each modality has its own encoder, or its own first stage in front of shared ones; one
feature map per sequence comes out. Strips, FCs and BNNecks then make one space of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.backbones.deepgaitv2 import Trunk
from gaitjax.backbones.gaitbase import ResNet9
from gaitjax.errors import GaitError
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.layers.pointnet import PointStrips
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max

Arrays = dict[str, jax.Array]  # by modality
TrunkName = Literal["resnet9", "deepgaitv2"]


class Encoders(nn.Module):
    """A feature map of every modality.

    trunk: the network of images, made by `trunk_of`. shared: where not None, what all
    modalities go through after their own trunk. points: the network of point clouds.
    """

    trunk: Callable[..., nn.Module]
    points: Callable[..., nn.Module]
    shared: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(
        self, frames: Mapping[str, jax.Array], mask: jax.Array, *, train: bool
    ) -> Arrays:
        """Frames [n, t, h, w, c] or points [n, t, v, 3] by modality, mask [n, t] ->
        maps [n, h', w', c'] by modality."""
        maps = {}
        for key, x in frames.items():
            trunk = self.points if key == "points" else self.trunk
            maps[key] = trunk(name=key)(x, mask, train=train)
        if self.shared is not None:
            together, split = join(maps)
            many = jnp.repeat(mask, len(maps), axis=0)
            shared = self.shared(name="shared")
            maps = split(shared(together, many, train=train))
        return {key: temporal_max(x, mask) for key, x in maps.items()}


def trunk_of(
    name: TrunkName,
    channels: Sequence[int],
    strides: Sequence[int],
    blocks: Sequence[int] | None,
    dtype: jnp.dtype,
    stem: bool = True,
) -> Callable[..., nn.Module]:
    """Makes trunks [n, t, h, w, c] -> [n, t, h', w', channels[-1]].

    blocks: per stage, None is one each. stem: whether it starts from pictures.
    """
    blocks = tuple(blocks or (1,) * len(channels))
    make = {"resnet9": ResNet9, "deepgaitv2": Trunk}[name]
    sizes = dict(channels=tuple(channels), strides=tuple(strides), blocks=blocks)
    return functools.partial(make, **sizes, stem=stem, dtype=dtype)


def encoders_of(
    name: TrunkName,
    channels: Sequence[int],
    strides: Sequence[int],
    blocks: Sequence[int] | None,
    bins: Sequence[int],
    shared_stages: int,
    dtype: jnp.dtype,
) -> Encoders:
    """shared_stages: how many of the last stages all modalities go through."""
    own = len(channels) - shared_stages
    if not 0 < own <= len(channels):
        raise GaitError(
            f"method_args.shared_stages={shared_stages}: expected 0 to "
            f"{len(channels) - 1}, so that every modality has a first stage of its own"
        )
    blocks = tuple(blocks or (1,) * len(channels))
    if len(blocks) != len(channels):
        raise GaitError(
            f"method_args has {len(channels)} channels and {len(blocks)} blocks; give "
            "one number of blocks per stage, or none"
        )
    stages = [
        trunk_of(name, channels[part], strides[part], blocks[part], dtype, stem)
        for part, stem in ((slice(own), True), (slice(own, None), False))
    ]
    points = functools.partial(PointStrips, tuple(channels), max(bins), dtype=dtype)
    return Encoders(stages[0], points, stages[1] if shared_stages else None)


def join(
    arrays: Mapping[str, jax.Array],
) -> tuple[jax.Array, Callable[[jax.Array], Arrays]]:
    """[n, ...] of m modalities -> [n m, ...], and what undoes it.

    Modalities lie within sequences, so that a batch sharded over n stays so.
    """
    shapes = {key: x.shape[1:] for key, x in arrays.items()}
    if len(set(shapes.values())) > 1:
        sizes = " and ".join(f"{key} of {list(s)}" for key, s in shapes.items())
        raise GaitError(
            f"feature maps differ in shape, {sizes}; give both modalities frames of "
            "one size (data.cut takes columns from all that it names)"
        )
    n, m = len(next(iter(arrays.values()))), len(arrays)
    x = jnp.stack(list(arrays.values()), 1).reshape(n * m, *next(iter(shapes.values())))

    def split(y: jax.Array) -> Arrays:
        y = y.reshape(n, m, *y.shape[1:])
        return {key: y[:, i] for i, key in enumerate(arrays)}

    return x, split


class SharedHead(nn.Module):
    """Strips, FCs and BNNecks that all modalities go through in one call.

    In training the BNNecks' statistics are therefore those of both modalities
    together, as the running ones are: not stated in the DiffCrossGait paper. Two
    calls would normalise each modality by itself, which takes away the very
    difference between them, and the test could not do the same.

    centre: at test time each modality's embeddings lose their running mean (not in the
    paper). A constant between the modalities is nothing that a loss on distances
    across them minds, but it orders a gallery by what lies along it. Training goes on
    as without: with the means of its batches taken away it learnt more slowly
    (experiments/diffcrossgait).
    """

    num_classes: int
    bins: Sequence[int]
    features: int
    centre: bool = False

    @nn.compact
    def __call__(
        self, maps: Mapping[str, jax.Array], *, train: bool
    ) -> dict[str, Arrays]:
        """Feature maps [n, h, w, c] -> embeddings [n, p, d], logits [n, p, k], each
        by modality; maps may differ in h and w. No logits where num_classes is 0."""
        strips, by_modality = join(
            {
                key: horizontal_pyramid(x.astype(jnp.float32), self.bins)
                for key, x in maps.items()
            }
        )  # [n m, p, c]
        embeddings = SeparateFCs(self.features, name="fcs")(strips)
        if self.centre:
            embeddings = Centre(len(maps), name="centre")(embeddings, train=train)
        outputs = {"embeddings": embeddings}
        if self.num_classes:
            necks = SeparateBNNecks(self.num_classes, name="necks")
            _, outputs["logits"] = necks(outputs["embeddings"], train=train)
        return {name: by_modality(x) for name, x in outputs.items()}


class Centre(nn.Module):
    """Learns the mean of each of m modalities in training, takes it away after it."""

    modalities: int
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """x [n m, p, d], modalities within sequences -> the same shape."""
        y = x.reshape(-1, self.modalities, *x.shape[1:])  # [n, m, p, d]
        running = self.variable("batch_stats", "mean", jnp.zeros, y.shape[1:])
        if not train:
            return (y - running.value).reshape(x.shape)
        if not self.is_initializing():
            mean = jax.lax.stop_gradient(y.mean(0))
            kept = self.momentum * running.value
            running.value = kept + (1 - self.momentum) * mean
        return x
