"""Recognition across two modalities, the plainest way: who was seen by the camera,
by the LiDAR?

One encoder per modality, then FCs and BNNecks that both share, which makes one space
of their embeddings. Trained with a batch-all triplet between the modalities in both
directions and cross-entropy on both. This is L_disc of DiffCrossGait without its
diffusion. With `shared_stages=3, shared_head=False` it is MMGait's baseline: a first
stage per modality, then shared ones, and FCs and BNNecks for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.backbones.gaitbase import check_sizes
from gaitjax.data import schema
from gaitjax.errors import GaitError
from gaitjax.losses.classification import part_cross_entropy
from gaitjax.losses.triplet import triplet_from_distances
from gaitjax.methods.api import Batch, Info, Method, Tree
from gaitjax.methods.streams import (
    Arrays,
    Encoders,
    SharedHead,
    TrunkName,
    encoders_of,
)
from gaitjax.methods.supervised import as_input, check_input
from gaitjax.ops.distance import part_distances


def make(
    info: Info,
    *,
    dtype: jnp.dtype = jnp.float32,
    inputs: tuple[str, ...] = ("sils", "ranges"),
    binary: tuple[str, ...] = (),
    encoder: TrunkName = "resnet9",
    channels: tuple[int, ...] = (64, 128, 256, 512),
    strides: tuple[int, ...] = (1, 2, 2, 1),
    blocks: tuple[int, ...] | None = None,
    shared_stages: int = 0,
    shared_head: bool = True,
    bins: tuple[int, ...] = (16,),
    features: int = 256,
    downsample: int = 1,
    margin: float = 0.2,
    triplet_weight: float = 1.0,
    ce_weight: float = 1.0,
    ce_scale: float = 16.0,
    ce_smoothing: float = 0.1,
) -> Method:
    """inputs: the two modalities; `points` get a small PointNet.

    binary: those of which only the outline is taken. downsample: of both, see
    `ops.frames`. encoder: what makes maps of images; channels, strides, blocks: its
    stages. shared_stages: how many of the last ones both modalities go through.
    shared_head: one of FCs and BNNecks for both. Weights are per direction and per
    modality (all 1 in MMGait); 0 switches off.
    """
    check_inputs(info, inputs, binary, downsample)
    check_sizes("method_args", channels, strides, bins, features)
    encoders = encoders_of(
        encoder, channels, strides, blocks, bins, shared_stages, dtype
    )
    num_classes = info.num_classes if ce_weight else 0
    model = CrossModal(num_classes, encoders, tuple(bins), features, shared_head)

    def frames(batch: Batch) -> Arrays:
        return frames_of(batch, inputs, binary, downsample)

    def run(variables: Tree, batch: Batch, **kwargs):
        return model.apply(variables, frames(batch), batch["mask"], **kwargs)

    def init(rng: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        variables = dict(model.init(rng, frames(batch), batch["mask"], train=False))
        return variables.pop("params"), variables

    def loss(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, dict]]:
        variables = {"params": params, **model_state}
        mutable = tuple(model_state)
        out, model_state = run(variables, batch, train=True, mutable=mutable)
        total, metrics = discriminative(out, batch["label"])
        return total, (model_state, metrics)

    def embed(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array | None = None
    ) -> Arrays:
        out = run({"params": params, **model_state}, batch, train=False)
        return out["embeddings"]

    discriminative = discriminative_loss(
        margin, triplet_weight, ce_weight, ce_scale, ce_smoothing
    )
    return Method(
        train_keys=tuple(inputs),
        embed_keys=tuple(inputs),
        init=init,
        loss=loss,
        embed=embed,
    )


def check_inputs(
    info: Info, inputs: Sequence[str], binary: Sequence[str], downsample: int
) -> None:
    """Raises GaitError unless these are two modalities of the data."""
    if len(inputs) != 2 or len(set(inputs)) != 2:
        raise GaitError(
            f"method_args.inputs: expected two modalities, got {', '.join(inputs)}; "
            "give two different ones, or take the method supervised for one"
        )
    for key in inputs:
        if key not in info.shapes:
            raise GaitError(
                f"method_args.inputs={key}, but the data has {', '.join(info.shapes)}; "
                f"expected {' and '.join(inputs)} of every sequence: prepare the set "
                "with both, or name two that it has"
            )
        check_input(info, key, downsample, "inputs")
    for key in binary:
        if key not in inputs or not schema.modality(key).image:
            raise GaitError(
                f"method_args.binary: expected images among {', '.join(inputs)}, got "
                f"{key}; leave it out"
            )


def frames_of(
    batch: Batch, inputs: Sequence[str], binary: Sequence[str], downsample: int
) -> Arrays:
    """What encoders take of a batch; of `binary` modalities the outline alone."""
    frames = {}
    for key in inputs:
        x = batch[key]
        if key in binary:
            x = outline(x)
        frames[key] = as_input(key, x, downsample)
    return frames


def outline(frames: jax.Array) -> jax.Array:
    """u8 [n, t, h, w, c] -> u8 [n, t, h, w]: 255 wherever a channel is not 0.

    A LiDAR range view becomes a pseudo-silhouette.
    """
    lit = frames > 0
    return jnp.where(lit.any(-1) if frames.ndim == 5 else lit, 255, 0).astype(jnp.uint8)


def discriminative_loss(
    margin: float,
    triplet_weight: float,
    ce_weight: float,
    ce_scale: float,
    ce_smoothing: float,
) -> Callable[[Mapping[str, Arrays], jax.Array], tuple[jax.Array, dict]]:
    """Of a network's outputs and labels: `cross_triplet` + `cross_entropies`."""

    def loss(
        out: Mapping[str, Arrays], labels: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        total, metrics = jnp.zeros(()), {}
        if triplet_weight:
            term, metrics = cross_triplet(out["embeddings"], labels, margin=margin)
            total += triplet_weight * term
        if ce_weight:
            options = dict(scale=ce_scale, smoothing=ce_smoothing)
            term, values = cross_entropies(out["logits"], labels, **options)
            total += ce_weight * term
            metrics |= values
        return total, metrics

    return loss


def cross_triplet(
    embeddings: Mapping[str, jax.Array], labels: jax.Array, *, margin: float = 0.2
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The sum of both directions of the triplet loss between two modalities.

    embeddings: two of [n, p, d], row i of both being the same sequence; labels i32
    [n]. Anchors are of one modality, positives and negatives of the other; among
    the positives is the anchor's own sequence. Metrics: those of `triplet` under
    triplet_<modality of the anchors>/, and triplet/mean_dist, which both share.
    """
    (first, x), (second, y) = embeddings.items()
    distances = part_distances(x, y)  # [p, n, n]
    total, metrics = jnp.zeros(()), {"triplet/mean_dist": distances.mean()}
    for anchors, d in ((first, distances), (second, distances.swapaxes(1, 2))):
        term, values = triplet_from_distances(d, labels, labels, margin=margin)
        total += term
        for key in ("loss", "hard", "nonzero"):
            metrics[f"triplet_{anchors}/{key}"] = values[key]
    return total, metrics


def cross_entropies(
    logits: Mapping[str, jax.Array], labels: jax.Array, **options: float
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The sum over modalities of `part_cross_entropy`, logits [n, p, k] each."""
    total, metrics = jnp.zeros(()), {}
    for modality, x in logits.items():
        term, values = part_cross_entropy(x, labels, **options)
        total += term
        metrics |= {f"ce_{modality}/{key}": value for key, value in values.items()}
    return total, metrics


class CrossModal(nn.Module):
    """Encoders, and a head that they share, or one each."""

    num_classes: int
    encoders: Encoders
    bins: Sequence[int]
    features: int
    shared_head: bool = True

    @nn.compact
    def __call__(
        self, frames: Mapping[str, jax.Array], mask: jax.Array, *, train: bool
    ) -> dict[str, Arrays]:
        """Frames by modality, mask [n, t] -> see `SharedHead`."""
        maps = self.encoders(frames, mask, train=train)

        def head(maps: Arrays, name: str) -> dict[str, Arrays]:
            made = SharedHead(self.num_classes, self.bins, self.features, name=name)
            return made(maps, train=train)

        if self.shared_head:
            return head(maps, "head")
        outs = [head({key: x}, f"head_{key}") for key, x in maps.items()]
        return {
            name: {key: x for out in outs for key, x in out[name].items()}
            for name in outs[0]
        }
