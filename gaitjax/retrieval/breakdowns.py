"""The ways a protocol averages: view pairs, one list of probes, a list per view.

`search.evaluate` makes a `Task` of each gallery of the protocol and calls one of
them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from gaitjax.retrieval import metrics, ranking

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Task:
    """Rows and embeddings of one gallery and the probes that search it.

    subject: identities as numbers, of every record, i32[n].
    exclude: as numbers, the fields in which a probe and what it finds must not all
      be equal, i32[n] each.
    group: the view or camera of every record, str[n]; group_name: which of them.
    conditions: record numbers of the probes, ascending, by condition; none empty.
    probes: record numbers of all probes, each once, ascending [q].
    items: record numbers of the gallery [g].
    misses, per_view: with lists: a probe without a match is a miss; average the
      probes of a view, then the views.
    ranks: ascending. rerank: what sorts the nearest again, per list that is ranked.
    """

    subject: np.ndarray
    exclude: tuple[np.ndarray, ...]
    group: np.ndarray
    group_name: str
    conditions: dict[str, np.ndarray]
    probes: np.ndarray
    items: np.ndarray
    misses: bool
    per_view: bool
    probe_embeddings: np.ndarray
    gallery_embeddings: np.ndarray
    metric: str
    ranks: Sequence[int]
    rounded: bool
    block: int
    rerank: ranking.Rerank | None = None

    def ranker(self, items: np.ndarray, size: int | None = None) -> ranking.Ranker:
        """Of one list of the gallery: record numbers [g]. size: see there."""
        return ranking.Ranker(
            self.probe_embeddings[self.probes],
            self.gallery_embeddings[items],
            self.metric,
            self.rerank,
            size,
        )

    def excluded(self, probes: np.ndarray) -> np.ndarray:
        """What probes [b] may not find: bool[b,g], or [1,1] where that is nothing."""
        if not self.exclude:
            return np.zeros((1, 1), bool)
        equal = np.ones((len(probes), len(self.items)), bool)
        for values in self.exclude:
            equal &= values[probes][:, None] == values[self.items][None, :]
        return equal

    def right(self, probes: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Same identity? Records [q] and [q,k] -> bool[q,k]."""
        return self.subject[items] == self.subject[probes][:, None]


@dataclasses.dataclass
class Found:
    """What `Evaluation` documents; `rows` as (condition, metric, value %, n_probe,
    n_without_match)."""

    rows: list[tuple[str, str, float, int, int]] = dataclasses.field(
        default_factory=list
    )
    view_tables: dict[str, tuple[list[str], np.ndarray]] = dataclasses.field(
        default_factory=dict
    )
    cmc: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    per_probe: dict[str, dict[str, np.ndarray]] = dataclasses.field(
        default_factory=dict
    )
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take over what another gallery gave for its conditions."""
        self.rows += other.rows
        self.view_tables |= other.view_tables
        self.cmc |= other.cmc
        self.per_probe |= other.per_probe
        self.notes += other.notes


def view_pairs(task: Task, progress: Progress) -> Found:
    """Rank-k per (probe view, gallery view); mean over gallery, then probe views."""
    view = task.group
    views = np.unique(view[np.concatenate([task.probes, task.items])])
    by_view = [task.items[view[task.items] == name] for name in views]
    hits = _hits_by_view(task, by_view, progress)  # [q,v,k]
    found = Found()
    ranks = _defined_ranks(
        task, hits.shape[2], f"smallest gallery {task.group_name}", found
    )
    for name, rows in task.conditions.items():
        here = np.searchsorted(task.probes, rows)
        cells = _cells(hits[here], view[rows], views, task.rounded)  # [v,v,k]
        cells[:, [len(items) == 0 for items in by_view]] = np.nan
        found.view_tables[name] = (views.tolist(), cells[..., 0].copy())
        if task.exclude:
            cells[np.diag_indices(len(views))] = np.nan
        curve = metrics.mean_defined(metrics.mean_defined(cells, 1), 0)  # [k]
        found.cmc[name] = curve / 100
        without = _note_missing(task, by_view, views, name, found)
        for k in ranks:
            value = float(curve[k - 1])
            if not np.isnan(value):
                row = (name, f"rank-{k}", value, len(rows), without)
                found.rows.append(row)
    return found


def probe_list(task: Task, progress: Progress) -> Found:
    """Rank-k, mAP, mINP over the probes, or over those of a view and then views."""
    first, ap, inp = sorted_metrics(task, progress)  # [q] each
    found = Found()
    ranks = _defined_ranks(task, len(task.items), "gallery", found)
    num_ranks = min(max(50, *task.ranks), len(task.items))
    for name, rows in task.conditions.items():
        here = np.searchsorted(task.probes, rows)
        scores = {"row": rows, "first": first[here], "ap": ap[here], "inp": inp[here]}
        found.per_probe[name] = scores
        without = _note_unmatched(task, name, scores, found)
        means = metrics.mean_defined(_list_table(task, scores, num_ranks), 0)
        if not np.isnan(means[0]):
            found.cmc[name] = means[:num_ranks] / 100
        values = {f"rank-{k}": means[k - 1] for k in ranks}
        values |= {"mAP": means[-2], "mINP": means[-1]}
        for metric, value in values.items():
            if not np.isnan(value):
                found.rows.append((name, metric, float(value), len(rows), without))
    return found


def _hits_by_view(
    task: Task, by_view: list[np.ndarray], progress: Progress
) -> np.ndarray:
    """Is there a match among the k nearest of one view? bool[q,v,k]."""
    sizes = [len(items) for items in by_view if len(items)]
    k = min(max(20, *task.ranks), *sizes)
    hits = np.zeros((len(task.probes), len(by_view), k), bool)
    blocks = list(ranking.shared_blocks(len(task.probes), task.block))
    steps = len(by_view) * len(blocks)
    for number, items in enumerate(by_view):
        if not len(items):
            continue
        # Views padded to the largest one: one shape, one compilation.
        ranker = task.ranker(items, max(sizes))
        nothing = np.zeros((1, 1), bool)
        for step, (here, filled) in enumerate(blocks):
            near = ranker.nearest(filled, nothing, k)[: len(here)]
            right = task.right(task.probes[here], items[near])
            hits[here, number] = np.logical_or.accumulate(right, 1)
            progress(number * len(blocks) + step + 1, steps)
    return hits


def _list_table(
    task: Task, scores: dict[str, np.ndarray], num_ranks: int
) -> np.ndarray:
    """Rank-1, Rank-2, ..., mAP, mINP in %, a row per view or one: f64[v,k+2]."""
    view = task.group[scores["row"]]
    lines = []
    for name in np.unique(view) if task.per_view else [None]:
        mine = np.full(len(view), True) if name is None else view == name
        first = scores["first"][mine]
        curve = metrics.cmc_from_first(
            first if task.misses else first[first > 0], num_ranks
        )
        means = [metrics.mean_defined(scores[key][mine]) for key in ("ap", "inp")]
        lines.append(np.append(curve, means) * 100)
    table = np.stack(lines)
    return np.round(table, 2) if task.rounded and task.per_view else table


def _note_unmatched(
    task: Task, name: str, scores: dict[str, np.ndarray], found: Found
) -> int:
    """Say what becomes of the probes without a match; -> how many."""
    without = int((scores["first"] == 0).sum())
    fate = "are left out"
    if task.misses:
        fate = "count as misses in rank-k and are left out of mAP and mINP"
    if without:
        found.notes.append(
            f"{name}: {without} of {len(scores['row'])} probes have no match in the "
            f"gallery and {fate}"
        )
    return without


def _cells(
    hits: np.ndarray, probe_view: np.ndarray, views: np.ndarray, rounded: bool
) -> np.ndarray:
    """Rank-k % of (probe view, gallery view), NaN without probes -> f64[v,v,k]."""
    cells = np.full((len(views), *hits.shape[1:]), np.nan)
    for number, name in enumerate(views):
        rows = hits[probe_view == name]
        if len(rows):
            cells[number] = rows.sum(0) * 100 / len(rows)
    return np.round(cells, 2) if rounded else cells


def _note_missing(
    task: Task,
    by_view: list[np.ndarray],
    views: np.ndarray,
    name: str,
    found: Found,
) -> int:
    """Note misses by absence; -> probes whose identity no counted view has."""
    rows = task.conditions[name]
    subject, view = task.subject, task.group
    has_match = [np.isin(subject[rows], subject[items]) for items in by_view]
    has_match = np.stack(has_match, 1)  # [q,v]
    counted = np.stack([np.full(len(rows), len(items) > 0) for items in by_view], 1)
    if task.exclude:
        counted &= view[rows][:, None] != views
    missing = counted & ~has_match
    if missing.any():
        found.notes.append(
            f"{name}: {missing.sum()} of {counted.sum()} (probe, gallery "
            f"{task.group_name}) pairs have no match in that {task.group_name} and "
            "count as misses"
        )
    cells = found.view_tables[name][1]
    empty = np.isnan(cells).sum()
    if empty:
        found.notes.append(
            f"{name}: {empty} of {cells.size} {task.group_name} pairs have no probe "
            "or no gallery and are skipped (n/a)"
        )
    return int((~(counted & has_match).any(1)).sum())


def sorted_metrics(
    task: Task, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort the gallery for every probe -> first match int[q], AP and INP f64[q]."""
    ranker = task.ranker(task.items)
    first = np.zeros(len(task.probes), int)
    ap, inp = np.full((2, len(task.probes)), np.nan)
    blocks = list(ranking.shared_blocks(len(task.probes), task.block))
    for step, (here, filled) in enumerate(blocks):
        rows = task.probes[filled]
        excluded = task.excluded(rows)
        order = ranker.sort(filled, excluded)
        matches = task.right(rows, task.items[order])  # [b,g]
        if task.exclude:
            matches &= ~np.take_along_axis(excluded, order, 1)  # they are last
        matches = matches[: len(here)]
        first[here] = metrics.first_match(matches)
        ap[here] = metrics.average_precision(matches)
        inp[here] = metrics.inverse_negative_penalty(matches)
        progress(step + 1, len(blocks))
    return first, ap, inp


def _defined_ranks(task: Task, size: int, what: str, found: Found) -> list[int]:
    """Ranks that the gallery is large enough for; a note for the others."""
    names = ", ".join(task.conditions)
    for k in task.ranks:
        if k > size:
            found.notes.append(
                f"{names}: rank-{k} is not defined: the {what} has {size} sequences"
            )
    return [k for k in task.ranks if k <= size]
