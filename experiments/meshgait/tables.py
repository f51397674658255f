"""The tables and the plots of README.md, from results.json.

usage: python experiments/meshgait/tables.py [--results FILE]

Prints Markdown and writes main, training, views, changed and singles.png beside the
file (results_tiny.json: main_tiny.png, ...). Runs that are missing are named last.
"""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from jobs import CHANGED, CLIP, SIDE, TWINS, jobs
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
# Of a twin: the protocol and condition of the headline; where mAP is.
HEADLINE = {"oumvlp": "oumvlp NM", "gait3d": "gait3d all"}
PRECISION = {"oumvlp": "oumvlp_all_views NM/mAP", "gait3d": "gait3d all/mAP"}
ERRORS = ("joints", "vertices")
REFERENCE = "concat"
# What a study's rows are beside, in their order: (name, row).
BESIDE = {
    "labels": [("all sequences", "concat"), ("none", "unsupervised")],
    "clips": [(f"the recipe, {CLIP} frames", "concat")],
    "resolution": [(f"the recipe, {SIDE} voxels a side", "concat")],
    "brief": [(f"{SIDE} voxels a side", f"brief_{SIDE}")],
}
# Okabe and Ito: told apart without red and green.
COLOURS = {
    "2d": ("#009e73", "s"),
    "concat": ("#0072b2", "o"),
    "unsupervised": ("#e69f00", "v"),
    "3d": ("#d55e00", "^"),
    "add": ("#cc79a7", "D"),
}
# Of changed test clips: (what is said of them, the axis of the plot).
KINDS = {
    "noise": ("noise of test silhouettes", "share of pixels turned over"),
    "occlusion": ("occlusion of test silhouettes", "share of the height hidden"),
    "frames": ("as many frames of test clips", "frames of a test clip"),
}

Record = dict[str, Any]


def main() -> None:
    """Prints everything."""
    write(__doc__, HERE, everything, plots)


def everything(records: list[Record]) -> Iterator[str]:
    """All sections."""
    yield from preface(records)
    yield from main_rows(records)
    yield from differences(records)
    yield from over_training(records)
    yield from by_view(records)
    for study in dict.fromkeys(job.study for job in jobs()):
        if study not in ("main", "twins"):
            yield from one_seed(records, study)
    yield from twins(records)
    for kind in CHANGED:
        yield from changed(records, kind)
    yield from costs(records, dict.fromkeys(job.row for job in jobs()))
    yield from missing(records, jobs())


# Arithmetic.


def finished(records: list[Record], *studies: str) -> list[str]:
    """Rows of some studies with a finished run, in the order of jobs.py."""
    return rows_of(records, (job for job in jobs() if job.study in studies))


def rank(k: int) -> Callable[[Record], float | None]:
    """Rank-k of a record, on the twin that it was trained on."""
    return lambda one: one["scores"].get(f"{HEADLINE[one['twin']]}/rank-{k}")


def precision(record: Record) -> float | None:
    """mAP; on the twin of OU-MVLP over all views, since view pairs have none."""
    return record["scores"].get(PRECISION[record["twin"]])


def error(label: str, view: str = "all") -> Callable[[Record], float | None]:
    """Of joints or vertices on the test split, mm."""
    return lambda one: one["errors"].get(label, {}).get(view)


def figures() -> dict[str, Callable[[Record], float | None]]:
    """The columns of most tables."""
    return {
        "Rank-1": rank(1),
        "Rank-5": rank(5),
        "mAP": precision,
        **{f"{label}, mm": error(label) for label in ERRORS},
    }


# Tables.


def preface(records: list[Record]) -> Iterator[str]:
    """What the figures are, and where they no longer fit jobs.py."""
    steps = sorted({one["steps"] for one in records if one["study"] == "main"})
    yield (
        "Simulated data. Percent; mean ± standard deviation over training seeds, "
        f"{' and '.join(map(str, steps)) or 'no'} steps in the main rows. Trained and "
        "tested on the twin of OU-MVLP unless it says otherwise: Rank-1 and Rank-5 per "
        "view pair, the same view left out (protocol `oumvlp`), mAP in one gallery of "
        "all views (`oumvlp_all_views`). Errors: mean distance of a point of the test "
        "split, as seen from the pelvis; n/a where no label was learnt."
    )
    yield from warnings(
        records, jobs(), lambda job: dict(job.changes), lambda one: one["changes"]
    )


def main_rows(records: list[Record]) -> Iterator[str]:
    """The method, its branches, its rivals."""
    lines = []
    for row in finished(records, "main"):
        found = [by_seed(records, row, fn) for fn in figures().values()]
        cells = [shown(one.values()) for one in found]
        lines.append([f"`{row}`", str(len(found[0])), *cells])
    if lines:
        yield "\n### Main rows\n"
        yield from table(["row", "seeds", *figures()], lines)


def differences(records: list[Record]) -> Iterator[str]:
    """Main rows against the 2D branch alone, and against the method."""
    rivals = ("2d", "unsupervised", "concat")
    lines = []
    for row in finished(records, "main"):
        values = by_seed(records, row, rank(1))
        others = (by_seed(records, rival, rank(1)) for rival in rivals)
        cells = [gain(paired(values, other)) for other in others]
        if row in rivals:
            cells[rivals.index(row)] = ""
        lines.append([f"`{row}`", *cells])
    if lines:
        yield "\n### Rank-1 against others of the same seed, points\n"
        yield "Mean difference ± deviation, and how many seeds are higher.\n"
        yield from table(["row", *(f"to `{rival}`" for rival in rivals)], lines)


def over_training(records: list[Record]) -> Iterator[str]:
    """Of main rows at a few steps: errors on training clips, Rank-1 of the test."""
    names = {"Rank-1": "NM/rank-1", **{f"{x}, mm": f"{x}/error_mm" for x in ERRORS}}
    lines = []
    for row in finished(records, "main"):
        for title, name in names.items():
            found = curve(records, row, name)
            chosen = [round(i * (len(found) - 1) / 4) for i in range(5)]
            points = [found[i] for i in dict.fromkeys(chosen)] if found else []
            if points:
                text = ", ".join(f"{step:g}: {value:.1f}" for step, value in points)
                lines.append([f"`{row}`", title, text])
    if lines:
        yield "\n### Over training: step and figure\n"
        yield "Errors are of training clips, means over seeds (training.png has all).\n"
        yield from table(["row", "figure", "step: value"], lines)


def curve(records: list[Record], row: str, name: str) -> list[tuple[float, float]]:
    """[(step, mean over seeds)] of a figure over training."""
    runs = [one["training"] for one in records if one["row"] == row]
    return mean_curve(run[name] for run in runs if name in run)


def view_figures(records: list[Record], row: str) -> dict[str, dict[str, list[float]]]:
    """{figure: {probe view: a value per seed}} of a row."""
    found: dict[str, dict[str, list[float]]] = {"Rank-1": {}, "joints, mm": {}}
    for record in records:
        if record["row"] == row:
            for view, value in record["views"].items():
                found["Rank-1"].setdefault(view, []).append(value)
            for view, value in record["errors"].get("joints", {}).items():
                if view != "all":
                    found["joints, mm"].setdefault(view, []).append(value)
    return found


def by_view(records: list[Record]) -> Iterator[str]:
    """Main rows: are 0 and 180 degrees the worst?"""
    views = sorted(
        {v for one in records if one["study"] == "main" for v in one["views"]}
    )
    for title in ("Rank-1", "joints, mm"):
        lines = []
        for row in finished(records, "main"):
            found = view_figures(records, row)[title]
            if found:
                means = {v: statistics.fmean(found[v]) for v in views if v in found}
                worst = (min if title == "Rank-1" else max)(means, key=means.get)
                cells = [f"{means[v]:.1f}" if v in means else "n/a" for v in views]
                lines.append([f"`{row}`", *cells, worst])
        if lines:
            yield f"\n### By the probe's view: {title}, mean over seeds\n"
            yield from table(["row", *(f"{int(v)}°" for v in views), "worst"], lines)


def one_seed(records: list[Record], study: str) -> Iterator[str]:
    """The rows of an ablation beside what they change."""
    rows = finished(records, study)
    beside = BESIDE.get(study, [("the recipe", REFERENCE)])
    _, reference = beside[0]
    named = [(f"`{row}` ({text})", row) for text, row in beside]
    named += [(f"`{row}`", row) for row in rows if row not in dict(named).values()]
    lines = []
    for label, row in named:
        found = [by_seed(records, row, fn) for fn in figures().values()]
        if 0 not in found[0]:
            continue
        cells = [shown([one[0]] if 0 in one else []) for one in found]
        change = to_seed_0(records, row, reference)
        cells.insert(1, "" if change is None or row == reference else f"{change:+.1f}")
        lines.append([label, *cells])
    if rows:
        first, *others = figures()
        head = ["row, seed 0", first, f"to `{reference}`", *others]
        yield f"\n### {study.capitalize()} (1 seed)\n"
        yield from table(head, lines)


def to_seed_0(records: list[Record], row: str, reference: str) -> float | None:
    """Rank-1 of the row's seed 0 less that of another row."""
    values, usual = (by_seed(records, one, rank(1)) for one in (row, reference))
    return values[0] - usual[0] if 0 in values and 0 in usual else None


def twins(records: list[Record]) -> Iterator[str]:
    """Trained on one twin and tested on both."""
    lines = []
    for record in records:
        if record["elsewhere"]:
            (other,) = set(TWINS) - {record["twin"]}
            cells = []
            for twin, found in (
                (record["twin"], record["scores"]),
                (other, record["elsewhere"]),
            ):
                keys = (f"{HEADLINE[twin]}/rank-1", PRECISION[twin])
                figure = " / ".join(
                    shown([found[k]] if k in found else []) for k in keys
                )
                cells.append((twin, figure))
            row = record["row"].removeprefix("gait3d_")
            on = dict(cells)
            lines.append([f"`{row}`", record["twin"], *(on[twin] for twin in TWINS)])
    if lines:
        yield "\n### Trained on one twin, tested on both: Rank-1 / mAP (1 seed)\n"
        head = ["row", "trained on", *(f"tested on {twin}" for twin in TWINS)]
        yield from table(head, sorted(lines))


def changed_curves(
    records: list[Record], kind: str
) -> dict[str, list[tuple[float, float]]]:
    """{row: [(strength, Rank-1)]} of what was tested on changed clips."""
    found = {}
    for record in records:
        points = {
            float(name.split()[1]): scores["NM/rank-1"]
            for name, scores in record["changed"].items()
            if name.split()[0] == kind
        }
        if points:
            clean = rank(1)(record) if kind != "frames" else None
            points |= {} if clean is None else {0.0: clean}
            found[record["row"]] = sorted(points.items())
    return {row: found[row] for row in finished(records, "main") if row in found}


def changed(records: list[Record], kind: str) -> Iterator[str]:
    """Rank-1 by how strong, 0 being clips as they are; or by length."""
    asked = CHANGED[kind] if kind == "frames" else (0.0, *CHANGED[kind])
    lines = []
    for row, points in changed_curves(records, kind).items():
        values = dict(points)
        cells = [f"{values[at]:.1f}" if at in values else "n/a" for at in asked]
        lines.append([f"`{row}`", *cells])
    if lines:
        yield f"\n### Rank-1 with {KINDS[kind][0]} (1 seed)\n"
        yield from table(["row", *(f"{at:g}" for at in asked)], lines)


# Plots.


def plots(records: list[Record]) -> Iterator[tuple[str, Figure]]:
    """Those that there is something for, by name."""
    rows = finished(records, "main")
    if rows:
        yield "main", seeds(records, rows)
        yield "training", curves(records, rows)
        if any(view_figures(records, row)["Rank-1"] for row in rows):
            yield "views", views(records, rows)
    if any(changed_curves(records, kind) for kind in CHANGED):
        yield "changed", changed_panels(records)
    studies = {job.study for job in jobs()} - {"main", "twins", "brief"}
    if single := finished(records, *studies):
        yield "singles", singles(records, single)


def style(row: str) -> dict[str, str]:
    """Of a main row, the same in every plot."""
    colour, marker = COLOURS[row]
    return {"color": colour, "marker": marker, "label": row}


def seeds(records: list[Record], rows: list[str]) -> Figure:
    """Of recognition and of bodies."""
    titles = ("Rank-1, %", "joint error, mm")
    figure, panels = charts.panels(titles, 1.4 + 0.34 * len(rows))
    for axes, fn in zip(panels, (rank(1), error("joints")), strict=True):
        charts.seeds(axes, {row: by_seed(records, row, fn).values() for row in rows})
    charts.legend_below(figure, panels)
    return figure


def curves(records: list[Record], rows: list[str]) -> Figure:
    """Means over seeds against steps."""
    titles = ("joint error of training clips, mm", "Rank-1 of the test, %")
    figure, panels = charts.panels(titles, 3.4, "steps")
    for axes, name in zip(panels, ("joints/error_mm", "NM/rank-1"), strict=True):
        for row in rows:
            points = curve(records, row, name)
            if points:
                axes.plot(*zip(*points, strict=True), ms=4, **style(row))
        axes.set_ylim(bottom=0)
    charts.legend_below(figure, panels)
    return figure


def views(records: list[Record], rows: list[str]) -> Figure:
    """Against the probe's view."""
    titles = ("Rank-1, %", "joint error, mm")
    figure, panels = charts.panels(titles, 3.4, "view of the probe, degrees")
    for axes, name in zip(panels, ("Rank-1", "joints, mm"), strict=True):
        for row in rows:
            found = view_figures(records, row)[name]
            points = sorted((int(v), statistics.fmean(x)) for v, x in found.items())
            if points:
                axes.plot(*zip(*points, strict=True), ms=4, **style(row))
    charts.legend_below(figure, panels)
    return figure


def changed_panels(records: list[Record]) -> Figure:
    """Rank-1 against how strong, or how long, a panel per kind."""
    figure, panels = charts.panels([f"by {kind}" for kind in CHANGED], 3.4)
    for axes, kind in zip(panels, CHANGED, strict=True):
        for row, points in changed_curves(records, kind).items():
            axes.plot(*zip(*points, strict=True), **style(row))
        axes.set_xlabel(KINDS[kind][1])
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("Rank-1, %")
    charts.legend_below(figure, panels)
    return figure


def singles(records: list[Record], rows: list[str]) -> Figure:
    """One-seed rows less seed 0 of the recipe, and where its other seeds lie."""
    height = 1.6 + 0.25 * len(rows)
    label = f"Rank-1 less that of {REFERENCE}, seed 0, points"
    figure, (axes,) = charts.panels([""], height, label)
    usual = by_seed(records, REFERENCE, rank(1))
    apart = [value - usual[0] for value in usual.values()] if 0 in usual else []
    found = {row: to_seed_0(records, row, REFERENCE) for row in rows}
    charts.changes(axes, found, apart, REFERENCE)
    charts.legend_below(figure, [axes])
    return figure


if __name__ == "__main__":
    main()
