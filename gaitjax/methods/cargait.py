"""CarGait (Habib et al., ICCV 2025, arXiv 2503.03501): the nearest ones sorted again
by cross-attention between the parts of the probe and of each candidate.

    E_p = F_p + Attention(F_p looks at F_c)     E_c = F_c + Attention(F_c looks at F_p)
    distance = mean over parts |E_p - E_c|

F are the embeddings of a frozen network, the base, extracted once (`data.features`).
Training draws triplets from each probe's nearest: those that the base confuses. What
the paper does not state is chosen and marked "not stated"; docs/reranking.md has the
reasons.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gaitjax.arguments import at_least
from gaitjax.data.features import Bank
from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.layers.attention import CrossAttention
from gaitjax.losses.ranking import ranking
from gaitjax.methods.api import Batch, Info, Method, Tree
from gaitjax.retrieval import ranking as search

BLOCK = 256  # probes at a time when lists are made


def make(
    info: Info,
    *,
    dtype: jnp.dtype = jnp.float32,
    base: Mapping | None = None,
    scorer: Literal["attention", "binary"] = "attention",
    nearest: int = 30,
    distance: Literal["euclidean", "cosine"] = "euclidean",
    triplets: int = 128,
    heads: int = 8,
    features: int = 256,
    pre_norm: bool = False,
    zero_init: bool = True,
    damping: float = 0.1,
    ce_weight: float = 0.01,
    hidden: int = 512,
) -> Method:
    """base: `workdir` of a run, or of weights alone, and the `config` that trains it.

    scorer: the paper's attention, or its rival, an MLP that says whether two sequences
    are of one person. nearest: v, how long a probe's list is in training; distance: of
    the base, by which it is made: where `eval.distances` begins with another, training
    sees other lists than the test. triplets: in a batch (not stated). heads, features,
    pre_norm, zero_init: of the attention (the last two not stated). damping: beta;
    ce_weight: alpha. hidden: width of the MLPs (not stated).
    """
    at_least(1, method_args__nearest=nearest, method_args__triplets=triplets)
    at_least(1, method_args__heads=heads, method_args__hidden=hidden)
    at_least(1, method_args__features=features)
    at_least(0, method_args__damping=damping, method_args__ce_weight=ce_weight)
    if "base" not in info.bases:
        raise GaitError(
            "cargait wants a base: set method_args.base.workdir to a run, or to a "
            "converted checkpoint"
        )
    frozen = info.bases["base"]
    shape = one_shape(frozen.shapes)
    attends = scorer == "attention"
    num_classes = info.num_classes if ce_weight and attends else 0
    model: nn.Module = BinaryScorer(hidden, dtype)
    if attends:
        network = dict(
            heads=heads,
            features=features,
            pre_norm=pre_norm,
            zero_init=zero_init,
            hidden=hidden,
        )
        model = reranker(network, num_classes, dtype)

    def init(rng: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        pair = jnp.zeros((2, 1, *shape))
        everything = getattr(model, "everything", model.__call__)
        return model.init(rng, *pair, method=everything)["params"], {}

    def distances(params: Tree, probe: jax.Array, candidates: jax.Array) -> jax.Array:
        return model.apply({"params": params}, probe, candidates)

    def loss(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, dict]]:
        total, metrics = losses(params, batch)
        return total, (model_state, metrics)

    def losses(params: Tree, batch: Batch) -> tuple[jax.Array, dict]:
        probe, *others = (batch["features"][:, i] for i in range(3))  # [t, p, d]
        if not attends:
            return binary_loss(*(distances(params, probe, other) for other in others))
        method = model.compare
        found = [
            model.apply({"params": params}, probe, other, method=method)
            for other in others
        ]
        total, values = ranking(*(far for far, _ in found), damping=damping)
        metrics = {f"ranking/{key}": value for key, value in values.items()}
        if num_classes:
            # Of the probe in both pairs, of the right and of the wrong one.
            logits = jnp.concatenate([x for _, pair in found for x in pair])
            label = batch["label"]
            labels = jnp.concatenate([label[:, i] for i in (0, 1, 0, 2)])
            ce = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            total += ce_weight * ce
            accuracy = (logits.argmax(-1) == labels).mean()
            metrics |= {"ce/loss": ce, "ce/accuracy": accuracy}
        return total, metrics

    def validate(params: Tree, model_state: Tree, batch: Batch) -> dict:
        batch = {**batch, "label": jnp.zeros_like(batch["label"])}  # of other people
        _, metrics = losses(params, batch)
        return {k: v for k, v in metrics.items() if not k.startswith("ce/")}

    def embed(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        return frozen.embed(model_state["bases"]["base"], batch)

    def rescore(
        params: Tree, model_state: Tree, probe: jax.Array, candidates: jax.Array
    ) -> jax.Array:
        return distances(params, probe[:, None], candidates)

    def prepare(bank: Bank, index: Index, labels: np.ndarray) -> Lists:
        return nearest_lists(bank, labels, nearest, distance)

    def source(
        index: Index, seed: int, step: int, labels: np.ndarray, bank: Lists
    ) -> np.ndarray:
        return draw_triplets(bank, np.random.default_rng((seed, 2, step)), triplets)

    return Method(
        train_keys=(),
        embed_keys=frozen.embed_keys,
        init=init,
        loss=loss,
        embed=embed,
        source=source,
        prepare=prepare,
        validate=validate,
        rescore=rescore,
    )


def one_shape(shapes: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """[p, d] of all views of a base, which must agree."""
    if len(set(shapes.values())) > 1:
        sizes = " and ".join(f"{view} {list(s)}" for view, s in shapes.items())
        raise GaitError(
            f"the base's embeddings [parts, dims] differ by view: {sizes}; cargait "
            "wants a base whose views are compared with each other"
        )
    return next(iter(shapes.values()))


def reranker(
    method_args: Mapping[str, Any],
    num_classes: int = 0,
    dtype: jnp.dtype = jnp.float32,
) -> ReRanker:
    """The network of a config's `method_args`, for those who want E besides distances:
    `refine`. num_classes: of its classifier, 0 = none.
    """
    names = ("heads", "features", "pre_norm", "zero_init", "hidden")
    chosen = {name: method_args[name] for name in names}
    return ReRanker(**chosen, num_classes=num_classes, dtype=dtype)


class ReRanker(nn.Module):
    """Embeddings of two sequences -> how far they are apart, seen together."""

    heads: int
    features: int
    pre_norm: bool
    zero_init: bool
    num_classes: int
    hidden: int
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.attention = CrossAttention(
            self.heads, self.features, self.pre_norm, self.zero_init, self.dtype
        )
        self.classifier = Perceptron(self.hidden, self.num_classes, self.dtype)

    def refine(self, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """F of two sequences, [..., p, d] -> E of both, f32."""
        return x + self.attention(x, y), y + self.attention(y, x)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """[..., p, d] twice (leading axes are broadcast) -> distances f32[...]."""
        return part_distance(*self.refine(x, y))

    def compare(
        self, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """[n, p, d] twice -> distances [n], logits [n, k] of both (None without)."""
        pair = self.refine(x, y)
        logits = (None, None)
        if self.num_classes:
            logits = tuple(self.classifier(e) for e in pair)
        return part_distance(*pair), logits

    def everything(self, x: jax.Array, y: jax.Array) -> None:
        """Calls all there is, for its parameters."""
        self.compare(x, y)


class BinaryScorer(nn.Module):
    """The paper's rival: one person or two? Minus the logit, so that less is nearer."""

    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """[..., p, d] twice (leading axes are broadcast) -> f32[...]."""
        both = jnp.concatenate(jnp.broadcast_arrays(x, y), -2)
        return -Perceptron(self.hidden, 1, self.dtype)(both)[..., 0]


class Perceptron(nn.Module):
    """All parts in a row, one hidden layer."""

    hidden: int
    outputs: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., p, d] -> f32[..., outputs]."""
        x = x.reshape(*x.shape[:-2], -1)
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        return nn.Dense(self.outputs, dtype=self.dtype)(x).astype(jnp.float32)


def part_distance(x: jax.Array, y: jax.Array) -> jax.Array:
    """Mean over parts of Euclidean distances: [..., p, d] twice -> f32[...].

    Without the products of `ops.distance`: pairs are few, and theirs is the pair's own
    embedding. The gradient at distance zero is zero.
    """
    square = jnp.square(x.astype(jnp.float32) - y.astype(jnp.float32)).sum(-1)
    apart = square > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0).mean(-1)


def binary_loss(positive: jax.Array, negative: jax.Array) -> tuple[jax.Array, dict]:
    """Cross-entropy of "one person" on minus-logits of right and wrong pairs, [t]."""
    loss = (jax.nn.softplus(positive) + jax.nn.softplus(-negative)).mean() / 2
    right = (negative >= positive).mean()
    return loss, {"ranking/loss": loss, "ranking/right": right}


@dataclasses.dataclass(frozen=True)
class Lists:
    """What each probe finds nearest, among those that are trained on.

    bank: holds the embeddings. label: class of every row of the bank, -1 = unused
    [rows]. probes: rows that have somebody right to find [q]. near: rows, nearest first
    [q, v]. same: all rows of a person, by class.
    """

    bank: Bank
    label: np.ndarray
    probes: np.ndarray
    near: np.ndarray
    same: Mapping[int, np.ndarray]


def nearest_lists(
    bank: Bank, labels: np.ndarray, number: int, distance: str = "euclidean"
) -> Lists:
    """The `number` nearest of every record, itself left out; by view of the probe and
    view of what it finds.

    labels: i32 per record; those of -1 neither look nor are found.
    """
    used = np.flatnonzero(labels >= 0)
    if len(used) < 3 or len(np.unique(labels[used])) < 2:
        raise GaitError(
            f"triplets want at least 2 people and 3 sequences, got {len(used)} "
            "sequences; take a larger set, or change data.val"
        )
    if number > len(used) - 1:
        print(f"note: lists of {len(used) - 1}, all there is, in place of {number}")
        number = len(used) - 1
    views = list(bank.views.values())
    probes, near = [], []
    for a, b in itertools.product(range(len(views)), repeat=2):
        gallery = search.everywhere(views[b][used])
        for here, filled in search.shared_blocks(len(used), BLOCK):
            hidden = filled[:, None] == np.arange(len(used))
            block = views[a][used[filled]]
            found = search.nearest(block, gallery, hidden, number, distance)
            near.append(b * len(bank) + used[found[: len(here)]])
            probes.append(a * len(bank) + used[here])
    label = np.tile(labels, len(views))
    same = {int(k): np.flatnonzero(label == k) for k in np.unique(labels[used])}
    probe, near = np.concatenate(probes), np.concatenate(near)
    others = np.bincount(labels[used])[label[probe]] > 1
    if not others.any():
        raise GaitError(
            "nobody has two sequences, so no probe has somebody right to find; cargait "
            "wants a set with several sequences per person"
        )
    return Lists(bank, label, probe[others], near[others], same)


def draw_triplets(lists: Lists, rng: np.random.Generator, number: int) -> np.ndarray:
    """Rows of probes, of somebody right and of somebody wrong: i64[number, 3].

    A uniform probe; both of the others uniform from its list, and from all of its view
    where the list has none (not stated).
    """
    chosen = rng.integers(len(lists.probes), size=number)
    return np.array([_triplet(lists, rng, int(i)) for i in chosen])


def _triplet(lists: Lists, rng: np.random.Generator, i: int) -> tuple[int, int, int]:
    probe, near = int(lists.probes[i]), lists.near[i]
    size = len(lists.bank)
    label = lists.label[probe]
    right = lists.label[near] == label
    if right.any():
        positive = rng.choice(near[right])
    else:
        same = lists.same[int(label)]
        same = same[(same // size == near[0] // size) & (same % size != probe % size)]
        positive = rng.choice(same)
    wrong = near[~right]
    if not len(wrong):
        everybody = np.flatnonzero((lists.label >= 0) & (lists.label != label))
        wrong = everybody[everybody // size == near[0] // size]
    return probe, int(positive), int(rng.choice(wrong))
