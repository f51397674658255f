"""What a few probes found, for people to look at: the best, the worst, and others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.retrieval import breakdowns, metrics, ranking

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
    reranks: Sequence[ranking.Rerank] = (),
) -> dict[str, list[RankList]]:
    """The ten nearest of some probes of each condition, and after each re-ranking.

    A third of them each are those of highest and of lowest AP, the rest are drawn.
    per_probe: `row` and `ap` by condition, where the breakdown has made them; else
    up to `NUM_SCORED` probes of a condition are drawn and sorted here.
    """
    if not number:
        return {}
    scored = per_probe or _scored(task, seed)
    chosen = {}
    for name, scores in scored.items():
        places, kinds = choose(scores["ap"], number, seed)
        chosen[name] = scores["row"][places], kinds
    probes = np.unique(np.concatenate([rows for rows, _ in chosen.values()]))
    some = dataclasses.replace(task, probes=probes)
    stages = [None, *(rerank for rerank in reranks if rerank.depth is not None)]
    rankers = [
        dataclasses.replace(some, rerank=stage).ranker(task.items) for stage in stages
    ]
    lists = {}
    for name, (rows, kinds) in chosen.items():
        filled = ranking.padded(rows, number)
        found = [_sorted(some, ranker, filled) for ranker in rankers]
        lists[name] = [
            _rank_list(task, row, near[i], kinds[i], own[i], stage)
            for i, row in enumerate(rows)
            for stage, (near, own) in zip(stages, found, strict=True)
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


def _sorted(
    task: breakdowns.Task, ranker: ranking.Ranker, rows: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """The nearest allowed records of some probes, and AP over all: f64[b]."""
    hidden = task.excluded(rows)
    order = ranker.sort(np.searchsorted(task.probes, rows), hidden)
    hidden = np.broadcast_to(hidden, order.shape)
    last = np.take_along_axis(hidden, order, 1)
    items = task.items[order]
    near = [x[~gone][:LENGTH] for x, gone in zip(items, last, strict=True)]
    return near, metrics.average_precision(task.right(rows, items) & ~last)


def _rank_list(
    task: breakdowns.Task,
    row: np.integer,
    items: np.ndarray,
    kind: str,
    ap: float,
    stage: ranking.Rerank | None,
) -> RankList:
    right = task.right(np.array([row]), items[None])[0]
    return RankList(
        probe=int(row),
        gallery=tuple(items.tolist()),
        right=tuple(right.tolist()),
        kind=kind,
        stage=stage.stage if stage else "initial",
        ap=None if np.isnan(ap) else float(ap),
    )
