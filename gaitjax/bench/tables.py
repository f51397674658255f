"""What the tables of studies in experiments/ share: means, differences, Markdown."""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

Record = Mapping[str, Any]


def write(
    doc: str | None,
    folder: pathlib.Path,
    everything: Callable[[list[Record]], Iterable[str]],
    plots: Callable[[list[Record]], Iterable[tuple[str, Figure]]],
    kind: str = "run",
    runs: str = "",
    drawn: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """A study's command line: prints the lines, saves the plots beside the records.

    doc: its help. folder: of the study; --results names another file of records. kind:
    what a record is of. runs, drawn: pictures that runs have drawn, by the name they
    get here, with their places in the folder of runs; --runs is that folder.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--results", type=pathlib.Path, default=folder / "results.json")
    if drawn:
        parser.add_argument("--runs", type=pathlib.Path, default=runs)
    options = parser.parse_args()
    path = options.results
    records = json.loads(path.read_text()) if path.exists() else []
    if not records:
        sys.exit(
            f"no finished {kind} in {path}; run experiments/{folder.name}/sweep.py"
        )
    for line in everything(records):
        print(line)
    suffix = path.stem.removeprefix("results")
    for name, figure in plots(records):
        figure.savefig(path.parent / f"{name}{suffix}.png", dpi=110)
    for name, place in drawn.items():
        if (options.runs / place).exists():
            shutil.copy(options.runs / place, path.parent / f"{name}{suffix}.png")
        else:
            print(f"\nNo {name}.png: {options.runs / place} is not there (--runs).")


def warnings(
    records: list[Record],
    plan: Iterable[Any],
    asked: Callable[[Any], Any],
    got: Callable[[Record], Any],
) -> Iterator[str]:
    """Lines about tiny runs, and about records that jobs.py has otherwise by now.

    plan: all jobs. asked, got: what a job changes, and what its record says of that; as
    JSON gives it back.
    """
    if any(record.get("variant") == "tiny" for record in records):
        yield "\n**Tiny runs: these figures mean nothing.**"
    now = {job.name: json.loads(json.dumps(asked(job))) for job in plan}
    old = [
        one["name"]
        for one in records
        if one["name"] not in now or now[one["name"]] != got(one)
    ]
    if old:
        yield f"\n**Not what jobs.py has under these names now**: {listed(old)}."


def rows_of(records: list[Record], jobs: Iterable[Any]) -> list[str]:
    """Rows of the jobs that have a finished run, in the order of these."""
    there = {record["row"] for record in records}
    return [row for row in dict.fromkeys(job.row for job in jobs) if row in there]


def by_seed(
    records: list[Record], row: str, value: Callable[[Record], float | None]
) -> dict[int, float]:
    """{seed: figure} of a row, seeds without it left out."""
    found = {one["seed"]: value(one) for one in records if one["row"] == row}
    return {seed: found[seed] for seed in sorted(found) if found[seed] is not None}


def mean_curve(curves: Iterable[Iterable[list[float]]]) -> list[tuple[float, float]]:
    """[(step, mean)] of the steps that all curves of [step, value] have."""
    found = [dict(map(tuple, curve)) for curve in curves]
    if not found:
        return []
    steps = sorted(set.intersection(*map(set, found)))
    return [(step, statistics.fmean(one[step] for one in found)) for step in steps]


def paired(values: Mapping[int, float], rival: Mapping[int, float]) -> list[float]:
    """Differences to the rival of the same seed, of the seeds that both have."""
    return [values[seed] - rival[seed] for seed in values if seed in rival]


def shown(values: Iterable[float], digits: int = 1) -> str:
    """Mean, and the sample's deviation over seeds where there are several."""
    values = list(values)
    if not values:
        return "n/a"
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def gain(values: list[float]) -> str:
    """Mean difference, deviation, and how many seeds are higher."""
    if not values:
        return "n/a"
    mean = f"{statistics.fmean(values):+.1f}"
    if len(values) == 1:
        return f"{mean} (1 seed)"
    higher = sum(value > 0 for value in values)
    return f"{mean} ± {statistics.stdev(values):.1f}, {higher} of {len(values)}"


def table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Markdown."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def listed(names: Iterable[str]) -> str:
    """As code, with commas."""
    return ", ".join(f"`{name}`" for name in names)


def costs(records: list[Record], rows: Iterable[str]) -> Iterator[str]:
    """Seconds of the processor, whatever else the machine did."""
    lines = []
    for row in rows:
        runs = [record for record in records if record["row"] == row]
        if runs:
            medians = [
                statistics.median(run[key] for run in runs)
                for key in ("steps", "cpu_seconds", "load")
            ]
            lines.append([f"`{row}`", str(len(runs)), *(f"{x:.4g}" for x in medians)])
    yield "\n### Cost\n"
    yield from table(["row", "runs", "steps", "median CPU seconds", "load"], lines)
    hours = sum(record["cpu_seconds"] for record in records) / 3600
    machines = {
        f"{one['machine']['machine']}, {one['machine']['devices']}" for one in records
    }
    yield (
        f"\n{len(records)} runs, {hours:.1f} CPU hours in all: training and every "
        f"test. {'; '.join(sorted(machines))}."
    )


def missing(records: list[Record], jobs: Iterable[Any]) -> Iterator[str]:
    """Jobs (with a name and a study) that have no record, a line per study."""
    done = {record["name"] for record in records}
    left = [job for job in jobs if job.name not in done]
    if left:
        yield "\n### Not run yet\n"
    for study in dict.fromkeys(job.study for job in left):
        yield f"- {study}: {listed(job.name for job in left if job.study == study)}"
