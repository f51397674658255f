"""Are two modalities in one space? Numbers and pictures of a cross-modal network.

What DiffCrossGait's paper (arXiv 2606.00153) looks at besides Rank-1: gaps along the
diffusion, how well a linear classifier tells the modalities apart, how steep the
encoders are, distances of pairs, a hard subset, and what is not found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.errors import GaitError
from gaitjax.methods.api import Batch, Tree
from gaitjax.retrieval import protocols, ranking, search, verification

STEPS = tuple(range(10, 100, 10))  # the paper's
NUM_HARD = 40  # as many as the paper has; it does not say which

Embed = Callable[[Tree, Tree, Batch], dict[str, jax.Array]]
Trajectory = Callable[..., dict[str, jax.Array]]


def step_gaps(
    trajectory: Trajectory,
    params: Tree,
    model_state: Tree,
    batches: Iterable[tuple[np.ndarray, Batch]],
    steps: Sequence[int] = STEPS,
    seed: int = 0,
) -> dict[str, list[float]]:
    """`steps`, and the mean over pairs of each gap at every one of them.

    trajectory: a `DiffusionMethod`'s. batches: (records [m], batch) with m real rows
    first. A pair gets the same noise at every step, so that nothing else differs.
    """
    at = jax.jit(trajectory)
    found: dict[str, list[list[np.ndarray]]] = {}
    for number, (records, batch) in enumerate(batches):
        key = jax.random.fold_in(jax.random.key(seed), number)
        for place, step in enumerate(steps):
            for name, x in at(params, model_state, batch, key, np.int32(step)).items():
                kept = found.setdefault(name, [[] for _ in steps])
                kept[place].append(np.asarray(x)[: len(records)])
    means = {
        name: [float(np.concatenate(values).mean()) for values in kept]
        for name, kept in found.items()
    }
    return {"steps": [int(step) for step in steps], **means}


def modality_classifier(
    views: Mapping[str, np.ndarray], subject: np.ndarray, folds: int = 5
) -> dict[str, float]:
    """How well logistic regression tells two modalities apart, on unseen people.

    views: f32[n,p,d] of two modalities; subject: str[n], nobody is in two folds.
    accuracy of all parts at once (flattened), with its standard error over folds, and
    a_distance, 2 (1 - 2 error) (Ben-David et al., 2007): 0 = alike, 2 = apart.
    part_...: mean over a classifier per part, which has fewer dimensions to find a
    difference in. mean_gap: see there; it still tells runs apart where every classifier
    is always right.
    """
    one, other = (np.asarray(x, np.float64) for x in views.values())
    people = np.unique(subject)
    if len(people) < 2:
        raise GaitError(
            f"a modality classifier wants at least 2 people, got {len(people)}; give "
            "more sequences"
        )
    x = np.concatenate([one, other])
    is_other = np.repeat([0, 1], len(one))
    groups = np.tile(np.asarray(subject), 2)
    folds = min(folds, len(people))
    whole = _fold_accuracies(x.reshape(len(x), -1), is_other, groups, folds)
    parts = [
        _fold_accuracies(part, is_other, groups, folds) for part in x.swapaxes(0, 1)
    ]
    part = float(np.mean(parts))
    return {
        "accuracy": float(whole.mean()),
        "accuracy_error": float(whole.std(ddof=1) / np.sqrt(folds)),
        "a_distance": a_distance(float(whole.mean())),
        "part_accuracy": part,
        "part_accuracy_error": float(np.mean(parts, 0).std(ddof=1) / np.sqrt(folds)),
        "part_a_distance": a_distance(part),
        "mean_gap": mean_gap(one, other),
    }


def mean_gap(one: np.ndarray, other: np.ndarray) -> float:
    """Distance of the modalities' mean embeddings / RMS distance of embeddings from
    their own modality's mean: [n,p,d] twice. Ranking across modalities does not see
    a common shift, so nothing but alignment makes this small."""
    means = one.mean(0), other.mean(0)
    within = [
        np.square(x - mean).sum((1, 2))
        for x, mean in zip((one, other), means, strict=True)
    ]
    spread = np.sqrt(np.mean(within)) or np.nan
    return float(np.sqrt(np.square(means[0] - means[1]).sum()) / spread)


def a_distance(accuracy: float) -> float:
    """2 (1 - 2 error); below 0 for a classifier that is worse than chance."""
    return 2 * (1 - 2 * (1 - accuracy))


def _fold_accuracies(
    x: np.ndarray, label: np.ndarray, groups: np.ndarray, folds: int
) -> np.ndarray:
    """Accuracy on each fold of people, trained on the others: f64[folds]."""
    # They take a second to import, which only a diagnosis has to pay.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with threadpool_limits(1):  # as in embedding_map
        return cross_val_score(
            classifier, x, label, groups=groups, cv=GroupKFold(folds)
        )


def jacobian_norm(
    embed: Embed,
    params: Tree,
    model_state: Tree,
    batch: Batch,
    view: str,
    num_probes: int = 8,
    seed: int = 0,
) -> dict[str, float]:
    """Frobenius norm of d embedding / d input frames of one modality, estimated.

    Hutchinson (1990): E |J^T v|^2 = |J|_F^2 for v of random signs. norm: the root of
    its mean over sequences, per grey level (0..255) of a pixel; error: its standard
    error, of sequences and of v at once. relative: norm / RMS distance of these
    embeddings from their mean, since a space that is merely smaller has a smaller
    Jacobian; needs several sequences.
    """
    frames = np.float32(batch[view])

    @jax.jit
    def squares(
        params: Tree, model_state: Tree, batch: Batch, frames: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def one(x: jax.Array) -> jax.Array:
            return embed(params, model_state, {**batch, view: x})[view]

        def pull(key: jax.Array) -> jax.Array:
            signs = jax.random.rademacher(key, out.shape, out.dtype)
            (back,) = pull_back(signs)  # rows do not mix: each has its own J
            return jnp.square(back).sum(range(1, back.ndim))  # [n]

        out, pull_back = jax.vjp(one, frames)
        keys = jax.random.split(jax.random.key(seed), num_probes)
        return out, jax.lax.map(pull, keys)  # [n, p, d], [k, n]

    out, found = map(np.float64, squares(params, model_state, batch, frames))
    per_sequence = found.mean(0) if len(out) > 1 else found[:, 0]
    norm = float(np.sqrt(per_sequence.mean()))
    error = per_sequence.std(ddof=1) / np.sqrt(len(per_sequence))
    spread = np.sqrt(np.square(out - out.mean(0)).sum((1, 2)).mean())
    return {
        "norm": norm,
        "error": float(error / (2 * norm)) if norm else 0.0,  # of a square's root
        "relative": float(norm / spread) if spread else float("nan"),
    }


def separation(distances: verification.Distances) -> dict[str, float]:
    """Mean distances of pairs of one and of two people, d-prime, and the EER in %.

    d-prime: the gap of the means in units of the root of the mean variance.
    """
    genuine, impostor = map(np.float64, (distances.genuine, distances.impostor))
    noise = np.sqrt((genuine.var() + impostor.var()) / 2) or np.nan
    eer, _ = verification.equal_error(genuine, impostor)
    return {
        "genuine": float(genuine.mean()),
        "impostor": float(impostor.mean()),
        "d_prime": float((impostor.mean() - genuine.mean()) / noise),
        "eer": 100 * eer,
    }


def hard_probes(index: protocols.Labels, number: int = NUM_HARD) -> np.ndarray:
    """Rows of `number` (or all) compound-condition sequences, ascending, int[m].

    The rule, fixed before any run and blind to everything but the labels: candidates
    are the sequences whose condition has two or more words besides `nm`, such as
    `03-cr-cl`. They are taken one at a time: of the person who has the fewest so far,
    then of the view that has, then of the condition that has; ties by name.
    """
    names = index.names
    rows = [
        row for row, name in enumerate(index.condition) if len(covariates(name)) > 1
    ]
    fields = [getattr(index, field) for field in ("subject", "view", "condition")]
    taken: list[dict[str, int]] = [{}, {}, {}]
    chosen = []

    def order(row: int) -> tuple:
        counts = [
            seen.get(str(values[row]), 0)
            for seen, values in zip(taken, fields, strict=True)
        ]
        return (*counts, str(names[row]))

    while rows and len(chosen) < number:
        row = min(rows, key=order)
        rows.remove(row)
        chosen.append(row)
        for seen, values in zip(taken, fields, strict=True):
            seen[str(values[row])] = seen.get(str(values[row]), 0) + 1
    return np.sort(np.array(chosen, int))


def covariates(condition: str) -> set[str]:
    """`03-cr-cl` -> cr, cl; normal walks and numbers are none."""
    return {word for word in condition.split("-") if word.isalpha()} - {"nm"}


@dataclasses.dataclass(frozen=True)
class Ranked:
    """The gallery in the order in which some probes find it.

    probes: records [b]. items: records [b,g], nearest first; what the protocol hides
    from a probe comes last. right: bool[b,g], of the probe's person and not hidden.
    first: place of the first right one from 0, -1 where there is none [b].
    """

    probes: np.ndarray
    items: np.ndarray
    right: np.ndarray

    @property
    def first(self) -> np.ndarray:
        return np.where(self.right.any(1), self.right.argmax(1), -1)


def ranked(
    views: Mapping[str, np.ndarray],
    index: protocols.Labels,
    protocol: protocols.Protocol,
    probes: np.ndarray,
    pair: tuple[str, str],
    metric: str = "euclidean",
) -> Ranked:
    """Some probes against the protocol's whole gallery at once, without the view pairs
    that it averages. pair: the probes' modality and the gallery's."""
    probe, gallery = pair
    items = protocols.rows_of(protocol.gallery, index)
    hidden = np.full((len(probes), len(items)), bool(protocol.exclude))
    for field in protocol.exclude:
        label = protocols.column(field, index)
        hidden &= label[probes][:, None] == label[items][None]
    far = ranking.everywhere(views[gallery][items])
    order = ranking.sort_gallery(views[probe][probes], far, hidden, metric)
    found = items[order]
    right = index.subject[found] == index.subject[probes][:, None]
    return Ranked(probes, found, right & ~np.take_along_axis(hidden, order, 1))


def failures(found: Ranked, number: int) -> np.ndarray:
    """Places of some probes that are not found first, spread over all of these."""
    missed = np.flatnonzero(found.first > 0)
    places = np.linspace(0, len(missed) - 1, min(number, len(missed)))
    return missed[places.round().astype(int)]


@dataclasses.dataclass(frozen=True)
class Direction:
    """One modality's probes in the other's gallery.

    numbers: `distances` (see `separation`); `hard` and `conditions`, how many probes
    are found first of how many. pairs: sampled distances. missed: by condition, what
    probes found and places of some that failed.
    """

    numbers: dict[str, dict]
    pairs: verification.Distances
    missed: dict[str, tuple[Ranked, np.ndarray]]


def across(
    views: Mapping[str, np.ndarray],
    index: protocols.Labels,
    protocol: protocols.Protocol,
    pair: tuple[str, str],
    metric: str = "euclidean",
    conditions: Sequence[str] = ("Night", "Occlusion"),
    num_missed: int = 4,
) -> Direction:
    """All that is measured of one direction. conditions: whose failures are looked
    at, those that the protocol has. pair, metric: see `ranked`."""
    options = dict(metric=metric, probe=pair[0], gallery=pair[1], num_lists=0)
    pairs = search.evaluate(views, index, protocol, **options).distances
    rules = {
        name: protocol.probes[name] for name in conditions if name in protocol.probes
    }
    probes = {name: protocols.rows_of(rule, index) for name, rule in rules.items()}
    probes = {"hard": hard_probes(index), **probes}
    found = {
        name: ranked(views, index, protocol, rows, pair, metric)
        for name, rows in probes.items()
        if len(rows)
    }
    counts = {
        name: {"found": int((one.first == 0).sum()), "of": len(one.probes)}
        for name, one in found.items()
    }
    hard = counts.pop("hard", {"found": 0, "of": 0})
    missed = {name: (found[name], failures(found[name], num_missed)) for name in counts}
    numbers = {"distances": separation(pairs), "hard": hard, "conditions": counts}
    return Direction(numbers, pairs, missed)


def headline(
    runs: Mapping[str, Mapping],
) -> dict[str, dict[str, tuple[float, float]]]:
    """{title: {run: (value, standard error or 0)}} of the numbers of some runs.

    runs: by name, `classifier` (`modality_classifier`), `jacobian` by modality
    (`jacobian_norm`) and `across` by direction (`Direction.numbers`).
    """
    panels: dict[str, dict[str, tuple[float, float]]] = {}

    def put(title: str, run: str, value: float, error: float = 0.0) -> None:
        panels.setdefault(title, {})[run] = value, error

    for run, one in runs.items():
        told, ways = one["classifier"], one["across"].items()
        for prefix, which in (("", "all parts at once"), ("part_", "part by part")):
            error = 4 * told[f"{prefix}accuracy_error"]  # its slope in the accuracy
            put(f"A-distance, {which}", run, told[f"{prefix}a_distance"], error)
        for view, steep in one["jacobian"].items():
            put(f"Jacobian, {view}", run, steep["norm"], steep["error"])
        for view, steep in one["jacobian"].items():
            put(f"Jacobian / spread, {view}", run, steep["relative"])
        for way, found in ways:
            put(f"d-prime, {way}", run, found["distances"]["d_prime"])
        for way, found in ways:
            hard = found["hard"]
            put(f"hard found of {hard['of']}, {way}", run, hard["found"])
        put("gap of the modalities' means / spread", run, told["mean_gap"])
    return panels
