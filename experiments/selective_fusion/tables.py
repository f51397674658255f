"""The tables and the plots of README.md, from results.json.

usage: python experiments/selective_fusion/tables.py [--results FILE]
           [--runs runs/selective_fusion_study]

Prints Markdown and writes main.png, rounds.png, views.png and singles.png beside the
file (results_tiny.json: main_tiny.png, ...), and map.png and sheet.png, which a run has
drawn. Runs that are missing are named at the end.
"""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from jobs import FAST, Job, jobs
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaitjax.bench import charts
from gaitjax.bench.tables import (
    by_seed,
    costs,
    gain,
    mean_curve,
    missing,
    paired,
    rows_of,
    shown,
    table,
    warnings,
    write,
)

HERE = pathlib.Path(__file__).parent
CONDITIONS = ("NM", "BG", "CL")
QUALITY = ("nmi", "ari", "purity", "clusters", "dropped")
REFERENCE, BASELINE = "both", "baseline"
# Rows of other studies that the main table has, too: the two ends.
ENDS = ("pretraining",)
FRONTAL = ("000", "180")
PICTURES = ("map", "sheet")  # that a run has drawn
# Cosine distances from a walk in usual clothes: (name in the record, what to call it).
WEAR = {
    "again": "the same again",
    "augmented": "augmented",
    "bg": "bag",
    "cl": "coat",
    "cl_from_augmented": "augmented to coat",
    "stranger": "somebody else",
}
# Okabe and Ito: told apart without red and green.
COLOURS = {
    "pretraining": ("#000000", "x"),
    "both": ("#0072b2", "o"),
    "baseline": ("#e69f00", "v"),
    "scf": ("#009e73", "s"),
    "ssf": ("#cc79a7", "D"),
    "instances": ("#56b4e9", "P"),
    "upper": ("#d55e00", "^"),
}

Record = dict[str, Any]


def main() -> None:
    """Prints everything."""
    drawn = {name: f"{REFERENCE}-seed0/{name}.png" for name in PICTURES}
    runs = "runs/selective_fusion_study"
    write(__doc__, HERE, everything, plots, runs=runs, drawn=drawn)


def everything(records: list[Record]) -> Iterator[str]:
    """All sections."""
    yield from preface(records)
    yield from main_rows(records)
    yield from differences(records)
    yield from faster(records)
    yield from by_view(records)
    yield from quality(records)
    yield from classifiers(records)
    yield from wear(records)
    for study in dict.fromkeys(job.study for job in jobs()):
        if study not in ("main", "fast", "bases"):
            yield from one_seed(records, study)
    yield from costs(records, dict.fromkeys(job.row for job in jobs()))
    yield from missing(records, jobs())


# Arithmetic.


def finished(records: list[Record], *studies: str) -> list[str]:
    """Rows of some studies with a finished run, in the order of jobs.py."""
    return rows_of(records, (job for job in jobs() if job.study in studies))


def main_names(records: list[Record]) -> list[str]:
    """Rows of the main table: what all start from, then those that are trained."""
    there = {record["row"] for record in records}
    return [*(row for row in ENDS if row in there), *finished(records, "main")]


def rank(condition: str) -> Callable[[Record], float | None]:
    """Rank-1 of a record under a condition."""
    return lambda one: one["scores"].get(f"casia_b {condition}/rank-1")


def side(condition: str, frontal: bool) -> Callable[[Record], float | None]:
    """Rank-1 of probes from the front and the back, or of the others."""

    def mean(one: Record) -> float | None:
        found = one["views"].get(condition, {})
        values = [x for view, x in found.items() if (view in FRONTAL) == frontal]
        return statistics.fmean(values) if values else None

    return mean


def last(name: str) -> Callable[[Record], float | None]:
    """How clusters and people agree in the last round."""
    return lambda one: one["rounds"][name][-1][1] if one["rounds"].get(name) else None


def curve(records: list[Record], row: str, name: str) -> list[tuple[float, float]]:
    """[(step, mean over seeds)] of a figure over rounds."""
    runs = [one["rounds"] for one in records if one["row"] == row]
    return mean_curve(run[name] for run in runs if name in run)


# Tables.


def preface(records: list[Record]) -> Iterator[str]:
    """What the figures are, and where they no longer fit jobs.py."""
    steps = sorted({one["steps"] for one in records if one["study"] == "main"})
    yield (
        "Simulated data. Percent; mean ± standard deviation over seeds of what comes "
        "after the pre-training, of which there is one, "
        f"{' and '.join(map(str, steps)) or 'no'} steps in the main rows. Rank-1 per "
        "view pair, the same view left out (protocol `casia_b`)."
    )
    yield from warnings(records, jobs(), asked, changed)


def asked(job: Job) -> list[Any]:
    """What a job changes and stands on."""
    return [dict(job.changes), job.start, job.views]


def changed(record: Record) -> list[Any]:
    """The same of a record."""
    return [record["changes"], record["start"], record["views_of"]]


def main_rows(records: list[Record]) -> Iterator[str]:
    """The two ends, the baseline, its parts, the rival."""
    lines = []
    for row in main_names(records):
        found = [by_seed(records, row, rank(name)) for name in CONDITIONS]
        cells = [shown(one.values()) for one in found]
        lines.append([f"`{row}`", str(len(found[0])), *cells])
    if lines:
        yield "\n### Main rows: Rank-1\n"
        yield from table(["row", "seeds", *CONDITIONS], lines)


def differences(records: list[Record]) -> Iterator[str]:
    """Main rows against the baseline of the same seed."""
    lines = []
    for row in finished(records, "main"):
        if row == BASELINE:
            continue
        cells = []
        for name in CONDITIONS:
            values = by_seed(records, row, rank(name))
            cells.append(gain(paired(values, by_seed(records, BASELINE, rank(name)))))
        lines.append([f"`{row}`", *cells])
    if lines:
        yield f"\n### Rank-1 against `{BASELINE}` of the same seed, points\n"
        yield "Mean difference ± deviation, and how many seeds are higher.\n"
        yield from table(["row", *CONDITIONS], lines)


def faster(records: list[Record]) -> Iterator[str]:
    """Main rows at three times the rate, and what that changes, seed by seed."""
    lines = []
    for row in finished(records, "fast"):
        usual, cells, changes = row.removesuffix("_fast"), [], []
        for name in CONDITIONS:
            values = by_seed(records, row, rank(name))
            cells.append(shown(values.values()))
            changes.append(gain(paired(values, by_seed(records, usual, rank(name)))))
        lines.append([f"`{row}`", *cells, *changes])
    if lines:
        yield f"\n### The same at a learning rate of {FAST['optim.lr']:g}: Rank-1\n"
        yield "And the difference to the main row of the same seed.\n"
        head = [*CONDITIONS, *(f"{name}, difference" for name in CONDITIONS)]
        yield from table(["row", *head], lines)


def by_view(records: list[Record]) -> Iterator[str]:
    """Front and back apart, then every view."""
    rows = main_names(records)
    lines = []
    for row in rows:
        cells = [
            shown(by_seed(records, row, side(name, frontal)).values())
            for name in CONDITIONS
            for frontal in (True, False)
        ]
        lines.append([f"`{row}`", *cells])
    if lines:
        kinds = ("front, back", "other")
        head = [f"{name}, {kind}" for name in CONDITIONS for kind in kinds]
        yield "\n### Front and back views apart: Rank-1 by the probe's view\n"
        yield from table(["row", *head], lines)
    for name in CONDITIONS:
        yield from every_view(records, rows, name)


def every_view(records: list[Record], rows: list[str], name: str) -> Iterator[str]:
    """Means over seeds of a condition."""
    lines, views = [], sorted({v for x in records for v in x["views"].get(name, {})})
    for row in rows:
        values = view_means(records, row, name)
        cells = [f"{values[v]:.1f}" if v in values else "n/a" for v in views]
        lines.append([f"`{row}`", *cells])
    if views:
        yield f"\n### By the probe's view: {name}\n"
        yield from table(["row", *(f"{int(view)}°" for view in views)], lines)


def view_means(records: list[Record], row: str, name: str) -> dict[str, float]:
    """{view: Rank-1, mean over seeds} of a condition."""
    runs = [x["views"].get(name, {}) for x in records if x["row"] == row]
    views = sorted({view for run in runs for view in run})
    return {v: statistics.fmean(run[v] for run in runs if v in run) for v in views}


def quality(records: list[Record]) -> Iterator[str]:
    """Clusters and people: the first round, and the last."""
    lines = []
    for row in finished(records, "main"):
        curves = [curve(records, row, name) for name in QUALITY]
        if any(curves):
            ends = [
                f"{curve[0][1]:.3g} → {curve[-1][1]:.3g}" if curve else "n/a"
                for curve in curves
            ]
            lines.append([f"`{row}`", *ends])
    if lines:
        yield "\n### Clusters and people: first round → last round\n"
        yield "Means over seeds (rounds.png has all rounds).\n"
        yield from table(["row", *QUALITY], lines)


def classifiers(records: list[Record]) -> Iterator[str]:
    """Sequences of the target's test people that are told right."""
    found = [one for one in records if one["accuracy"]]
    lines = []
    for one in found:
        values = one["accuracy"]
        front = [f"{values[view]:.1f}" if view in values else "n/a" for view in FRONTAL]
        cells = [str(one["steps"]), f"{values['balanced']:.1f}", *front]
        lines.append([f"`{one['row']}`", *cells])
    if lines:
        yield "\n### Classifiers of views: accuracy on the target's test people\n"
        yield "Balanced: the mean of front and back and of the other views.\n"
        yield from table(["base", "steps", "balanced", "0°", "180°"], lines)


def wear(records: list[Record]) -> Iterator[str]:
    """How far other clothes are, drawn and worn."""
    found = [one for one in records if one["wear"] and one["seed"] == 0]
    order = main_names(records)
    lines = []
    for one in sorted(found, key=lambda one: order.index(one["row"])):
        cells = [f"{one['wear'][name]:.3f}" for name in (*WEAR, "towards_cl")]
        lines.append([f"`{one['row']}`", *cells])
    if lines:
        yield "\n### Clothes: cosine distance from a usual walk (1 seed)\n"
        yield (
            "Test people, same person and same side but for the last; the augmentation "
            "always on. Direction: the cosine between where the augmentation moves a "
            "walk and where the coat is.\n"
        )
        yield from table(["row", *WEAR.values(), "direction"], lines)


def one_seed(records: list[Record], study: str) -> Iterator[str]:
    """The rows of an ablation beside what they change, seed 0."""
    rows = finished(records, study)
    lines = []
    for row in [beside(study), *rows]:
        found = [by_seed(records, row, rank(name)) for name in CONDITIONS]
        if 0 not in found[0]:
            continue
        cells = [shown([one[0]] if 0 in one else []) for one in found]
        more = [by_seed(records, row, last(name)) for name in ("nmi", "clusters")]
        cells += [f"{one[0]:.3g}" if 0 in one else "n/a" for one in more]
        lines.append([f"`{row}`", *cells])
    if rows:
        yield f"\n### {study.capitalize()} (1 seed)\n"
        head = ["row, seed 0", *CONDITIONS, "last NMI", "last clusters"]
        yield from table(head, lines)


def beside(study: str) -> str:
    """The row that those of a study change by one thing."""
    changes = next(job.changes for job in jobs() if job.study == study)
    alone = "method_args.fusion_round" in changes
    return BASELINE if alone else REFERENCE


# Plots.


def plots(records: list[Record]) -> Iterator[tuple[str, Figure]]:
    """Those that there is something for, by name."""
    rows = main_names(records)
    if rows:
        yield "main", seeds(records, rows)
    if any(curve(records, row, "nmi") for row in rows):
        yield "rounds", over_rounds(records, rows)
    if any(record["views"] for record in records):
        yield "views", views(records, rows)
    studies = {job.study for job in jobs()} - {"main", "fast", "bases"}
    if single := finished(records, *studies):
        yield "singles", singles(records, single)


def seeds(records: list[Record], rows: list[str]) -> Figure:
    """A panel per condition."""
    figure, found = charts.panels(titles(), 1.4 + 0.34 * len(rows))
    for axes, name in zip(found, CONDITIONS, strict=True):
        values = {row: by_seed(records, row, rank(name)).values() for row in rows}
        charts.seeds(axes, values)
    charts.legend_below(figure, found)
    return figure


def titles() -> list[str]:
    """Of panels by condition."""
    return [f"{name}, Rank-1, %" for name in CONDITIONS]


def over_rounds(records: list[Record], rows: list[str]) -> Figure:
    """Means over seeds against steps."""
    names = ("nmi", "purity", "clusters")
    figure, found = charts.panels(names, 3.4, "steps")
    for axes, name in zip(found, names, strict=True):
        for row in rows:
            draw(axes, row, curve(records, row, name))
    charts.legend_below(figure, found)
    return figure


def views(records: list[Record], rows: list[str]) -> Figure:
    """Against the probe's view."""
    figure, found = charts.panels(titles(), 3.4, "view of the probe, degrees")
    for axes, name in zip(found, CONDITIONS, strict=True):
        for row in rows:
            values = view_means(records, row, name)
            draw(axes, row, [(int(view), x) for view, x in values.items()])
    charts.legend_below(figure, found)
    return figure


def draw(axes: Axes, row: str, points: list[tuple[float, float]]) -> None:
    """A line of a main row, the same in every plot."""
    colour, marker = COLOURS[row]
    if points:
        style = dict(color=colour, marker=marker, label=row, ms=4)
        axes.plot(*zip(*points, strict=True), **style)


def singles(records: list[Record], rows: list[str]) -> Figure:
    """Rank-1 of CL of one-seed rows less that of seed 0 of what they change."""
    label = f"CL, Rank-1 less that of {REFERENCE} or {BASELINE}, seed 0, points"
    figure, (axes,) = charts.panels([""], 1.6 + 0.25 * len(rows), label)
    studies = {job.row: job.study for job in jobs()}
    found = {}
    for row in rows:
        usual = by_seed(records, beside(studies[row]), rank("CL"))
        values = by_seed(records, row, rank("CL"))
        both = 0 in usual and 0 in values
        found[row] = values[0] - usual[0] if both else None
    charts.changes(axes, found)
    return figure


if __name__ == "__main__":
    main()
