"""Benchmarks: figures with their spread and their machine. Nothing is asserted.

usage: python tools/bench.py data [--quick] [--json OUT]
       (or cluster, conv, diffcrossgait, dispatch, growth, infer, input, meshgait,
       rerank, rounds, scaling, topk, train in place of data; all: every one, each in a
       process of its own)
       python tools/bench.py train [--only gaitbase ...] [--precision bf16] [...]
       (or infer: some of its networks, one precision)

The subjects are the files of gaitjax/bench/ with a `run(quick)`. What there is so far
is in the JSON at any time: a run that is cut off keeps it.
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
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags, logging

from gaitjax.bench import circumstances
from gaitjax.bench.measure import Row
from gaitjax.errors import GaitError
from gaitjax.files import write_json
from gaitjax.report.tables import aligned
from gaitjax.runtime.precision import Precision

SUBJECTS = (
    "cluster",
    "conv",
    "data",
    "diffcrossgait",
    "dispatch",
    "growth",
    "infer",
    "input",
    "meshgait",
    "rerank",
    "rounds",
    "scaling",
    "topk",
    "train",
)
OF_NETWORKS = ("train", "infer")  # whose `run` takes `only` and `precision`


def main() -> None:
    """Prints a table, or one per subject."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=(*SUBJECTS, "all"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--only", nargs="+", metavar="NETWORK")
    parser.add_argument("--precision", choices=typing.get_args(Precision))
    options = parser.parse_args()
    logging.set_verbosity(logging.ERROR)  # Orbax and TFDS tell what they do
    flags.FLAGS.mark_as_parsed()  # Grain's worker processes look at them
    chosen = {"only": options.only, "precision": options.precision}
    chosen = {key: value for key, value in chosen.items() if value}
    if chosen and options.subject not in OF_NETWORKS:
        parser.error(f"--only and --precision are of {' and '.join(OF_NETWORKS)}")

    def write(content: Mapping[str, Any]) -> None:
        if options.json:
            write_json(options.json, content)

    if options.subject == "all":
        failed = run_all(options.quick, write)["failed"]
        if failed:
            raise GaitError(
                f"not all figures of {', '.join(failed)}; run each alone, its error is "
                "above"
            )
    else:
        run_one(options.subject, options.quick, chosen, write)


def run_one(
    subject: str, quick: bool, chosen: Mapping, write: Callable[[Mapping], None]
) -> dict:
    """Prints a subject's table; returns it, and the machine. write: is given what there
    is so far, row by row."""
    # JAX would take three quarters of a GPU's memory, and leave PyTorch too little.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    before = circumstances.load()
    call = circumstances.call(sys.argv, quick)
    content = {"machine": {}, "run": call, "finished": False, "rows": []}
    rows = importlib.import_module(f"gaitjax.bench.{subject}").run(quick, **chosen)
    machine: dict[str, Any] = {}
    try:
        for row in rows:
            machine = machine or {**circumstances.machine(), "load before": before}
            found = {"load after": circumstances.load(), **circumstances.torch_build()}
            content["machine"] = {**machine, **found}
            content["rows"].append(dataclasses.asdict(row))
            write(content)
        content["finished"] = True
    finally:
        show([Row(**values) for values in content["rows"]], content)
    write(content)
    return content


def show(rows: Sequence[Row], content: Mapping[str, Any]) -> None:
    """Prints them, and what they were taken on."""
    head = ["", "median", "least", "most", "unit"]
    lines = [
        [row.what, *map(spelt, (row.median, row.least, row.most)), row.unit]
        for row in rows
    ]
    about = {**content["machine"], **content["run"]}
    print(aligned([head, *lines]))
    print("; ".join(f"{key} {value}" for key, value in about.items()), flush=True)


def run_all(quick: bool, write: Callable[[Mapping], None]) -> dict:
    """Every subject by this tool: what one leaves in memory or on a device is gone
    before the next begins. One that fails is named, and the others go on."""
    call = circumstances.call(sys.argv, quick)
    content = {"machine": {}, "run": call, "rows": [], "failed": [], "subjects": {}}
    for subject in SUBJECTS:
        print(f"\n{subject}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder, "bench.json")
            command = [sys.executable, __file__, subject, "--json", str(out)]
            done = subprocess.run([*command, *["--quick"] * quick], check=False)
            found = json.loads(out.read_text()) if out.exists() else None
        if done.returncode:
            content["failed"].append(subject)
        if found:
            content["machine"] = content["machine"] or found["machine"]
            content["rows"] += [{"subject": subject, **row} for row in found["rows"]]
            about = {key: value for key, value in found.items() if key != "rows"}
            content["subjects"][subject] = about
        write(content)
    return content


def spelt(value: float | None) -> str:
    """Two decimals, and no figure where there is none."""
    return "not measured" if value is None else f"{value:,.2f}"


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
