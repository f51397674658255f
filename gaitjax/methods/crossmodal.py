"""Recognition across two modalities, the plainest way: who was seen by the camera,
by the LiDAR?

One encoder per modality, then FCs and BNNecks that both share, which makes one space
of their embeddings. Trained with a batch-all triplet between the modalities in both
directions and cross-entropy on both. This is L_disc of DiffCrossGait without its
diffusion, and the baseline of MMGait but for its layers (there stages 2-4 are
shared, FCs and BNNecks are not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.backbones.gaitbase import ResNet9, check_sizes
from gaitjax.errors import GaitError
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.losses.classification import part_cross_entropy
from gaitjax.losses.triplet import triplet_from_distances
from gaitjax.methods.api import Batch, Info, Method, Tree
from gaitjax.methods.supervised import check_input
from gaitjax.ops.distance import part_distances
from gaitjax.ops.frames import network_input
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max

Arrays = dict[str, jax.Array]  # by modality


def make(
    info: Info,
    *,
    dtype: jnp.dtype = jnp.float32,
    inputs: tuple[str, ...] = ("sils", "ranges"),
    channels: tuple[int, ...] = (64, 128, 256, 512),
    strides: tuple[int, ...] = (1, 2, 2, 1),
    bins: tuple[int, ...] = (16,),
    features: int = 256,
    downsample: int = 1,
    margin: float = 0.2,
    triplet_weight: float = 1.0,
    ce_weight: float = 1.0,
    ce_scale: float = 16.0,
    ce_smoothing: float = 0.1,
) -> Method:
    """inputs: the two modalities. downsample: of both, see `ops.frames`.

    channels, strides, bins, features: of both encoders, as in `backbones.gaitbase`.
    Weights are per direction and per modality (all 1 in MMGait); 0 switches off.
    """
    if len(inputs) != 2 or len(set(inputs)) != 2:
        raise GaitError(
            f"method_args.inputs: expected two modalities, got {', '.join(inputs)}; "
            "give two different ones, or take the method supervised for one"
        )
    for key in inputs:
        check_input(info, key, downsample, "inputs")
    check_sizes("method_args", channels, strides, bins, features)
    model = CrossModal(
        info.num_classes if ce_weight else 0,
        tuple(channels),
        tuple(strides),
        tuple(bins),
        features,
        dtype,
    )

    def run(variables: Tree, batch: Batch, **kwargs):
        return model.apply(variables, frames(batch), batch["mask"], **kwargs)

    def frames(batch: Batch) -> Arrays:
        return {key: network_input(batch[key], downsample) for key in inputs}

    def init(rng: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        variables = dict(model.init(rng, frames(batch), batch["mask"], train=False))
        return variables.pop("params"), variables

    def loss(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, dict]]:
        variables = {"params": params, **model_state}
        mutable = tuple(model_state)
        out, model_state = run(variables, batch, train=True, mutable=mutable)
        total, metrics = jnp.zeros(()), {}
        if triplet_weight:
            term, metrics = cross_triplet(
                out["embeddings"], batch["label"], margin=margin
            )
            total += triplet_weight * term
        if ce_weight:
            term, values = cross_entropies(
                out["logits"], batch["label"], scale=ce_scale, smoothing=ce_smoothing
            )
            total += ce_weight * term
            metrics |= values
        return total, (model_state, metrics)

    def embed(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array | None = None
    ) -> Arrays:
        out = run({"params": params, **model_state}, batch, train=False)
        return out["embeddings"]

    return Method(
        train_keys=tuple(inputs),
        embed_keys=tuple(inputs),
        init=init,
        loss=loss,
        embed=embed,
    )


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


class Encoder(nn.Module):
    """ResNet9 on every frame of one modality and the maximum over time."""

    channels: Sequence[int]
    strides: Sequence[int]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, h', w', channels[-1]]."""
        resnet = ResNet9(self.channels, self.strides, dtype=self.dtype, name="backbone")
        return temporal_max(resnet(x, mask, train=train), mask)


class SharedHead(nn.Module):
    """Strips, FCs and BNNecks that all modalities go through in one call.

    In training the BNNecks' statistics are therefore those of both modalities
    together, as the running ones are: not stated in the DiffCrossGait paper. Two
    calls would normalise each modality by itself, which takes away the very
    difference between them, and the test could not do the same.
    """

    num_classes: int
    bins: Sequence[int]
    features: int

    @nn.compact
    def __call__(
        self, maps: Mapping[str, jax.Array], *, train: bool
    ) -> dict[str, Arrays]:
        """Feature maps [n, h, w, c] -> embeddings [n, p, d], logits [n, p, k], each
        by modality; maps may differ in h and w. No logits where num_classes is 0."""
        strips = [
            horizontal_pyramid(x.astype(jnp.float32), self.bins) for x in maps.values()
        ]  # [n, p, c] each
        # Modalities lie within sequences, so that a batch sharded over n stays so.
        n, m = len(strips[0]), len(strips)
        x = jnp.stack(strips, 1).reshape(n * m, *strips[0].shape[1:])  # [n m, p, c]
        outputs = {"embeddings": SeparateFCs(self.features, name="fcs")(x)}
        if self.num_classes:
            necks = SeparateBNNecks(self.num_classes, name="necks")
            _, outputs["logits"] = necks(outputs["embeddings"], train=train)

        def by_modality(x: jax.Array) -> Arrays:
            x = x.reshape(n, m, *x.shape[1:])
            return {key: x[:, i] for i, key in enumerate(maps)}

        return {name: by_modality(x) for name, x in outputs.items()}


class CrossModal(nn.Module):
    """An encoder of its own for every modality, and a head that they share."""

    num_classes: int
    channels: Sequence[int]
    strides: Sequence[int]
    bins: Sequence[int]
    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, frames: Mapping[str, jax.Array], mask: jax.Array, *, train: bool
    ) -> dict[str, Arrays]:
        """Frames [n, t, h, w, c] by modality, mask [n, t] -> see `SharedHead`."""
        maps = {}
        for key, x in frames.items():
            encoder = Encoder(
                self.channels, self.strides, self.dtype, name=f"encoder_{key}"
            )
            maps[key] = encoder(x, mask, train=train)
        head = SharedHead(self.num_classes, self.bins, self.features, name="head")
        return head(maps, train=train)
