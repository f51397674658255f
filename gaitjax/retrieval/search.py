"""Embeddings and a protocol in, numbers out.

Distances, top-k and sorting run on the devices, in blocks of probes against the
gallery, all of one shape: a gallery compiles a few programs however many views and
conditions there are, and most protocols have one gallery. Memory on the device: the
gallery, and a few float32 arrays of block x gallery. What is kept per probe is small
(positions of its matches), nothing of size probes x gallery.

Differences from OpenGait, whose numbers these are: cells are not rounded to two
decimals before they are averaged (`rounded=True` does), a cell without probes
is skipped instead of turning the mean into NaN, and a rank beyond the gallery is
left out with a note. docs/evaluation.md has all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.arguments import finite
from gaitjax.errors import GaitError
from gaitjax.retrieval import breakdowns, ranking
from gaitjax.retrieval.protocols import Labels, Protocol, Rule, column, rows_of
from gaitjax.retrieval.rank_lists import RankList, make_rank_lists
from gaitjax.retrieval.verification import (
    Distances,
    OpenSet,
    open_set,
    sample_distances,
)

NUM_OPEN = 2000  # probes searched as strangers; chosen: a FAR of 0.1 % is 2 of them


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The numbers of one protocol; the dicts go by probe condition.

    protocol, probe, gallery, distance: what was measured: names of the protocol,
      of the two modalities and of the metric between embeddings.
    rows: the results, one dict per number (see DESIGN), values in percent.
    view_tables: names of views (or cameras) [v] and Rank-1 % f64[v,v], probe view x
      gallery view, the same view included, NaN where undefined; empty for lists.
    cmc: share of probes with a match among the k nearest, k = 1, 2, ...
    per_probe: `row` (record number), `first` (position of the first match, 0 =
      none), `ap`, `inp` of every probe; empty for view pairs.
    rank_lists: a few probes and their nearest, over the whole allowed gallery.
    notes: what was left out and why.
    distances: of some genuine and impostor pairs of all conditions.
    open_set: what some probes find, known and as strangers.
    embeddings: what was searched, f32[n,p,d] by modality.
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
    distances: Distances | None = None
    open_set: OpenSet | None = None
    embeddings: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


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
    num_pairs: int = 20_000,
    reranks: Sequence[ranking.Rerank] = (),
    progress: breakdowns.Progress | None = None,
) -> Evaluation:
    """Search the gallery with every probe of the protocol.

    embeddings: f32[n,p,d] by modality, row i being row i of the index.
    metric: distance between embeddings, "euclidean" or "cosine".
    ranks: those that the protocol states are added.
    rounded: round what is averaged over views to two decimals, as OpenGait does.
    probe, gallery: modalities; may be left out when there is only one.
    block: probes per step, of each device of this process; they share them.
    num_lists: rank lists kept per condition: best, worst and random ones.
    num_pairs: genuine, and impostor, distances kept at most; 0 leaves out the open
      set, too.
    reranks: each gives rows of its own stage, and rank lists; the rest of what is
      returned is that of the base distances.
    progress: called with (steps done, steps in all), gallery by gallery.
    """
    _check_options(metric, ranks, block)
    probe, gallery = _modalities(embeddings, probe, gallery)
    for name in sorted({probe, gallery}):
        _check_rows(name, embeddings[name], index)
    chosen, missing = _select(index, protocol, probe == gallery)
    tasks = [
        breakdowns.Task(
            subject=_numbers("subject", index),
            exclude=tuple(_numbers(field, index) for field in protocol.exclude),
            group=column(protocol.group, index),
            group_name=protocol.group,
            conditions=conditions,
            probes=np.unique(np.concatenate(list(conditions.values()))),
            items=items,
            misses=protocol.misses,
            per_view=protocol.breakdown == "views",
            probe_embeddings=np.asarray(embeddings[probe]),
            gallery_embeddings=np.asarray(embeddings[gallery]),
            metric=metric,
            ranks=sorted({*ranks, *protocol.ranks}),
            rounded=rounded,
            block=block,
        )
        for items, conditions in chosen
    ]
    pairs = protocol.breakdown == "view_pairs"
    breakdown = breakdowns.view_pairs if pairs else breakdowns.probe_list
    found = breakdowns.Found()
    rank_lists = {}
    names = (protocol.name, probe, gallery, metric)
    again: list[dict] = []
    for task in tasks:
        one = breakdown(task, progress or (lambda done, steps: None))
        lists = make_rank_lists(task, num_lists, one.per_probe, reranks=reranks)
        rank_lists |= lists
        found.add(one)
    for rerank in reranks:
        found.notes += _clamped(rerank, tasks, pairs)
        for task in tasks:
            task = dataclasses.replace(task, rerank=rerank)
            other = breakdown(task, progress or (lambda done, steps: None))
            again += [_row(names, *row, stage=rerank.stage) for row in other.rows]
    return Evaluation(
        *names,
        rows=[_row(names, *row) for row in found.rows] + again,
        view_tables=found.view_tables,
        cmc=found.cmc,
        per_probe=found.per_probe,
        rank_lists=rank_lists,
        notes=missing + found.notes,
        distances=sample_distances(tasks, num_pairs) if num_pairs else None,
        open_set=open_set(tasks, NUM_OPEN) if num_pairs else None,
        embeddings=embeddings,
    )


def _clamped(
    rerank: ranking.Rerank, tasks: Sequence[breakdowns.Task], pairs: bool
) -> list[str]:
    """A note where a list is shorter than what is to be sorted again."""
    sizes = [
        np.unique(task.group[task.items], return_counts=True)[1].min()
        if pairs
        else len(task.items)
        for task in tasks
    ]
    if rerank.depth is None or rerank.depth <= min(sizes):
        return []
    return [
        f"{rerank.stage}: of the nearest {rerank.depth}, {min(sizes)} are all that the "
        "shortest list has"
    ]


def _row(
    names: tuple[str, ...],
    condition: str,
    metric: str,
    value: float,
    n_probe: int,
    without: int,
    stage: str = "initial",
) -> dict:
    protocol, probe, gallery, distance = names
    return {
        "protocol": protocol,
        "probe": probe,
        "gallery": gallery,
        "condition": condition,
        "distance": distance,
        "stage": stage,
        "metric": metric,
        "value": value,
        "n_probe": n_probe,
        "n_without_match": without,
    }


def _select(
    index: Labels, protocol: Protocol, same_modality: bool
) -> tuple[list[tuple[np.ndarray, dict[str, np.ndarray]]], list[str]]:
    """Rows of each gallery and of its probes by condition; notes on what is missing.

    Conditions with probes and a gallery only; none at all is an error.
    """
    chosen, missing = [], {}
    for rule, names in _galleries(protocol):
        items = rows_of(rule, index)
        probes = {name: rows_of(protocol.probes[name], index) for name in names}
        for name, rows in probes.items():
            if not len(rows) or not len(items):
                missing[name] = "gallery" if len(rows) else "probes"
        probes = {name: rows for name, rows in probes.items() if name not in missing}
        if probes:
            chosen.append((items, probes))
            if same_modality and not protocol.exclude:
                both = np.isin(items, np.concatenate([*probes.values()]))
                _check_disjoint(protocol, index.names[items[both]])
    if not chosen:
        lacking = sorted(set(missing.values()))
        raise GaitError(
            f"protocol {protocol.name} finds no {' and no '.join(lacking)} among "
            f"{len(index)} sequences of conditions "
            f"{np.unique(index.condition)[:9].tolist()}; choose the protocol of this "
            "data set"
        )
    return chosen, [f"{name}: no {what} (n/a)" for name, what in missing.items()]


def _galleries(protocol: Protocol) -> list[tuple[Rule, list[str]]]:
    """Each gallery's rule and the probe conditions that search it."""
    own = protocol.galleries
    shared = [name for name in protocol.probes if name not in own]
    return [(protocol.gallery, shared), *((rule, [name]) for name, rule in own.items())]


def _numbers(field: str, index: Labels) -> np.ndarray:
    """A label of every row as a number: comparing those is fast, int32[n]."""
    return np.unique(column(field, index), return_inverse=True)[1].astype(np.int32)


def _check_disjoint(protocol: Protocol, both: np.ndarray) -> None:
    if len(both):
        raise GaitError(
            f"protocol {protocol.name}: {len(both)} sequences are probe and gallery "
            f"at once, the first is {both[0]}; make the rules disjoint"
        )


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
    finite(f"embeddings {name}", embedding, index.names, "checkpoint")


def _check_options(metric: str, ranks: Sequence[int], block: int) -> None:
    if metric not in ("euclidean", "cosine"):
        raise GaitError(f"metric is euclidean or cosine, got {metric}; choose one")
    if not ranks or min(ranks) < 1 or block < 1:
        raise GaitError(
            f"ranks and block count from 1, got ranks={list(ranks)}, block={block}; "
            "give at least rank 1"
        )
