"""The report of a run: one page in one file, for a phone or a desktop."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gaitjax.files import write_atomically
from gaitjax.report import elements, pictures, plots, tables
from gaitjax.report.embedding_map import EmbeddingMap
from gaitjax.report.pictures import Frames
from gaitjax.retrieval.rank_lists import RankList
from gaitjax.retrieval.search import Evaluation
from gaitjax.retrieval.verification import Distances, OpenSet, dir_at_far

# Chosen: rank lists on a page, of some 20 kB each; large figures; open heat maps.
NUM_PICTURES, NUM_CARDS, NUM_TABLES = 120, 16, 4
FALSE_ALARMS = (0.001, 0.01, 0.05)  # shares of strangers answered; chosen


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    dataset: str,
    config: Mapping,
    environment: Mapping,
    evaluations: Sequence[Evaluation],
    metrics: Sequence[Mapping[str, float]] = (),
    frames: Frames | None = None,
    names: Sequence[str] | None = None,
    unfinished: str = "",
    embedding_map: EmbeddingMap | None = None,
    saliency: Sequence[tuple[str, np.ndarray]] | None = (),
) -> None:
    """Write the page.

    dataset: its name; one that begins with `walkers` is marked as simulated.
    config, environment: nested mappings, shown as they are.
    metrics: one dict per logged step, with `step`.
    frames: modality, record number -> u8[t,h,w] or u8[t,h,w,c]; without it, no rank
      lists. names: of the records.
    unfinished: what the run still has to do, such as "step 300 of 900".
    saliency: captions and pictures u8[y,x,3]; None: the network has no map to show.
    """
    parts = list(_header(title, dataset, evaluations, unfinished))
    headline, *others = by_distance(evaluations) or [[]]
    for evaluation in headline:
        parts += _results(evaluation)
        if frames is not None:
            lists = fitting(evaluation.rank_lists, NUM_PICTURES // len(headline))
            parts += _rank_lists(evaluation, lists, frames, names)
        parts += _verification(evaluation.distances)
        parts += _open_set(evaluation.open_set)
    for some in others:
        parts += _other_distance(some)
    parts += _embedding_map(embedding_map)
    parts += _saliency(saliency)
    parts += _training(metrics)
    parts.append(elements.mapping("Configuration", config))
    parts.append(elements.mapping("Environment", environment))
    write_atomically(path, elements.page(title, parts))


def _header(
    title: str, dataset: str, evaluations: Sequence[Evaluation], unfinished: str
) -> Iterator[str]:
    names = ", ".join(dict.fromkeys(one.protocol for one in evaluations)) or "none"
    yield f"<header><h1>{elements.text(title)}</h1>"
    yield elements.paragraph(f"Data set {dataset} · protocol {names}")
    if unfinished:
        rest = f"{unfinished}; the figures are those of a run on its way."
        yield elements.note("Unfinished:", rest)
    if dataset.startswith("walkers"):
        yield elements.simulated_note()
    yield "</header>"
    for some in by_distance(evaluations)[:1]:
        yield from _headline(some)


def by_distance(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Those of the headline distance, which is the first, then those of others."""
    groups: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(evaluation.distance, []).append(evaluation)
    return list(groups.values())


def _headline(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """The first metric of the first measurements, large."""
    room = NUM_CARDS
    for evaluation in evaluations:
        for group in tables.measurements(evaluation.rows):
            metric = group[0]["metric"]
            rows = [row for row in group if row["metric"] == metric]
            if len(rows) > room:
                return
            room -= len(rows)
            stage = "" if group[0]["stage"] == "initial" else f", {group[0]['stage']}"
            what = f"{metric}, %, {_modalities(evaluation)}{stage}"
            yield elements.paragraph(f"{evaluation.protocol}: {what}")
            cards = "".join(
                f"<div><b>{tables.percent(row['value'])}</b>"
                f"<span>{elements.text(row['condition'])}</span></div>"
                for row in rows
            )
            yield f'<div class="cards">{cards}</div>'


def _modalities(evaluation: Evaluation) -> str:
    return f"{evaluation.probe} → {evaluation.gallery}"


def _title(evaluation: Evaluation) -> str:
    return f"{evaluation.protocol}: {_modalities(evaluation)}"


def _results(evaluation: Evaluation) -> Iterator[str]:
    """Tables, curves and view tables of one protocol."""
    yield f"<h2>{elements.text(_title(evaluation))}</h2>"
    yield elements.paragraph(
        f"Probe {evaluation.probe}, gallery {evaluation.gallery}, "
        f"{evaluation.distance} distance."
    )
    yield from _tables(evaluation)
    yield elements.listed(evaluation.notes)
    if evaluation.cmc:
        yield "<h3>Probes with a match among the k nearest</h3>"
        yield elements.figures([(plots.cmc_curves(evaluation.cmc), "CMC curves")])
    if evaluation.view_tables:
        yield "<h3>Rank-1 by view, %</h3>"
        inner = elements.heat_tables(
            ((*table, name) for name, table in evaluation.view_tables.items()),
            ("probe", "gallery"),
        )
        number = len(evaluation.view_tables)
        few = number <= NUM_TABLES
        yield inner if few else elements.details(f"{number} conditions", inner)


def _tables(evaluation: Evaluation) -> Iterator[str]:
    for group in tables.by_stages(evaluation.rows):
        yield elements.table(tables.grid(group), f"stage: {group[0]['stage']}")
    if not evaluation.rows:
        yield elements.paragraph(tables.results_table([]))


def _other_distance(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """The tables alone: its pictures would hardly differ from those above."""
    yield f"<h2>The same by {elements.text(evaluations[0].distance)} distance</h2>"
    for evaluation in evaluations:
        yield f"<h3>{elements.text(_title(evaluation))}</h3>"
        yield from _tables(evaluation)


def fitting(
    lists: Mapping[str, Sequence[RankList]], room: int
) -> dict[str, list[RankList]]:
    """As many rank lists as there is room for: first fewer, at least three, probes
    of each condition, then fewer conditions."""
    most = max(room // max(len(lists), 1), 3)
    chosen = {}
    for name, some in lists.items():
        kept = _in_turns(some, most)
        room -= len(kept)
        if room >= 0 and kept:
            chosen[name] = kept
    return chosen


def _in_turns(lists: Sequence[RankList], most: int) -> list[RankList]:
    """Lists of some probes, all stages of each, of every kind in turn."""
    groups: dict[int, list[RankList]] = {}
    for one in lists:
        groups.setdefault(one.probe, []).append(one)
    most = max(most * len(groups) // max(len(lists), 1), 1)
    seen: collections.Counter[str] = collections.Counter()
    turns = []
    for place, group in enumerate(groups.values()):
        seen[group[0].kind] += 1
        turns.append((seen[group[0].kind], place))
    kept = {place for _, place in sorted(turns)[:most]}
    groups = [group for place, group in enumerate(groups.values()) if place in kept]
    return [one for group in groups for one in group]


def _rank_lists(
    evaluation: Evaluation,
    lists: Mapping[str, Sequence[RankList]],
    frames: Frames,
    names: Sequence[str] | None,
) -> Iterator[str]:
    """Pictures of some probes and their nearest, the stages of a probe together."""
    if lists:
        yield "<h3>Rank lists</h3>"
        yield elements.paragraph(
            "Left, in grey, the probe; then its nearest, right ones in green, wrong "
            "ones in broken red. Best and worst by average precision (AP)."
        )
    for number, (name, some) in enumerate(lists.items()):
        blocks: dict[int, list[tuple[str, np.ndarray]]] = {}
        for one in some:
            modalities = evaluation.probe, evaluation.gallery
            image = pictures.rank_list_picture(one, frames, *modalities)
            label = names[one.probe] if names is not None else f"record {one.probe}"
            blocks.setdefault(one.probe, []).append((caption(one, label), image))
        inner = "".join(map(elements.captioned, blocks.values()))
        yield elements.details(name, inner, opened=number == 0)
    left = [name for name in evaluation.rank_lists if name not in lists]
    if left and any(evaluation.rank_lists[name] for name in left):
        yield elements.paragraph(f"Left out to keep the page small: {', '.join(left)}.")


def caption(one: RankList, name: str) -> str:
    """Why this probe is shown and how it did, in one line."""
    parts = [one.kind] if one.stage == "initial" else [one.kind, one.stage]
    ap = "" if one.ap is None else f", AP {100 * one.ap:.0f} %"
    found = f"{sum(one.right)} of {len(one.right)} right{ap}"
    return " · ".join([*parts, name, found])


def _verification(distances: Distances | None) -> Iterator[str]:
    if distances is None or not (len(distances.genuine) and len(distances.impostor)):
        return
    genuine, impostor = distances.genuine, distances.impostor
    yield "<h3>Same person or not</h3>"
    yield elements.paragraph(
        f"{len(genuine):,} pairs of sequences of one person and {len(impostor):,} of "
        "two, drawn evenly over all conditions and views that the protocol allows. "
        "The DET curve: what a threshold on the distance confuses and what it misses."
    )
    yield elements.figures(
        [
            (plots.distance_histogram(genuine, impostor), "Distances of pairs"),
            (plots.det_curve(genuine, impostor), "DET curve"),
        ]
    )


def _open_set(found: OpenSet | None) -> Iterator[str]:
    if found is None or not (len(found.known) and len(found.stranger)):
        return
    yield "<h3>Known or unknown</h3>"
    yield elements.paragraph(
        f"{len(found.known):,} probes of people in the gallery, and "
        f"{len(found.stranger):,} of strangers, whose own sequences were taken out of "
        f"it: {found.num_people:,} people, {found.num_items:,} sequences. A probe is "
        "answered with the nearest sequence where that is within the threshold, else "
        "it is unknown. In a larger gallery more strangers are answered."
    )
    lines = [("false alarms allowed, %", "happened, %", "DIR rank-1, %", "threshold")]
    for far in FALSE_ALARMS:
        arrays = found.known, found.right, found.stranger
        rate, threshold, share = dir_at_far(*arrays, far)
        shares = f"{100 * share:.2f}", f"{100 * rate:.1f}"
        lines.append((f"{100 * far:g}", *shares, f"{threshold:.4g}"))
    yield elements.table(lines, "Strangers answered, and people found")


def _embedding_map(found: EmbeddingMap | None) -> Iterator[str]:
    if found is None:
        return
    yield "<h2>Embeddings on a plane</h2>"
    yield elements.paragraph(
        f"t-SNE of {len(found.places):,} sequences, the same in every panel: identity "
        "should form islands, the others should not. Axes have no unit."
    )
    yield elements.figures(
        (plots.scatter(found.places, values, key), f"Embeddings by {key}")
        for key, values in found.labels.items()
    )


def _saliency(saliency: Sequence[tuple[str, np.ndarray]] | None) -> Iterator[str]:
    if saliency is None or len(saliency):
        yield "<h2>Where the network looks</h2>"
    if saliency is None:
        yield elements.paragraph(
            "No Grad-CAM: the network has no submodule `backbone` with a feature map "
            "per frame."
        )
    elif len(saliency):
        yield elements.paragraph(
            "Grad-CAM: bright is what makes a sequence similar to the others of its "
            "person. Above the frames that the network saw, below the same with heat."
        )
        yield elements.side_by_side(elements.captioned([one]) for one in saliency)


def _training(metrics: Sequence[Mapping[str, float]]) -> Iterator[str]:
    curves = plots.learning_curves({"": metrics})
    if curves:
        yield "<h2>Training</h2>"
        yield elements.figures((figure, name) for name, figure in curves.items())
