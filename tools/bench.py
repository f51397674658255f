"""Benchmarks: figures with their spread and their machine. Nothing is asserted.

usage: python tools/bench.py data [--quick] [--json OUT]
       (or cluster, conv, diffcrossgait, dispatch, growth, infer, meshgait, rerank,
       rounds, scaling, topk, train in place of data; all: every one, each in a process
       of its own)

The subjects are the files of gaitjax/bench/ with a `run(quick)`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from gaitjax.errors import GaitError
from gaitjax.files import write_json
from gaitjax.report.tables import aligned
from gaitjax.runtime.environment import environment

SUBJECTS = (
    "cluster",
    "conv",
    "data",
    "diffcrossgait",
    "dispatch",
    "growth",
    "infer",
    "meshgait",
    "rerank",
    "rounds",
    "scaling",
    "topk",
    "train",
)


def main() -> None:
    """Prints a table, or one per subject."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=(*SUBJECTS, "all"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.subject == "all":
        content = run_all(options.quick)
    else:
        content = run_one(options.subject, options.quick)
    if options.json:
        write_json(options.json, content)
    if content.get("failed"):
        raise GaitError(
            f"no figures of {', '.join(content['failed'])}; run each alone, its error "
            "is above"
        )


def run_one(subject: str, quick: bool) -> dict:
    """Prints a subject's table; returns it, and the machine."""
    # JAX would take three quarters of a GPU's memory, and leave PyTorch too little.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    load = os.getloadavg()[0]
    rows = importlib.import_module(f"gaitjax.bench.{subject}").run(quick)
    head = ["", "median", "least", "most", "unit"]
    lines = [
        [row.what, *map(spelt, (row.median, row.least, row.most)), row.unit]
        for row in rows
    ]
    machine = {**environment(), "cores": os.cpu_count(), "load before": round(load, 2)}
    print(aligned([head, *lines]))
    print("; ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    return {"machine": machine, "rows": [dataclasses.asdict(row) for row in rows]}


def run_all(quick: bool) -> dict:
    """Every subject by this tool: what one leaves in memory or on a device is gone
    before the next begins. One that fails is named, and the others go on."""
    content = {"machine": {}, "rows": [], "failed": []}
    for subject in SUBJECTS:
        print(f"\n{subject}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder, "bench.json")
            command = [sys.executable, __file__, subject, "--json", str(out)]
            done = subprocess.run([*command, *["--quick"] * quick], check=False)
            if done.returncode:
                content["failed"].append(subject)
                continue
            found = json.loads(out.read_text())
        content["machine"] = content["machine"] or found["machine"]
        content["rows"] += [{"subject": subject, **row} for row in found["rows"]]
    return content


def spelt(value: float | None) -> str:
    """Two decimals, and no figure where there is none."""
    return "not measured" if value is None else f"{value:,.2f}"


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
