"""Results as text for a terminal, and as files.

Every table says under which protocol, between which modalities and with which
distance its numbers were made, and how many probes they stand for. `rows` are
those of `retrieval.search.Evaluation`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.files import write_atomically
from gaitjax.retrieval.search import Evaluation

UNDEFINED = "n/a"


def results_table(rows: Sequence[dict]) -> str:
    """One block per measurement: metrics down, conditions across, percent. Stages of
    re-ranking stand below one another."""
    if not rows:
        return f"no results ({UNDEFINED}: no condition has a probe with a match)"
    return "\n\n".join(
        "\n".join([describe(group[0]), aligned(grid(group))])
        for group in by_stages(rows)
    )


def by_stages(rows: Sequence[dict]) -> list[list[dict]]:
    """`measurements`, all stages of one in a group; where there are several, a metric
    is called by both."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(measurement({**row, "stage": ""}), []).append(row)
    found = []
    for group in groups.values():
        stages = list(dict.fromkeys(row["stage"] for row in group))
        if len(stages) > 1:
            metrics = list(dict.fromkeys(row["metric"] for row in group))
            group = sorted(group, key=lambda row: metrics.index(row["metric"]))
            group = [
                {**row, "metric": f"{row['metric']}, {row['stage']}"} for row in group
            ]
            group[0]["stage"] = ", then ".join(stages)
        found.append(group)
    return found


def write_json(path: str | os.PathLike, rows: Sequence[dict], **more: object) -> None:
    """`{"rows": [...], ...}`, never half a file. A NaN is an error, it is not JSON."""
    content = {"rows": list(rows), **more}
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_csv(path: str | os.PathLike, rows: Sequence[dict]) -> None:
    """One line per number, with a header, never half a file."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_atomically(path, text.getvalue())


def cmc(evaluation: Evaluation) -> list[dict]:
    """The CMC curves of an evaluation, in percent, in plain types for JSON."""
    return [
        {
            "protocol": evaluation.protocol,
            "probe": evaluation.probe,
            "gallery": evaluation.gallery,
            "condition": condition,
            "distance": evaluation.distance,
            "curve": [round(100 * float(share), 3) for share in curve],
        }
        for condition, curve in evaluation.cmc.items()
        if np.isfinite(curve).all()
    ]


def view_pairs(evaluation: Evaluation) -> list[dict]:
    """Rank-1 % by probe view and gallery view, None where undefined, for JSON."""
    return [
        {
            "protocol": evaluation.protocol,
            "probe": evaluation.probe,
            "gallery": evaluation.gallery,
            "condition": condition,
            "distance": evaluation.distance,
            "views": list(views),
            "cells": [
                [None if np.isnan(cell) else round(float(cell), 2) for cell in row]
                for row in table
            ],
        }
        for condition, (views, table) in evaluation.view_tables.items()
    ]


def measurements(rows: Sequence[dict]) -> list[list[dict]]:
    """Rows that share protocol, modalities, distance and stage, in order."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(measurement(row), []).append(row)
    return list(groups.values())


def measurement(row: Mapping) -> tuple[str, ...]:
    """What a row's number was measured with; the same for all rows of a table."""
    keys = ("protocol", "probe", "gallery", "distance", "stage")
    return tuple(row[key] for key in keys)


def describe(row: dict) -> str:
    """What a measurement is, in one line."""
    modalities = f"probe {row['probe']}, gallery {row['gallery']}"
    return f"{row['protocol']}: {modalities}, {row['distance']}, {row['stage']}"


def grid(rows: Sequence[dict]) -> list[list[str]]:
    """Cells of one measurement, header first, then the counts of probes."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    names = list(dict.fromkeys(row["metric"] for row in rows))
    cells = {(row["metric"], row["condition"]): row for row in rows}
    lines = [["%", *conditions]]
    for name in names:
        found = [cells.get((name, condition)) for condition in conditions]
        lines.append([name, *(percent(r["value"]) if r else UNDEFINED for r in found)])
    counts = {row["condition"]: row for row in rows}
    for label, key in (("probes", "n_probe"), ("without match", "n_without_match")):
        lines.append([label, *(f"{counts[name][key]:,}" for name in conditions)])
    return lines


def percent(value: float) -> str:
    return UNDEFINED if np.isnan(value) else f"{value:.2f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """First column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *rest = widths
    return "\n".join(
        "  ".join(
            [line[0].ljust(first)]
            + [cell.rjust(width) for cell, width in zip(line[1:], rest, strict=True)]
        )
        for line in lines
    )
