"""The tables and the plots of README.md, from results.json.

usage: python experiments/diffcrossgait/tables.py [--results FILE]

Prints Markdown and writes phases.png, elevation.png and singles.png beside the file
(results_full.json: phases_full.png, ...). Runs that are missing are named at the end.
"""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
from jobs import Job, jobs
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaitjax.bench import charts
from gaitjax.bench.tables import (
    gain,
    listed,
    missing,
    paired,
    rows_of,
    shown,
    table,
    warnings,
    write,
)
from gaitjax.retrieval import protocols

HERE = pathlib.Path(__file__).parent
DIRECTIONS = {
    "sils>ranges": "camera probes, LiDAR gallery",
    "ranges>sils": "LiDAR probes, camera gallery",
}
SHORT = {"sils>ranges": "camera → LiDAR", "ranges>sils": "LiDAR → camera"}
PRINTED = {"sils>ranges": "2D->3D", "ranges>sils": "3D->2D"}  # the paper's labels
RANKS = ("rank-1", "rank-5")
# What the rows of a study are compared with; else with `full`.
REFERENCE = {"inputs": "endpoint", "three times as long": "endpoint_long"}
REPEATED = ("main", "beyond the paper")  # three seeds, in the main tables
NOT_SINGLE = (*REPEATED, "plug-in")
# Rank-1 and Rank-5, Overall, of the paper (docs/diffcrossgait.md has them all): what it
# prints as 2D->3D, then 3D->2D. One figure: it gives Rank-1 alone. Which line of its
# tables 5 and 8 is which row is our reading.
PUBLISHED = {
    "sils>ranges": {
        "full": "58.7 / 79.5",
        "small_0.90": "58.3",
        "small_0.98": "58.5",
        "large_0.40": "58.1",
        "large_0.60": "58.4",
        "steps_50": "58.2",
        "steps_200": "58.6",
        "pseudo_silhouettes": "27.6",
        "points": "10.1",
    },
    "ranges>sils": {
        "endpoint": "54.7 / 76.5",
        "full": "63.8 / 83.4",
        "phase_1": "60.6 / 81.0",
        "phases_1_2": "63.1 / 82.9",
        "phases_1_3": "62.5 / 82.6",
        "phases_2_3": "61.8 / 82.0",
        "no_shared_noise": "61.8 / 81.9",
        "coupled_heads": "62.7 / 82.7",
        "no_token": "60.3 / 81.0",
        "no_axial": "62.0 / 82.1",
        "independent": "63.3 / 83.1",
        "heavy": "59.1 / 79.8",
        "pseudo_silhouettes": "28.2",
        "points": "11.9",
    },
}

Record = dict[str, Any]


def main() -> None:
    """Prints everything."""
    write(__doc__, HERE, everything, plots)


def everything(records: list[Record]) -> Iterator[str]:
    """All sections."""
    yield from preface(records)
    for direction in DIRECTIONS:
        yield from conditions(records, direction)
    yield from cosine(records)
    yield from differences(records)
    for study in dict.fromkeys(job.study for job in planned(records)):
        if study not in NOT_SINGLE:
            yield from one_seed(records, study)
    yield from plug_in(records)
    yield from elevations(records)
    yield from cost(records)
    yield from missing(records, planned(records))


# Arithmetic.


def planned(records: list[Record], *studies: str) -> list[Job]:
    """The jobs of the records' scale; of some studies alone where they are given."""
    found = jobs(records[0]["scale"])
    return [job for job in found if not studies or job.study in studies]


def finished(records: list[Record], *studies: str) -> list[str]:
    """Rows of some studies with a finished run, in the order of jobs.py."""
    return rows_of(records, planned(records, *studies))


def by_seed(
    records: list[Record],
    row: str,
    direction: str,
    condition: str = "Overall",
    metric: str = "rank-1",
    distance: str = "euclidean",
) -> dict[int, float]:
    """{seed: percent} of a row, seeds without this figure left out."""
    found = {}
    for record in records:
        if record["row"] == row:
            # The LiDAR's input has its own name where it is not range views.
            inputs = record["changes"].get("method_args.inputs", ("sils", "ranges"))
            pair = direction.replace("ranges", inputs[1])
            value = record["scores"].get(f"{distance} {pair}/{condition}/{metric}")
            if value is not None:
                found[record["seed"]] = value
    return dict(sorted(found.items()))


# Tables.


def preface(records: list[Record]) -> Iterator[str]:
    """What the figures are, and where they no longer fit jobs.py."""
    steps = sorted({one["steps"] for one in records if one["study"] == "main"})
    yield (
        f"Simulated data (the twin of SUSTech1K), scale `{records[0]['scale']}`, "
        f"{' and '.join(map(str, steps)) or 'no'} steps in the main rows. Percent; "
        "mean ± standard deviation over training seeds."
    )
    yield from warnings(
        records,
        planned(records),
        lambda job: dict(job.changes),
        lambda one: one["changes"],
    )


def conditions(records: list[Record], direction: str) -> Iterator[str]:
    """Main rows: Rank-1 of every condition."""
    names = list(protocols.sustech1k().probes)
    yield f"\n### Rank-1, {DIRECTIONS[direction]} (`{direction}`), Euclidean\n"
    head = ["row", "seeds", *names, "Rank-5 Overall"]
    lines = []
    for row in finished(records, *REPEATED):
        figures = [by_seed(records, row, direction, name) for name in names]
        figures.append(by_seed(records, row, direction, metric="rank-5"))
        published = PUBLISHED[direction].get(row, "")
        cells = [shown(figure.values()) for figure in figures]
        lines.append([f"`{row}`", str(len(figures[-2])), *cells, published])
    yield from table([*head, "published, real data: Rank-1 / Rank-5 Overall"], lines)
    printed, other = (
        PRINTED[direction],
        "; it gives its phase subsets (table 6) as 3D->2D",
    )
    yield (
        "\nPublished: SUSTech1K itself, 800 test people, what the paper prints as "
        f"{printed}{other if printed == '2D->3D' else ''}; by condition in "
        "docs/diffcrossgait.md. Its heights do not compare with the twin's, and which "
        "side the paper calls probe is not certain: look at both."
    )


def cosine(records: list[Record]) -> Iterator[str]:
    """Main rows by the other distance."""
    head, lines, found = ["row", "seeds"], [], []
    for metric in RANKS:
        head += [f"{metric.capitalize()}, {name}" for name in SHORT.values()]
    for row in finished(records, *REPEATED):
        figures = [
            by_seed(records, row, direction, metric=metric, distance="cosine")
            for metric in RANKS
            for direction in DIRECTIONS
        ]
        if any(figures):
            found.append(row)
            cells = [shown(figure.values()) for figure in figures]
            lines.append([f"`{row}`", str(max(map(len, figures))), *cells])
    if lines:
        yield "\n### The same by cosine, Overall\n"
        yield from table(head, lines)
    left = [row for row in finished(records, *REPEATED) if row not in found]
    if left:
        yield f"\nNot searched by cosine: {listed(left)}."


def differences(records: list[Record]) -> Iterator[str]:
    """Every row of the usual length against `endpoint` of the same seed."""
    asked = [(name, at) for name in ("Overall", "Normal") for at in DIRECTIONS]
    head = ["row", *(f"{name}, {SHORT[direction]}" for name, direction in asked)]
    usual = {job.row for job in planned(records) if job.study != "plug-in"}
    usual -= {one["row"] for one in records if "train.steps" in one["changes"]}
    lines = []
    for row in finished(records):
        if row in usual - {"endpoint"}:
            cells = [gain(against(records, row, "endpoint", at, c)) for c, at in asked]
            lines.append([f"`{row}`", *cells])
    if lines:
        yield "\n### Rank-1 against `endpoint` of the same seed, points\n"
        yield "Mean difference ± deviation, and how many seeds are higher.\n"
        yield from table(head, lines)


def against(
    records: list[Record],
    row: str,
    rival: str,
    direction: str,
    condition: str = "Overall",
) -> list[float]:
    """Rank-1 of a row less its rival's, a figure per seed that both have."""
    return paired(
        by_seed(records, row, direction, condition),
        by_seed(records, rival, direction, condition),
    )


def one_seed(records: list[Record], study: str) -> Iterator[str]:
    """The rows of an ablation beside what they change."""
    base = REFERENCE.get(study, "full")
    rows = [row for row in finished(records, study) if row != base]
    first = [base] if any(record["row"] == base for record in records) else []
    head = ["row, seed 0"]
    for direction, name in SHORT.items():
        head += [f"Rank-1 / Rank-5, {name}", f"to `{base}`"]
        head.append(f"published, real data, as {PRINTED[direction]}")
    lines = []
    for row in first + rows:
        cells = [f"`{row}`"]
        for direction in DIRECTIONS:
            ranks = (by_seed(records, row, direction, metric=at) for at in RANKS)
            cells.append(" / ".join(shown([x[0]] if 0 in x else []) for x in ranks))
            change = to_seed_0(records, row, base, direction)
            cells.append("" if change is None or row == base else f"{change:+.1f}")
            cells.append(PUBLISHED[direction].get(row, ""))
        lines.append(cells)
    if rows:
        yield f"\n### {study[0].upper()}{study[1:]} (1 seed)\n"
        yield from table(head, lines)


def to_seed_0(
    records: list[Record], row: str, base: str, direction: str
) -> float | None:
    """Rank-1 Overall of the row's seed 0 less the base's."""
    values, rival = (by_seed(records, one, direction) for one in (row, base))
    return values[0] - rival[0] if 0 in values and 0 in rival else None


def plug_in(records: list[Record]) -> Iterator[str]:
    """The same losses on other encoders, with and without."""
    asked = [
        (direction, condition, metric)
        for direction in DIRECTIONS
        for condition, metric in (
            ("Normal", "rank-1"),
            ("Overall", "rank-1"),
            ("Overall", "rank-5"),
        )
    ]
    head = ["row", "seeds"]
    head += [f"{metric.capitalize()} {c}, {SHORT[at]}" for at, c, metric in asked]
    lines, found = [], {}
    for row in finished(records, "plug-in"):
        found[row] = [by_seed(records, row, *one) for one in asked]
        cells = [shown(figure.values()) for figure in found[row]]
        lines.append([f"`{row}`", str(max(map(len, found[row]))), *cells])
    if {"deepgaitv2", "deepgaitv2_full"} <= set(found):
        pairs = zip(found["deepgaitv2_full"], found["deepgaitv2"], strict=True)
        apart = [paired(*pair) for pair in pairs]
        lines.append(["gain, same seed", str(max(map(len, apart))), *map(gain, apart)])
    if lines:
        yield "\n### Plug-in: DeepGaitV2 encoders without and with the diffusion\n"
        yield from table(head, lines)


def elevated(
    records: list[Record], direction: str
) -> dict[str, list[tuple[int, float]]]:
    """{row: [(camera elevation in degrees, Rank-1 Overall)]} of what was tilted."""
    key = f"euclidean {direction}/Overall/rank-1"
    found = {
        record["row"]: sorted(
            (int(at), scores[key])
            for at, scores in record["elevations"].items()
            if key in scores
        )
        for record in records
        if record["elevations"]
    }
    return {row: found[row] for row in finished(records) if found.get(row)}


def elevations(records: list[Record]) -> Iterator[str]:
    """Rank-1 with the cameras higher up."""
    asked = sorted({at for job in planned(records) for at in job.elevations})
    lines = [
        [f"`{row}`", name, *(f"{dict(points).get(at, np.nan):.1f}" for at in asked)]
        for direction, name in SHORT.items()
        for row, points in elevated(records, direction).items()
    ]
    if lines:
        yield "\n### Rank-1 Overall by elevation of the cameras (1 seed)\n"
        yield from table(["row", "probe → gallery", *(f"{at}°" for at in asked)], lines)


def cost(records: list[Record]) -> Iterator[str]:
    """Wall time, which says little where the machine was shared."""
    yield "\n### Cost\n"
    lines = []
    for row in finished(records):
        runs = [record for record in records if record["row"] == row]
        medians = [
            statistics.median(run[key] for run in runs)
            for key in ("steps", "seconds", "load")
        ]
        lines.append([f"`{row}`", str(len(runs)), *(f"{x:.4g}" for x in medians)])
    yield from table(["row", "runs", "steps", "median seconds", "load"], lines)
    hours = sum(record["seconds"] for record in records) / 3600
    machines = {
        f"{one['machine']['machine']}, {one['machine']['devices']}" for one in records
    }
    yield (
        f"\n{len(records)} runs, {hours:.1f} hours of wall time in all, runs side by "
        "side counted each; training and its evaluation, load: the machine's over the "
        "last minute of a run. "
        f"{'; '.join(sorted(machines))}."
    )


# Plots.


def plots(records: list[Record]) -> Iterator[tuple[str, Figure]]:
    """Those that there is something for, by name."""
    if main_rows := finished(records, *REPEATED):
        yield "phases", phases(records, main_rows)
    studies = {job.study for job in planned(records)} - {*NOT_SINGLE, *REFERENCE}
    if rows := finished(records, *studies):
        yield "singles", singles(records, rows)
    if any(record["elevations"] for record in records):
        yield "elevation", elevation(records)


def both_ways(height: float, label: str) -> tuple[Figure, dict[str, Axes]]:
    """A panel per direction, with common axes."""
    titles = list(DIRECTIONS.values())
    figure, panels = charts.panels(titles, height, label, alike=True)
    return figure, dict(zip(DIRECTIONS, panels, strict=True))


def phases(records: list[Record], rows: list[str]) -> Figure:
    """Main rows."""
    figure, panels = both_ways(1.4 + 0.34 * len(rows), "Rank-1 Overall, %")
    for direction, axes in panels.items():
        values = {row: by_seed(records, row, direction).values() for row in rows}
        charts.seeds(axes, values)
    charts.legend_below(figure, panels.values())
    return figure


def singles(records: list[Record], rows: list[str]) -> Figure:
    """One-seed rows less seed 0 of `full`, and where its other seeds lie."""
    label = "Rank-1 Overall less that of full, seed 0, points"
    figure, panels = both_ways(1.6 + 0.25 * len(rows), label)
    for direction, axes in panels.items():
        full = by_seed(records, "full", direction)
        apart = [value - full[0] for value in full.values()] if 0 in full else []
        found = {row: to_seed_0(records, row, "full", direction) for row in rows}
        charts.changes(axes, found, apart, "full")
    charts.legend_below(figure, panels.values())
    return figure


def elevation(records: list[Record]) -> Figure:
    """A line per tilted network."""
    figure, panels = both_ways(3.4, "elevation of the cameras, degrees")
    styles = {
        "endpoint": (charts.GREEN, "s"),
        "full": (charts.BLUE, "o"),
        "no_axial": (charts.ORANGE, "^"),
    }
    for direction, axes in panels.items():
        for row, points in elevated(records, direction).items():
            colour, marker = styles.get(row, ("black", "x"))
            style = {"color": colour, "marker": marker, "clip_on": False}
            axes.plot(*zip(*points, strict=True), label=row, **style)
            axes.set_xticks([at for at, _ in points])
    panels["sils>ranges"].set_ylabel("Rank-1 Overall, %")
    panels["sils>ranges"].set_ylim(bottom=0)
    charts.legend_below(figure, panels.values())
    return figure


if __name__ == "__main__":
    main()
