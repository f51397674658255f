"""The tables and the plots of README.md, from results.json.

usage: python experiments/cargait/tables.py [--results FILE] [--runs runs/cargait]

Prints Markdown and writes depths.png, lists.png and strips.png beside the file
(results_tiny.json: depths_tiny.png, ...), and ranks.png, which a run has drawn. What is
missing is named at the end.
"""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
from jobs import BACKBONES, DEPTH, DEPTHS, TWINS, Job, jobs
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaitjax.bench import charts
from gaitjax.bench.tables import gain, listed, paired, shown, table, warnings, write

HERE = pathlib.Path(__file__).parent
NAMES = {"gaitbase": "GaitBase", "gaitset": "GaitSet", "deepgaitv2": "DeepGaitV2"}
TITLES = {
    "oumvlp": "Twin of OU-MVLP: one right item per list",
    "gait3d": "Twin of Gait3D: five right items in one list",
}
# What is compared: the run of a job, and the stage of its results.
COLUMNS = {
    "initial": ("cargait", "initial"),
    "CarGait": ("cargait", "cargait"),
    "k-reciprocal": ("cargait", "kreciprocal"),
    "LBR": ("cargait", "lbr"),
    "GCR": ("cargait", "gcr"),
    "extra training": ("extra", "initial"),
}
RANGE, GAP = (40, 90), 5  # of a base's Rank-1; Rank-5 above it (issue 6)
NEAREST = {"v_10": 10, "v_20": 20, "cargait": 30, "v_40": 40}
# Rank-1 of the paper, real data, full networks: initial, CarGait, k-reciprocal, LBR,
# GCR (its figures for OU-MVLP and GCR were not found).
PUBLISHED = {
    ("gait3d", "gaitbase"): "64.6 / 66.1 / 60.0 / 63.8 / 63.1",
    ("gait3d", "gaitset"): "36.7 / 41.5 / 34.8 / 33.0 / 35.7",
    ("gait3d", "deepgaitv2"): "74.4 / 75.1 / 65.8 / 58.7 / 74.2",
    ("oumvlp", "gaitbase"): "90.8 / 91.1 / 72.9 / 74.4 / n/a",
    ("oumvlp", "gaitset"): "87.1 / 87.5 / 65.5 / 70.3 / n/a",
    ("oumvlp", "deepgaitv2"): "91.9 / 92.0 / 76.4 / 77.3 / n/a",
}
# Its table 5: SwinGait-3D on real Gait3D, Rank-1 / Rank-5 / mAP.
ABLATION = {
    "initial": "75.0 / 86.7 / 66.69",
    "extra": "75.0 / 86.9 / 66.87",
    "cargait": "76.3 / 88.6 / 67.59",
    "binary": "71.6 / 87.8 / 65.47",
    "alpha_0": "76.0 / 89.1 / 67.73",
    "beta_1": "75.5 / 88.2 / 67.27",
    "v_20": "76.3 / 88.3 / 67.45",
    "v_40": "76.0 / 89.0 / 67.66",
    "K_5": "76.5 / 86.7 / 67.30",
    "K_20": "76.3 / 88.6 / 67.68",
}
MATRICES = ("genuine_before", "genuine_after", "impostor_before", "impostor_after")
# Okabe and Ito: told apart without red and green.
STYLES = {
    "gaitbase": ("#0072b2", "o"),
    "gaitset": ("#d55e00", "s"),
    "deepgaitv2": ("#009e73", "^"),
}

Record = dict[str, Any]


def main() -> None:
    """Prints everything."""
    drawn = {"ranks": f"{BACKBONES[0]}-gait3d-seed0/cargait/ranks.png"}
    runs = "runs/cargait"
    write(__doc__, HERE, everything, plots, kind="job", runs=runs, drawn=drawn)


def everything(records: list[Record]) -> Iterator[str]:
    """All sections."""
    yield from preface(records)
    yield from bases(records)
    for twin in TWINS:
        yield from methods(records, twin)
    yield from gains(records)
    for twin in TWINS:
        yield from ablation(records, twin)
    yield from depths(records)
    yield from strips(records)
    yield from cost(records)
    yield from missing(records)


# Arithmetic.


def key(twin: str, stage: str, metric: str) -> str:
    """Of a score, by the twin's headline protocol and condition."""
    return f"{TWINS[twin].protocol} {stage} {TWINS[twin].condition}/{metric}"


def by_seed(
    records: list[Record],
    twin: str,
    backbone: str,
    row: str,
    stage: str,
    metric: str = "rank-1",
) -> dict[int, float]:
    """{seed: percent} of a run on a base, seeds without this figure left out."""
    found = {
        record["seed"]: record["scores"][row].get(key(twin, stage, metric))
        for record in records
        if (record["twin"], record["backbone"]) == (twin, backbone)
        and row in record["scores"]
    }
    return {seed: found[seed] for seed in sorted(found) if found[seed] is not None}


def there(records: list[Record]) -> list[tuple[str, str]]:
    """(twin, backbone) of the bases with a finished main job."""
    done = {(one["twin"], one["backbone"]) for one in records if not one["ablation"]}
    return [(t, b) for t in TWINS for b in BACKBONES if (t, b) in done]


# Tables.


def preface(records: list[Record]) -> Iterator[str]:
    """What the figures are, and where they no longer fit jobs.py."""
    yield (
        "Simulated data. Percent; mean ± standard deviation over training seeds, each "
        "with a base of its own. Euclidean, K = "
        f"{DEPTH}. Headline: on the twin of OU-MVLP Rank-1 per view pair (protocol "
        "`oumvlp`, condition NM): a list is the gallery of one view, the probe's own "
        "view left out, then the mean over pairs. On the twin of Gait3D Rank-1 of all "
        "probes in the one gallery (protocol `gait3d`)."
    )
    yield from warnings(records, jobs(), asked, asked_of)


def asked(job: Job) -> list[Any]:
    """What a job is."""
    twin = TWINS[job.twin]
    return [job.rows, twin.steps, twin.args]


def asked_of(record: Record) -> list[Any]:
    """The same of a record."""
    return [record["changes"], record["steps"], record["args"]]


def bases(records: list[Record]) -> Iterator[str]:
    """What is sorted again: is it as hard as was asked, and does more of the same
    training still help?"""
    yield "\n### Bases\n"
    low, high = RANGE
    lines = []
    for twin, backbone in there(records):
        first = by_seed(records, twin, backbone, "cargait", "initial")
        fifth = by_seed(records, twin, backbone, "cargait", "initial", "rank-5")
        extra = by_seed(records, twin, backbone, "extra", "initial")
        apart = paired(fifth, first)
        fits = [low <= first[s] <= high and fifth[s] >= first[s] + GAP for s in fifth]
        lines.append(
            [
                *(f"`{twin}`", NAMES[backbone], str(len(first))),
                *(shown(first.values()), shown(fifth.values()), gain(apart)),
                f"{sum(fits)} of {len(fits)}",
                gain(paired(extra, first)),
            ]
        )
    head = ["twin", "base", "seeds", "Rank-1", "Rank-5", "Rank-5 less Rank-1"]
    fit = f"Rank-1 in {low} to {high}, Rank-5 {GAP} above"
    yield from table([*head, fit, "Rank-1 by extra training"], lines)
    yield (
        "\nExtra training: a third of the steps on top, at a third of the rate. "
        "Where it adds much, the base was not at its plateau."
    )


def methods(records: list[Record], twin: str) -> Iterator[str]:
    """The main table of a twin: before, after, and the rivals."""
    lines = []
    for _, backbone in (pair for pair in there(records) if pair[0] == twin):
        for metric in TWINS[twin].metrics:
            figures = [
                by_seed(records, twin, backbone, row, stage, metric)
                for row, stage in COLUMNS.values()
            ]
            cells = [shown(figure.values()) for figure in figures]
            published = PUBLISHED[twin, backbone] if metric == "rank-1" else ""
            name = metric.replace("rank", "Rank")
            label = [NAMES[backbone], name, str(len(figures[0]))]
            lines.append([*label, *cells, published])
    if lines:
        yield f"\n### {TITLES[twin]}\n"
        last = (
            "published Rank-1, real data: initial / CarGait / k-reciprocal / LBR / GCR"
        )
        yield from table(["base", "metric", "seeds", *COLUMNS, last], lines)


def gains(records: list[Record]) -> Iterator[str]:
    """Rank-1 of everything against the initial list of the same base."""
    yield "\n### Rank-1 against the initial list of the same base, points\n"
    yield "Mean difference ± deviation, and how many seeds are higher.\n"
    others = {name: at for name, at in COLUMNS.items() if name != "initial"}
    lines = []
    for twin, backbone in there(records):
        first = by_seed(records, twin, backbone, *COLUMNS["initial"])
        cells = [
            gain(paired(by_seed(records, twin, backbone, *at), first))
            for at in others.values()
        ]
        lines.append([f"`{twin}`", NAMES[backbone], *cells])
    yield from table(["twin", "base", *others], lines)


def ablation(records: list[Record], twin: str) -> Iterator[str]:
    """The rows of one base beside the recipe; one seed."""
    backbone = BACKBONES[0]
    done = [one for one in records if one["ablation"] and one["twin"] == twin]
    # Row -> where its figures are: the run and the stage.
    rows = {"initial": ("cargait", "initial"), "cargait": ("cargait", "cargait")}
    rows |= {"extra": ("extra", "initial")}
    rows |= {row: (row, "cargait") for one in done for row in one["changes"]}
    rows |= {f"K_{k}": ("depths", f"K_{k}") for k in DEPTHS}
    metrics = TWINS[twin].metrics
    reference = by_seed(records, twin, backbone, *rows["cargait"])
    lines = []
    for row, at in rows.items():
        found = [by_seed(records, twin, backbone, *at, metric) for metric in metrics]
        if 0 not in found[0]:
            continue
        cells = [shown([one[0]] if 0 in one else []) for one in found]
        change = found[0][0] - reference[0] if 0 in reference else None
        is_other = change is not None and row != "cargait"
        cells.append(f"{change:+.1f}" if is_other else "")
        lines.append([f"`{row}`", *cells, ABLATION.get(row, "")])
    if done:
        yield f"\n### Ablation on the twin `{twin}`, {NAMES[backbone]} (one seed)\n"
        head = ["row, seed 0", *(name.replace("rank", "Rank") for name in metrics)]
        head.append("Rank-1 to `cargait`")
        last = "published, SwinGait-3D on real Gait3D: Rank-1 / Rank-5 / mAP"
        yield from table([*head, last], lines)
        yield (
            "\n`again_1` and `again_2` are the recipe by other draws on the same base: "
            "what a row changes by less than they do is noise."
        )


def by_depth(records: list[Record], twin: str, backbone: str) -> dict[int, list[float]]:
    """{K: Rank-1 of every seed}; K = 1 sorts nothing, so it is the initial list."""
    at = {1: ("cargait", "initial"), DEPTH: ("cargait", "cargait")}
    at |= {k: ("depths", f"K_{k}") for k in DEPTHS}
    found = {
        k: list(by_seed(records, twin, backbone, *at[k]).values()) for k in sorted(at)
    }
    return {k: values for k, values in found.items() if values}


def depths(records: list[Record]) -> Iterator[str]:
    """Rank-1 by how much of the list is sorted again."""
    yield "\n### Rank-1 by K\n"
    asked_for = sorted({1, DEPTH, *DEPTHS})
    lines = []
    for twin, backbone in there(records):
        found = by_depth(records, twin, backbone)
        cells = [shown(found.get(k, [])) for k in asked_for]
        lines.append([f"`{twin}`", NAMES[backbone], *cells])
    heads = [f"K = {k}{' (initial)' if k == 1 else ''}" for k in asked_for]
    yield from table(["twin", "base", *heads], lines)


def strips(records: list[Record]) -> Iterator[str]:
    """Mean cosine of equal and of unlike parts."""
    yield "\n### Parts of the probe and of what it found: mean cosine\n"
    lines = []
    for twin, backbone in there(records):
        runs = [
            record["strips"]
            for record in records
            if (record["twin"], record["backbone"]) == (twin, backbone)
            and record["strips"]
        ]
        for which in ("equal", "unlike"):
            cells = [shown((run[at][which] for run in runs), 3) for at in MATRICES]
            lines.append([f"`{twin}`", NAMES[backbone], f"{which} parts", *cells])
    heads = [name.replace("_", ", ") for name in MATRICES]
    yield from table(["twin", "base", "", *heads], lines)
    yield (
        f"\nOver all pairs of a probe and its first {DEPTH}, before (F) and after (E) "
        "they have seen each other."
    )


def cost(records: list[Record]) -> Iterator[str]:
    """Seconds of the processor: the machine is shared."""
    yield "\n### Cost\n"
    lines = []
    groups = dict.fromkeys((x["twin"], x["backbone"], x["ablation"]) for x in records)
    for group in groups:
        runs = [
            x for x in records if (x["twin"], x["backbone"], x["ablation"]) == group
        ]
        median = statistics.median(run["cpu_seconds"] for run in runs)
        rows = "ablation" if group[2] else "main"
        lines.append(
            [f"`{group[0]}`", NAMES[group[1]], rows, str(len(runs)), f"{median:.4g}"]
        )
    yield from table(["twin", "base", "rows", "jobs", "median CPU seconds"], lines)
    hours = sum(record["cpu_seconds"] for record in records) / 3600
    machines = {
        f"{one['machine']['machine']}, {one['machine']['devices']}" for one in records
    }
    yield (
        f"\n{len(records)} jobs, {hours:.1f} CPU hours in all. "
        f"{'; '.join(sorted(machines))}."
    )


def missing(records: list[Record]) -> Iterator[str]:
    """What jobs.py has and the file has not."""
    done = {record["name"] for record in records}
    left = [job.name for job in jobs() if job.name not in done]
    if left:
        yield f"\n### Not run yet\n\n{listed(left)}"


# Plots.


def plots(records: list[Record]) -> Iterator[tuple[str, Figure]]:
    """Those that there is something for, by name."""
    if there(records):
        yield "depths", depth_curves(records)
    if any(record["ablation"] for record in records):
        yield "lists", list_curves(records)
    drawn = [one for one in records if one["seed"] == 0 and one["strips"]]
    if drawn:
        yield "strips", strip_matrices(drawn)


def by_twin(label: str) -> tuple[Figure, dict[str, Axes]]:
    """A panel per twin."""
    figure, panels = charts.panels([TITLES[twin] for twin in TWINS], 3.4, label)
    panels[0].set_ylabel("Rank-1, %")
    return figure, dict(zip(TWINS, panels, strict=True))


def depth_curves(records: list[Record]) -> Figure:
    """The K curve: a line of means per backbone, a point per seed."""
    figure, panels = by_twin("K (1 is the initial list)")
    for twin, backbone in there(records):
        found = by_depth(records, twin, backbone)
        colour, marker = STYLES[backbone]
        axes = panels[twin]
        means = [statistics.fmean(values) for values in found.values()]
        axes.plot(list(found), means, color=colour, label=NAMES[backbone])
        points = [(k, value) for k, values in found.items() for value in values]
        style = {"color": colour, "marker": marker, "s": 18, "alpha": 0.7}
        axes.scatter(*zip(*points, strict=True), **style)
        axes.set_xscale("log")
        ticks = sorted({1, DEPTH, *DEPTHS})
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
    charts.legend_below(figure, panels.values())
    return figure


def list_curves(records: list[Record]) -> Figure:
    """The v curve: one base of each twin, one seed."""
    figure, panels = by_twin("v, length of the training lists (one seed)")
    backbone = BACKBONES[0]
    colour, marker = STYLES[backbone]
    for twin, axes in panels.items():
        points = []
        for row, v in NEAREST.items():
            found = by_seed(records, twin, backbone, row, "cargait")
            points += [(v, found[0])] if 0 in found else []
        if points:
            style = {"color": colour, "marker": marker, "label": NAMES[backbone]}
            axes.plot(*zip(*points, strict=True), **style)
        initial = by_seed(records, twin, backbone, "cargait", "initial")
        if 0 in initial:
            axes.axhline(initial[0], color="black", lw=0.8, ls="--", label="initial")
    charts.legend_below(figure, panels.values())
    return figure


def strip_matrices(records: list[Record]) -> Figure:
    """A row per base of seed 0, one scale within a row."""
    order = [(twin, backbone) for twin in TWINS for backbone in BACKBONES]
    records = sorted(records, key=lambda x: order.index((x["twin"], x["backbone"])))
    figure = Figure((9.2, 0.5 + 2.1 * len(records)), layout="constrained")
    panels = figure.subplots(len(records), len(MATRICES), squeeze=False)
    for line, record in zip(panels, records, strict=True):
        arrays = [np.array(record["strips"][name]["matrix"]) for name in MATRICES]
        low, high = np.min(arrays), np.max(arrays)
        for axes, array, name in zip(line, arrays, MATRICES, strict=True):
            image = axes.imshow(array, vmin=low, vmax=high, cmap="viridis")
            pairs = record["strips"][f"{name.partition('_')[0]}_pairs"]
            axes.set_title(f"{name.replace('_', ', ')}\n{pairs:,} pairs", fontsize=8)
            axes.tick_params(labelsize=7)
        line[0].set_ylabel(f"{NAMES[record['backbone']]}, {record['twin']}", fontsize=8)
        figure.colorbar(image, ax=list(line), fraction=0.02)
    return figure


if __name__ == "__main__":
    main()
