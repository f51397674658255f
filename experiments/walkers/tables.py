"""The tables and the plots of README.md, from results.json.

usage: python experiments/walkers/tables.py

Prints Markdown and writes curves.png and views.png beside this file.
"""

from __future__ import annotations

import collections
import json
import pathlib
from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

HERE = pathlib.Path(__file__).parent


def main() -> None:
    """Prints everything."""
    jobs = json.loads((HERE / "results.json").read_text())["jobs"]
    for line in (*sets(jobs), *variations(jobs), *views(jobs), *cost(jobs)):
        print(line)
    curves(jobs).savefig(HERE / "curves.png", dpi=110)
    heat_maps(jobs).savefig(HERE / "views.png", dpi=110)


def sets(jobs: list[dict]) -> Iterator[str]:
    """Rank-1 per condition of every set, rivals first."""
    studied = [job for job in jobs if job["study"] == "set"]
    for name in dict.fromkeys(job["dataset"] for job in studied):
        here = [job for job in studied if job["dataset"] == name]
        found = cells(here)
        for protocol in dict.fromkeys(key[0] for key in found):
            keys = [key for key in found if key[0] == protocol]
            conditions = list(dict.fromkeys(key[3] for key in keys))
            yield f"\n### {name}: {protocol}\n"
            yield f"| probe → gallery | {' | '.join(conditions)} |"
            yield f"|---{'|---' * len(conditions)}|"
            for pair in dict.fromkeys(key[1:3] for key in keys):
                values = [
                    shown(found.get((protocol, *pair, condition), []))
                    for condition in conditions
                ]
                yield f"| {' → '.join(dict.fromkeys(pair))} | {' | '.join(values)} |"


def cells(jobs: list[dict]) -> dict[tuple[str, str, str, str], list[float]]:
    """Rank-1 of all seeds by (protocol, probe, gallery, condition)."""
    found = collections.defaultdict(list)
    for job in jobs:
        for row in job["rows"]:
            if row["metric"] == "rank-1":
                key = ("protocol", "probe", "gallery", "condition")
                found[tuple(row[k] for k in key)].append(row["value"])
    return found


def shown(values: list[float]) -> str:
    """Mean, and the deviation over seeds where there are several."""
    if not values:
        return "n/a"
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def variations(jobs: list[dict]) -> Iterator[str]:
    """Shape and motion, people and frames."""
    yield "\n### walkers: one thing varied\n"
    yield "| study | NM | BG | CL |"
    yield "|---|---|---|---|"
    for job in jobs:
        if job["study"] != "set":
            for name in dict.fromkeys(row["probe"] for row in job["rows"]):
                found = cells([job])
                values = [
                    shown(found.get(("walkers", name, name, condition), []))
                    for condition in ("NM", "BG", "CL")
                ]
                label = job["study"].replace("_", " ")
                yield f"| {label}, {name} | {' | '.join(values)} |"


def views(jobs: list[dict]) -> Iterator[str]:
    """Mean Rank-1 by the angle between probe and gallery, and by probe view."""
    yield "\n### Views (network, seed 0, first condition)\n"
    for job, table in view_tables(jobs):
        names, matrix = table["views"], np.array(table["cells"], float)
        np.fill_diagonal(matrix, np.nan)
        by_probe = np.nanmean(matrix, 1)
        worst = names[int(by_probe.argmin())], names[int(by_probe.argmax())]
        yield (
            f"- {job['dataset']} {table['condition']}: hardest probe view {worst[0]} "
            f"({by_probe.min():.1f}), easiest {worst[1]} ({by_probe.max():.1f})"
        )
        degrees = [name.partition("-")[0] for name in names]
        if any(len(angle) != 3 for angle in degrees):
            continue  # cameras, not angles
        angles = np.array(degrees, float)
        apart = np.abs(angles[:, None] - angles) % 360
        apart = np.minimum(apart, 360 - apart)
        for low, high in ((0, 30), (30, 75), (75, 120), (120, 165), (165, 181)):
            inside = (apart >= low) & (apart < high) & ~np.isnan(matrix)
            if inside.any():
                mean = matrix[inside].mean()
                yield f"  - {low} to {high - 1} degrees apart: {mean:.1f}"


def view_tables(jobs: list[dict]) -> Iterator[tuple[dict, dict]]:
    """One view table of every set that has view pairs: cross-modal where there is."""
    for job in jobs:
        if job["study"] == "set" and job["seed"] == 0 and job["view_pairs"]:
            table = job["view_pairs"][0]
            if (
                table["views"][0].replace("-", "").isalnum()
                and len(table["views"]) < 20
            ):
                yield job, table


def cost(jobs: list[dict]) -> Iterator[str]:
    """Where the time went."""
    total = sum(job["seconds"] for job in jobs)
    yield f"\n{len(jobs)} jobs, {total / 60:.0f} minutes of wall time."


def curves(jobs: list[dict]) -> Figure:
    """Accuracy against people trained on and frames looked at."""
    figure = Figure((7.5, 3.0), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("people", "frames"), strict=True):
        series = collections.defaultdict(list)
        for job in jobs:
            number, _, kind = job["study"].partition("_")
            full = what == "frames" and job["study"] == "160_people"
            if kind == what or full:
                for (*_, condition), values in cells([job]).items():
                    series[condition].append((20 if full else int(number), values[0]))
        for condition, points in series.items():
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=condition)
        axes.set_xlabel(
            {"people": "people trained on", "frames": "frames of a test walk"}[what]
        )
        axes.set_ylabel("Rank-1 %")
        axes.set_xscale("log", base=2)
        ticks = sorted({x for points in series.values() for x, _ in points})
        axes.set_xticks(ticks, ticks)
        axes.grid(alpha=0.3)
        if series:
            axes.legend(frameon=False)
    return figure


def heat_maps(jobs: list[dict]) -> Figure:
    """Probe view x gallery view of every set that has view pairs."""
    tables = list(view_tables(jobs))
    figure = Figure((3.4 * max(len(tables), 1), 4.6), layout="constrained")
    row = np.atleast_1d(figure.subplots(1, max(len(tables), 1)))
    for axes, (job, table) in zip(row, tables, strict=False):
        axes.imshow(np.array(table["cells"], float), vmin=0, vmax=100)
        axes.set_xticks(
            range(len(table["views"])), table["views"], rotation=90, fontsize=6
        )
        axes.set_yticks(range(len(table["views"])), table["views"], fontsize=6)
        axes.set_title(
            f"{job['dataset']}\n{table['probe']} → {table['gallery']}", fontsize=8
        )
    return figure


if __name__ == "__main__":
    main()
