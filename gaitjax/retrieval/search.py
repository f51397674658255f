"""Embeddings and a protocol in, numbers out.

Distances, top-k and sorting run on the device, in blocks of probes against the
gallery, all of one shape: an evaluation compiles two programs however many views
and conditions there are. Memory on the device: the gallery, and a few float32
arrays of block x gallery. What is kept per probe is small (positions of its
matches), nothing of size probes x gallery.

Differences from OpenGait, whose numbers these are: cells are not rounded to two
decimals before they are averaged (`rounded=True` does), a cell without probes
is skipped instead of turning the mean into NaN, and a rank beyond the gallery is
left out with a note.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.errors import GaitError
from gaitjax.retrieval import breakdowns, ranking
from gaitjax.retrieval.protocols import Labels, Protocol, rows_of


@dataclasses.dataclass(frozen=True)
class RankList:
    """What one probe found: record numbers, nearest first, and which are right."""

    probe: int
    gallery: tuple[int, ...]
    right: tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The numbers of one protocol; the dicts go by probe condition.

    protocol, probe, gallery, distance: what was measured: names of the protocol,
      of the two modalities and of the metric between embeddings.
    rows: the results, one dict per number (see DESIGN), values in percent.
    view_tables: view names [v] and Rank-1 % f64[v,v], probe view x gallery view,
      the same view included, NaN where undefined; empty for list protocols.
    cmc: share of probes with a match among the k nearest, k = 1, 2, ...
    per_probe: `row` (record number), `first` (position of the first match, 0 =
      none), `ap`, `inp` of every probe; empty for view pairs.
    rank_lists: a few probes and their nearest, over the whole allowed gallery.
    notes: what was left out and why.
    """

    protocol: str
    probe: str
    gallery: str
    distance: str
    rows: list[dict]
    view_tables: dict[str, tuple[list[str], np.ndarray]]
    cmc: dict[str, np.ndarray]
    per_probe: dict[str, dict[str, np.ndarray]]
    rank_lists: dict[str, list[RankList]]
    notes: list[str]


def evaluate(
    embeddings: Mapping[str, np.ndarray],
    index: Labels,
    protocol: Protocol,
    *,
    metric: str = "euclidean",
    ranks: Sequence[int] = (1, 5, 10),
    rounded: bool = False,
    probe: str | None = None,
    gallery: str | None = None,
    block: int = 256,
    num_lists: int = 8,
    progress: breakdowns.Progress | None = None,
) -> Evaluation:
    """Search the gallery with every probe of the protocol.

    embeddings: f32[n,p,d] by modality, row i being row i of the index.
    metric: distance between embeddings, "euclidean" or "cosine".
    rounded: round each cell of a view table to two decimals, as OpenGait does.
    probe, gallery: modalities; may be left out when there is only one.
    block: probes per step.
    num_lists: rank lists kept per condition, spread evenly over its probes.
    progress: called with (steps done, steps in all).
    """
    _check_options(metric, ranks, block)
    probe, gallery = _modalities(embeddings, probe, gallery)
    for name in sorted({probe, gallery}):
        _check_rows(name, embeddings[name], index)
    items, conditions = _select(index, protocol, probe == gallery)
    task = breakdowns.Task(
        index=index,
        exclude=protocol.exclude,
        conditions={name: rows for name, rows in conditions.items() if len(rows)},
        probes=np.unique(np.concatenate(list(conditions.values()))),
        items=items,
        probe_embeddings=np.asarray(embeddings[probe]),
        gallery_embeddings=np.asarray(embeddings[gallery]),
        metric=metric,
        ranks=sorted(set(ranks)),
        rounded=rounded,
        block=block,
    )
    pairs = protocol.breakdown == "view_pairs"
    breakdown = breakdowns.view_pairs if pairs else breakdowns.probe_list
    found = breakdown(task, progress or (lambda done, steps: None))
    empty = [name for name, rows in conditions.items() if not len(rows)]
    names = (protocol.name, probe, gallery, metric)
    return Evaluation(
        *names,
        rows=[_row(names, *row) for row in found.rows],
        view_tables=found.view_tables,
        cmc=found.cmc,
        per_probe=found.per_probe,
        rank_lists=_rank_lists(task, num_lists),
        notes=[f"{name}: no probes (n/a)" for name in empty] + found.notes,
    )


def _row(names: tuple[str, ...], condition, metric, value, n_probe, without) -> dict:
    protocol, probe, gallery, distance = names
    return {
        "protocol": protocol,
        "probe": probe,
        "gallery": gallery,
        "condition": condition,
        "distance": distance,
        "stage": "initial",
        "metric": metric,
        "value": value,
        "n_probe": n_probe,
        "n_without_match": without,
    }


def _rank_lists(task: breakdowns.Task, number: int) -> dict[str, list[RankList]]:
    """The ten nearest of some probes of each condition."""
    if not number:
        return {}
    gallery = ranking.on_device(task.gallery_embeddings[task.items])
    k = min(10, len(task.items))
    lists = {}
    for name, rows in task.conditions.items():
        spread = np.linspace(0, len(rows) - 1, min(number, len(rows)))
        chosen = rows[spread.round().astype(int)]
        filled = ranking.padded(chosen, number)
        probe = task.probe_embeddings[filled]
        hidden = task.excluded(filled, task.items)
        near = ranking.nearest(probe, gallery, hidden, k, task.metric)
        lists[name] = [
            _rank_list(task, row, task.items[places[places >= 0]])
            for row, places in zip(chosen, near[: len(chosen)], strict=True)
        ]
    return lists


def _rank_list(task: breakdowns.Task, row: np.integer, items: np.ndarray) -> RankList:
    right = task.right(np.array([row]), items[None])[0]
    return RankList(int(row), tuple(items.tolist()), tuple(right.tolist()))


def _select(
    index: Labels, protocol: Protocol, same_modality: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Gallery rows, and probe rows by condition; none at all is an error."""
    items = rows_of(protocol.gallery, index)
    conditions = {name: rows_of(rule, index) for name, rule in protocol.probes.items()}
    probes = np.concatenate(list(conditions.values()))
    for what, rows in (("gallery", items), ("probe", probes)):
        if not len(rows):
            raise GaitError(
                f"protocol {protocol.name} finds no {what} among {len(index)} "
                f"sequences of conditions {np.unique(index.condition)[:9].tolist()}; "
                "choose the protocol of this data set"
            )
    both = np.intersect1d(probes, items)
    if len(both) and same_modality and not protocol.exclude:
        raise GaitError(
            f"protocol {protocol.name}: {len(both)} sequences are probe and gallery "
            f"at once, the first is {index.names[both[0]]}; make the rules disjoint"
        )
    return items, conditions


def _modalities(
    embeddings: Mapping[str, np.ndarray], probe: str | None, gallery: str | None
) -> tuple[str, str]:
    if len(embeddings) == 1:
        (only,) = embeddings
        probe, gallery = probe or only, gallery or only
    for role, name in (("probe", probe), ("gallery", gallery)):
        if name not in embeddings:
            raise GaitError(
                f"{role} modality: got {name}, the embeddings are "
                f"{', '.join(embeddings)}; name one of them as {role}"
            )
    p, g = np.shape(embeddings[probe])[1:], np.shape(embeddings[gallery])[1:]
    if p != g:
        raise GaitError(
            f"embeddings [parts, dims] differ: probe {probe} has {list(p)}, gallery "
            f"{gallery} has {list(g)}; evaluate embeddings of one common space"
        )
    return probe, gallery


def _check_rows(name: str, embedding: np.ndarray, index: Labels) -> None:
    shape = np.shape(embedding)
    if len(shape) != 3 or shape[0] != len(index):
        raise GaitError(
            f"embeddings {name} want shape [{len(index)}, parts, dims], one row per "
            f"row of the index, got {list(shape)}; embed this index's split"
        )
    bad = np.flatnonzero(~np.isfinite(embedding).all((1, 2)))
    if len(bad):
        raise GaitError(
            f"embeddings {name}: {len(bad)} of {len(index)} sequences are NaN or "
            f"infinite, the first is {index.names[bad[0]]} (row {bad[0]}); look at "
            "its frames, or at the checkpoint if it is all of them"
        )


def _check_options(metric: str, ranks: Sequence[int], block: int) -> None:
    if metric not in ("euclidean", "cosine"):
        raise GaitError(f"metric is euclidean or cosine, got {metric}; choose one")
    if not ranks or min(ranks) < 1 or block < 1:
        raise GaitError(
            f"ranks and block count from 1, got ranks={list(ranks)}, block={block}; "
            "give at least rank 1"
        )
