"""Several runs on one page, from what their workdirs hold."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from gaitjax.files import write_atomically
from gaitjax.report import elements, plots, tables
from gaitjax.report.saved import Saved, read_run, short_names


def write_comparison(
    paths: Sequence[str | os.PathLike], out: str | os.PathLike
) -> list[Saved]:
    """Writes the page; -> the runs as they were read, the first being the standard."""
    folders = [pathlib.Path(path).expanduser().absolute() for path in paths]
    names = short_names(folders)
    runs = [read_run(*one) for one in zip(folders, names, strict=True)]
    title = f"{len(runs)} runs compared"
    write_atomically(out, elements.page(title, _parts(title, runs)))
    return runs


def result_tables(runs: Sequence[Saved]) -> Iterator[tuple[str, list[list[str]]]]:
    """(caption, cells) of each measurement; runs across, with their difference to
    the first run that has the number."""
    rows = [row for run in runs for row in run.rows]
    for group in tables.measurements(rows):
        keys = list(dict.fromkeys((row["condition"], row["metric"]) for row in group))
        lines = [["%", *(run.name for run in runs)]]
        for key in keys:
            values = [_value(run, group[0], key) for run in runs]
            lines.append([" ".join(key), *_cells(values)])
        yield tables.describe(group[0]), lines


def _cells(values: Sequence[float | None]) -> Iterator[str]:
    standard = values[0]
    for number, value in enumerate(values):
        text = tables.UNDEFINED if value is None else tables.percent(value)
        both = value is not None and standard is not None
        # A space that no line is broken at.
        yield f"{text}\u00a0({value - standard:+.2f})" if number and both else text


def _value(run: Saved, like: Mapping, key: tuple[str, str]) -> float | None:
    for row in run.rows:
        same = tables.measurement(row) == tables.measurement(like)
        if same and (row["condition"], row["metric"]) == key:
            return row["value"]
    return None


def _parts(title: str, runs: Sequence[Saved]) -> Iterator[str]:
    yield f"<header><h1>{elements.text(title)}</h1>"
    for strong, rest in warnings(runs):
        yield elements.note(strong, rest)
    if any(run.dataset.startswith("walkers") for run in runs):
        yield elements.simulated_note()
    yield "</header>"
    yield elements.table(_overview(runs), "What they are")
    yield "<h2>Results</h2>"
    yield elements.paragraph("In brackets the difference to the first run.")
    for caption, lines in result_tables(runs):
        yield elements.table(lines, caption)
    yield from _cmc(runs)
    curves = plots.learning_curves({run.name: run.metrics for run in runs})
    if curves:
        yield "<h2>Training</h2>"
        yield elements.legend([run.name for run in runs])
        yield elements.figures((figure, name) for name, figure in curves.items())
    yield "<h2>Configurations</h2>"
    yield elements.table(_differing(runs), "keys that differ")


def warnings(runs: Sequence[Saved]) -> Iterator[tuple[str, str]]:
    """(what, why) of everything that makes the comparison doubtful."""
    for run in runs:
        if run.missing:
            yield f"{run.name}:", run.missing
    first, *others = runs
    lines = [_differences(first, run) for run in others]
    if any(lines):
        rest = "; ".join(line for line in lines if line)
        yield "Different data sets:", f"{rest}. Their figures do not compare."


def _differences(first: Saved, other: Saved) -> str:
    """In what the data of two runs differ, the first few things; "" in nothing."""
    ours, theirs = _data(first), _data(other)
    keys = sorted(
        key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)
    )
    seen = [run.about.get("records") for run in (first, other)]
    if not keys and None not in seen and seen[0] != seen[1]:
        return f"{other.name} was evaluated on other records than {first.name}"
    words = [f"{key} {theirs.get(key)} (not {ours.get(key)})" for key in keys[:3]]
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{other.name} has {', '.join(words)}{more}" if words else ""


def _data(run: Saved) -> dict[str, object]:
    """The keys of a config that say what the records are."""
    # Who makes a set does not change it.
    left_out = ("data.args.processes",)
    of_data = ("data.name", "data.args.")
    return {
        key: value
        for key, value in run.config.items()
        if key.startswith(of_data) and key not in left_out
    }


def _overview(runs: Sequence[Saved]) -> list[list[str]]:
    environments = [run.about.get("environment", {}) for run in runs]
    lines = [
        ["", *(run.name for run in runs)],
        ["data set", *(run.dataset for run in runs)],
        ["method", *(str(run.config.get("method")) for run in runs)],
        ["results of step", *(_step(run) for run in runs)],
        ["training time", *(_time(run.metrics) for run in runs)],
    ]
    for key in ("devices", "machine", "jax"):
        lines.append([key, *(one.get(key, "unknown") for one in environments)])
    return lines


def _step(run: Saved) -> str:
    steps = run.config["train.steps"]
    step = run.about.get("step") if run.about else None
    return f"{step:,} of {steps:,}" if step is not None else f"unknown of {steps:,}"


def _time(metrics: Sequence[Mapping[str, float]]) -> str:
    """Of the steps alone: what lies between two logs over their rate."""
    seconds, before = 0.0, 0
    for entry in metrics:
        rate = entry.get("steps_per_s")
        if rate:
            seconds += (entry["step"] - before) / rate
            before = entry["step"]
    if not seconds:
        return "unknown"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _cmc(runs: Sequence[Saved]) -> Iterator[str]:
    """By the headline distance of the first run that has curves, and by no other."""
    headline = next((one["distance"] for run in runs for one in run.curves), "")
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    for run in runs:
        for one in run.curves:
            if one["distance"] != headline:
                continue
            what = f"{one['protocol']}: {one['probe']} → {one['gallery']}"
            key = (what, one["condition"])
            lines = groups.setdefault(key, {run.name: [] for run in runs})
            lines[run.name] = [x / 100 for x in one["curve"]]
    if groups:
        yield "<h2>Probes with a match among the k nearest</h2>"
        yield elements.paragraph(f"By {headline} distance.")
        yield elements.figures(
            (plots.cmc_curves(lines, f"{what}, {condition}"), f"CMC, {condition}")
            for (what, condition), lines in groups.items()
        )


def _differing(runs: Sequence[Saved]) -> list[list[str]]:
    keys = list(dict.fromkeys(key for run in runs for key in run.config))
    lines = [["key", *(run.name for run in runs)]]
    for key in sorted(keys):
        values = [run.config.get(key, "absent") for run in runs]
        if any(value != values[0] for value in values):
            lines.append([key, *map(str, values)])
    return lines if len(lines) > 1 else [*lines, ["none", *([""] * len(runs))]]
