"""Benchmarks: figures with their spread and their machine. Nothing is asserted.

usage: python tools/bench.py data [--quick] [--json OUT]
       (or cluster, diffcrossgait, meshgait, rerank, topk in place of data)

The subjects are the files of gaitjax/bench/ with a `run(quick)`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys

from gaitjax.errors import GaitError
from gaitjax.files import write_json
from gaitjax.report.tables import aligned
from gaitjax.runtime.environment import environment

SUBJECTS = ("cluster", "data", "diffcrossgait", "meshgait", "rerank", "topk")


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows = importlib.import_module(f"gaitjax.bench.{options.subject}").run(
        options.quick
    )
    head = ["", "median", "least", "most", "unit"]
    lines = [
        [row.what, *map(spelt, (row.median, row.least, row.most)), row.unit]
        for row in rows
    ]
    machine = {**environment(), "cores": os.cpu_count(), "load before": round(load, 2)}
    print(aligned([head, *lines]))
    print("; ".join(f"{key} {value}" for key, value in machine.items()))
    if options.json:
        content = {
            "machine": machine,
            "rows": [dataclasses.asdict(row) for row in rows],
        }
        write_json(options.json, content)


def spelt(value: float | None) -> str:
    """Two decimals, and no figure where there is none."""
    return "not measured" if value is None else f"{value:,.2f}"


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
