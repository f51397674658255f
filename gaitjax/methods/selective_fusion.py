"""Selective Fusion (Ren et al., arXiv 2303.10772): recognition learnt without labels.

Every round all sequences are embedded and clustered, and the clusters serve as people:
a memory holds their centroids, a batch is drawn from them, and each embedding is drawn
to its own centroid and away from all others (ClusterNCE; the baseline, Cluster-Contrast
of Dai et al., ACCV 2022). The memory follows the embeddings. After some rounds two
fusions begin:

- clusters of one person in several clothes (SCF): what a cluster looks like in other
  clothes says which other clusters move with it;
- sequences seen from the front or the back (SSF): their clusters are dissolved, and the
  sequences go to the nearest of the others, fewer at first.

Nothing here sees a label of the set: `data.label = "none"`. What the paper leaves open
is in docs/unsupervised.md.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.arguments import at_least, between
from gaitjax.errors import GaitError
from gaitjax.losses import contrast
from gaitjax.methods.api import Batch, Info, Method, Tree
from gaitjax.methods.supervised import as_input, check_input, make_backbone
from gaitjax.ops import morphology
from gaitjax.retrieval import clusters, fusion


def make(
    info: Info,
    *,
    dtype: jnp.dtype = jnp.float32,
    backbone: str = "gaitset",
    backbone_args: Mapping | None = None,
    downsample: int = 1,
    view_base: Mapping | None = None,
    objective: Literal["clusters", "instances"] = "clusters",
    fusion_round: int | None = 50,
    fuse_clothes: bool = True,
    fuse_views: bool = True,
    clusterer: Literal["infomap", "dbscan"] = "infomap",
    neighbours: int = 40,
    similarity: float = 0.7,
    fused_similarity: float = 0.3,
    smallest: int = 4,
    eps: float = 0.5,
    min_samples: int = 4,
    capacity: int = 2048,
    temperature: float = 0.05,
    momentum_max: float = 0.5,
    momentum_min: float = 0.1,
    support: int = 2,
    clothes: float = 0.5,
    frontal_share: float = 0.8,
    view_similarity: float = 0.7,
    rate: float = 0.005,
    adaptive: bool = True,
) -> Method:
    """view_base: a network that gives the classes of `data.label = "frontal"`, wanted
    by fuse_views.

    objective: `instances` is the rival without clusters (GaitSSB's way: two clips of a
    sequence against those of others). fusion_round: the first with fusion (None:
    never). clusterer, neighbours, similarity, smallest, eps, min_samples: see
    `retrieval.clusters`; fused_similarity takes the place of similarity in the rounds
    with fusion. capacity: places of the
    memory. temperature, momentum_*: of ClusterNCE, see `losses.contrast`. support:
    clusters that move together, itself included. clothes: probability of the
    augmentation. frontal_share, view_similarity, rate, adaptive: of `fusion.dissolve`.
    """
    at_least(1, method_args__support=support, method_args__min_samples=min_samples)
    at_least(1, method_args__neighbours=neighbours, method_args__capacity=capacity)
    at_least(0, method_args__fusion_round=fusion_round, method_args__smallest=smallest)
    between(0, 1, method_args__clothes=clothes, method_args__momentum_max=momentum_max)
    between(0, 1, method_args__momentum_min=momentum_min)
    between(-1, 1, method_args__similarity=similarity)
    between(-1, 1, method_args__fused_similarity=fused_similarity)
    between(-1, 1, method_args__view_similarity=view_similarity)
    between(0, 1, method_args__frontal_share=frontal_share, method_args__rate=rate)
    between(0, 1, method_args__eps=eps)
    for key, value in (("eps", eps), ("temperature", temperature)):
        if not value > 0:
            raise GaitError(
                f"method_args.{key}: expected more than 0, got {value}; raise it"
            )
    check_input(info, "sils", downsample, "downsample")
    views = fuse_views and fusion_round is not None and objective == "clusters"
    frontal = info.bases.get("view_base")
    if views and frontal is None:
        raise GaitError(
            "selective_fusion with fuse_views wants a classifier of views: set "
            "method_args.view_base.workdir to a run with data.label=frontal, or "
            "fuse_views=False"
        )
    if views and set(frontal.shapes.values()) != {(1, 2)}:
        raise GaitError(
            "method_args.view_base wants one view of 1 x 2 numbers, the two classes, "
            f"got {dict(frontal.shapes)}; train it with data.label=frontal and "
            "method_args.gives=classes"
        )
    rounds = Rounds(
        alone=objective == "instances",
        fusion_round=fusion_round,
        clothes=fuse_clothes,
        views=views,
        clusterer=clusterer,
        neighbours=neighbours,
        similarity=similarity,
        fused_similarity=fused_similarity,
        smallest=smallest,
        eps=eps,
        min_samples=min_samples,
        capacity=capacity,
        support=support,
        frontal_share=frontal_share,
        view_similarity=view_similarity,
        rate=rate,
        adaptive=adaptive,
    )
    model = make_backbone(backbone, backbone_args or {}, 0, dtype)

    def features(params: Tree, stats: Tree, batch: Batch, train: bool) -> tuple:
        """Embeddings [n, p, d], and the new statistics."""
        x = as_input("sils", batch["sils"], downsample)
        variables = {"params": params, **stats}
        mutable = tuple(stats) if train else ()
        out = model.apply(variables, x, batch["mask"], train=train, mutable=mutable)
        return out[0]["embeddings"], out[1]

    def init(rng: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        x = as_input("sils", batch["sils"], downsample)
        variables = dict(model.init(rng, x, batch["mask"], train=False))
        params = variables.pop("params")
        if objective == "instances":
            return params, variables
        size = jax.eval_shape(lambda: features(params, variables, batch, False)[0])
        memory = {
            "centroids": jnp.zeros((capacity, size.shape[1] * size.shape[2])),
            "filled": jnp.zeros(capacity),
            # Of every cluster, those that move with it; -1 is none.
            "support": jnp.full((capacity, support), -1, jnp.int32),
        }
        return params, {**variables, "memory": memory}

    def loss(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, dict]]:
        kept = {k: model_state[k] for k in ("memory", "bases") if k in model_state}
        stats = {k: v for k, v in model_state.items() if k not in kept}
        found, stats = features(params, stats, batch, True)
        q = contrast.flat_unit(found)  # [n, p d]
        if objective == "instances":
            total, values = contrast.instances(q, batch["label"])
            metrics = {f"instances/{key}": value for key, value in values.items()}
            return total, ({**kept, **stats}, metrics)
        memory, label = kept["memory"], batch["label"]
        total, values = contrast.cluster_nce(
            q, memory["centroids"], memory["filled"], label, temperature
        )
        momentum = contrast.momentum(batch["progress"], momentum_max, momentum_min)
        rows = memory["support"][label]  # [n, support]
        centroids = contrast.update(
            memory["centroids"], jax.lax.stop_gradient(q), rows, momentum
        )
        kept["memory"] = {**memory, "centroids": centroids}
        metrics = {f"clusters/{key}": value for key, value in values.items()}
        return total, ({**kept, **stats}, metrics)

    def embed(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        stats = {k: v for k, v in model_state.items() if k not in ("memory", "bases")}
        found = {"sils": features(params, stats, batch, False)[0]}
        if rng is None or objective == "instances":
            return found
        if fuse_clothes and fusion_round is not None:
            other = {**batch, "sils": dress(rng, batch["sils"], clothes)}
            found["clothes"] = features(params, stats, other, False)[0]
        if views:
            (shown,) = frontal.embed(model_state["bases"]["view_base"], batch).values()
            found["frontal"] = shown[..., 1:]
        return found

    def check_training(data: Mapping) -> None:
        if data["label"] != "none" or data["val"]:
            raise GaitError(
                "selective_fusion learns without labels: expected data.label=none and "
                f"data.val=0, got {data['label']} and {data['val']}; set these"
            )
        if objective == "clusters":
            clusters.check_installed(clusterer)

    return Method(
        train_keys=("sils",),
        embed_keys=("sils",),
        init=init,
        loss=loss,
        embed=embed,
        refresh=rounds.refresh,
        looks_closer=rounds.is_fused,
        check_training=check_training,
        inference_args={"view_base": None, "fuse_views": False},
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rounds:
    """From embeddings to the labels and the memory of a round.

    alone: every sequence is a cluster, there is no memory. clothes, views: what is
    fused. The rest: see `make`.
    """

    alone: bool
    fusion_round: int | None
    clothes: bool
    views: bool
    clusterer: str
    neighbours: int
    similarity: float
    fused_similarity: float
    smallest: int
    eps: float
    min_samples: int
    capacity: int
    support: int
    frontal_share: float
    view_similarity: float
    rate: float
    adaptive: bool

    def is_fused(self, round_: int) -> bool:
        """Whether clusters are fused in this round."""
        return self.fusion_round is not None and round_ >= self.fusion_round

    def refresh(
        self, model_state: Tree, seen: Mapping[str, np.ndarray], round_: int
    ) -> tuple[np.ndarray, Tree]:
        """See `methods.api`. seen: f32 [n, p, d] by view: `sils`, and in rounds with
        fusion `clothes` and `frontal` where these are fused."""
        x = fusion.flat_unit(seen["sils"])
        if self.alone:
            return np.arange(len(x), dtype=np.int32), model_state
        labels = self.clusters(x, round_)
        if self.views and self.is_fused(round_):
            # At epoch 0, when that round had no fusion, it does not count.
            before = int(np.sum(model_state["memory"]["filled"]))
            frontal = seen["frontal"][:, 0, 0] > 0.5
            labels = self.without_frontal(x, labels, frontal, round_, before)
        dressed = None
        if self.clothes and self.is_fused(round_):
            dressed = fusion.flat_unit(seen["clothes"])
        memory = self.memory(x, dressed, labels)
        return labels, {**model_state, "memory": memory}

    def clusters(self, x: np.ndarray, round_: int) -> np.ndarray:
        """Of features f32 [n, d]: i32 [n], -1 for none."""
        fused = self.is_fused(round_)
        return clusters.cluster(
            self.clusterer,
            x,
            neighbours=self.neighbours,
            similarity=self.fused_similarity if fused else self.similarity,
            smallest=self.smallest,
            eps=self.eps,
            min_samples=self.min_samples,
        )

    def without_frontal(
        self,
        x: np.ndarray,
        labels: np.ndarray,
        frontal: np.ndarray,
        round_: int,
        before: int,
    ) -> np.ndarray:
        """Labels after clusters of front and back views are dissolved. before: how many
        clusters the last round had."""
        return fusion.dissolve(
            x,
            labels,
            frontal,
            epoch=round_ - self.fusion_round,
            share=self.frontal_share,
            similarity=self.view_similarity,
            rate=self.rate,
            adaptive=self.adaptive,
            previous=before,
        )

    def memory(
        self, x: np.ndarray, dressed: np.ndarray | None, labels: np.ndarray
    ) -> Tree:
        """Centroids f32 [capacity, d], which of them are in use, and what moves with
        each; itself alone without features in other clothes f32 [n, d]."""
        centroids = fusion.centroids(x, labels, self.capacity)
        if dressed is None:
            rows = fusion.alone(labels, self.capacity, self.support)
        else:
            others = fusion.centroids(dressed, labels, self.capacity)
            rows = fusion.supports(others, centroids, self.support)
        return {
            "centroids": centroids,
            "filled": (np.arange(self.capacity) <= labels.max()).astype(np.float32),
            "support": rows,
        }


def dress(rng: jax.Array, frames: jax.Array, probability: float) -> jax.Array:
    """Each sequence u8 [n, t, h, w] in other clothes; which ones is a function of rng
    and of the sequence, whatever else is in its batch and however it is padded."""
    sums = frames.astype(jnp.uint32).sum((1, 2, 3))
    keys = jax.vmap(functools.partial(jax.random.fold_in, rng))(sums)

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        return morphology.clothes(key, x[None], probability)[0]

    return jax.vmap(one)(keys, frames)
