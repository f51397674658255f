"""The default run with three seeds, and its rivals without a network.

usage: python experiments/first_run/sweep.py [--runs runs/first_run]

Finished runs are found again, so it goes on where it was stopped. Writes
results.json beside this file and prints the table of the README.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np

from gaitjax.files import write_atomically

HERE = pathlib.Path(__file__).parent
SEEDS = (0, 1, 2)


def main() -> None:
    """Runs what is missing, then collects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="runs/first_run")
    runs = pathlib.Path(parser.parse_args().runs)
    python = [sys.executable]
    config = ["--config", "configs/walkers.py"]
    rows = []
    for seed in SEEDS:
        workdir = runs / f"seed{seed}"
        flags = [f"--config.train.seed={seed}", "--workdir", str(workdir)]
        subprocess.run([*python, "-m", "gaitjax.main", *config, *flags], check=True)
        rows += [{"method": "gaitbase", "seed": seed, **r} for r in read(workdir)]
    rivals = runs / "baselines"
    rivals.mkdir(exist_ok=True)
    out = ["--out", str(rivals / "results.json")]
    if not (rivals / "results.json").exists():
        subprocess.run([*python, "tools/baselines.py", *config, *out], check=True)
    rows += [{"method": r["probe"], "seed": None, **r} for r in read(rivals)]
    write_atomically(HERE / "results.json", json.dumps({"rows": rows}, indent=1) + "\n")
    print(table(rows))


def read(folder: pathlib.Path) -> list[dict]:
    """The rows of a results.json."""
    return json.loads((folder / "results.json").read_text())["rows"]


def table(rows: list[dict]) -> str:
    """Rank-1 as a Markdown table, mean and standard deviation over seeds."""
    lines = ["| Rank-1 %, same view left out | NM | BG | CL |", "|---|---|---|---|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for condition in ("NM", "BG", "CL"):
            values = [
                row["value"]
                for row in rows
                if (row["method"], row["condition"], row["metric"])
                == (method, condition, "rank-1")
            ]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.1f}{spread}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
