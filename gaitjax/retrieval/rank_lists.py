"""What a few probes found, for people to look at: the best, the worst, and others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from gaitjax.retrieval import breakdowns, ranking

# Chosen: enough for a worst one that is bad, and one sort of the gallery per block.
NUM_SCORED = 128
LENGTH = 10


@dataclasses.dataclass(frozen=True)
class RankList:
    """What one probe found: record numbers, nearest first, and which are right.

    kind: why it is shown: `best`, `worst` or `random`. stage: `initial`, or what
    re-ranked it; the stages of one probe follow each other. ap: average precision
    over the whole allowed gallery, a share; None without a match.
    """

    probe: int
    gallery: tuple[int, ...]
    right: tuple[bool, ...]
    kind: str = "random"
    stage: str = "initial"
    ap: float | None = None


def make_rank_lists(
    task: breakdowns.Task,
    number: int,
    per_probe: Mapping[str, Mapping[str, np.ndarray]],
    seed: int = 0,
) -> dict[str, list[RankList]]:
    """The ten nearest of some probes of each condition.

    A third of them each are those of highest and of lowest AP, the rest are drawn.
    per_probe: `row` and `ap` by condition, where the breakdown has made them; else
    up to `NUM_SCORED` probes of a condition are drawn and sorted here.
    """
    if not number:
        return {}
    scored = per_probe or _scored(task, seed)
    gallery = ranking.on_device(task.gallery_embeddings[task.items])
    lists = {}
    for name, scores in scored.items():
        places, kinds = choose(scores["ap"], number, seed)
        rows = scores["row"][places]
        near = _nearest(task, gallery, ranking.padded(rows, number))
        lists[name] = [
            _rank_list(task, row, task.items[found[found >= 0]], kind, ap)
            for row, found, kind, ap in zip(
                rows, near[: len(rows)], kinds, scores["ap"][places], strict=True
            )
        ]
    return lists


def choose(ap: np.ndarray, number: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Places in `ap` f64[q] to show, and why; ties, and the others, are drawn.

    A probe without a match (NaN) is shown only where no probe has one.
    """
    rng = np.random.default_rng(seed)
    places = np.flatnonzero(~np.isnan(ap))
    if not len(places):
        return rng.permutation(len(ap))[:number], ["random"] * min(number, len(ap))
    drawn = rng.permutation(places)
    order = drawn[np.argsort(ap[drawn], kind="stable")]  # worst first
    number = min(number, len(order))
    num_best, num_worst = number // 3, (number + 1) // 3
    best = order[::-1][:num_best]
    worst = order[:num_worst]
    rest = rng.permutation(order[num_worst : len(order) - num_best])
    rest = rest[: number - num_best - num_worst]
    kinds = ["best"] * num_best + ["worst"] * num_worst + ["random"] * len(rest)
    return np.concatenate([best, worst, rest]), kinds


def _scored(task: breakdowns.Task, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """`row` and `ap` of some probes of each condition, sorted together."""
    rng = np.random.default_rng(seed)
    sample = {
        name: np.sort(rng.choice(rows, min(NUM_SCORED, len(rows)), replace=False))
        for name, rows in task.conditions.items()
    }
    probes = np.unique(np.concatenate(list(sample.values())))
    some = dataclasses.replace(task, probes=probes)
    _, ap, _ = breakdowns.sorted_metrics(some, lambda done, steps: None)
    return {
        name: {"row": rows, "ap": ap[np.searchsorted(probes, rows)]}
        for name, rows in sample.items()
    }


def _nearest(task: breakdowns.Task, gallery, probes: np.ndarray) -> np.ndarray:
    """Places of the nearest items of some probes, i32[b,k]."""
    hidden = task.excluded(probes)
    k = min(LENGTH, len(task.items))
    embeddings = task.probe_embeddings[probes]
    return ranking.nearest(embeddings, gallery, hidden, k, task.metric)


def _rank_list(
    task: breakdowns.Task, row: np.integer, items: np.ndarray, kind: str, ap: float
) -> RankList:
    right = task.right(np.array([row]), items[None])[0]
    return RankList(
        probe=int(row),
        gallery=tuple(items.tolist()),
        right=tuple(right.tolist()),
        kind=kind,
        ap=None if np.isnan(ap) else float(ap),
    )
