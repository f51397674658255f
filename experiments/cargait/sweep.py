"""CarGait on three backbones and two twins, against its rivals and without its parts.

usage: python experiments/cargait/sweep.py [--minutes 90] [--parallel 2]
           [--runs runs/cargait] [--out results.json] [--only NAME ...]

A job trains a base, then what stands on it. Each is a process of its own; see
gaitjax/bench/study.py for how the study goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from absl import flags
from jobs import DEPTHS, Job, jobs
from ml_collections import ConfigDict

from configs import gait3d_cargait
from gaitjax.bench import study
from gaitjax.evaluate import evaluate_state
from gaitjax.run import open_run, restore_model
from gaitjax.runtime.environment import environment
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.runtime.workdir import write_atomically
from gaitjax.train import train

HERE = pathlib.Path(__file__).parent
BASE_STEPS = {"oumvlp": 900, "gait3d": 1500}
METRICS = ("rank-1", "rank-5", "mAP")


def main() -> None:
    """Runs what is missing until time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--runs", type=pathlib.Path, default="runs/cargait")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results.json")
    parser.add_argument("--only", nargs="+", default=())
    parser.add_argument("--job", help="this one, in this process")
    options = parser.parse_args()
    if options.job:
        one = next(job for job in jobs() if job.name == options.job)
        return run(one, options.runs / one.name)
    done = {record["name"] for record in study.read(options.out)}
    todo = [
        job
        for job in jobs()
        if job.name not in done and (not options.only or job.name in options.only)
    ]
    study.run_all(
        todo,
        lambda job: [
            *(sys.executable, __file__, "--runs", str(options.runs)),
            *("--job", job.name),
        ],
        lambda job: record(job, options.runs / job.name),
        options.out,
        options.minutes,
        options.parallel,
    )


def run(job: Job, folder: pathlib.Path) -> None:
    """The base, the base trained longer, and every row, each evaluated."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    start = time.perf_counter()
    try:
        for row, changes in job.rows.items():
            config = recipe(job, folder, changes)
            train(config.to_dict(), folder / row)
            if row == "cargait":
                curve(config, folder / row)
        longer = base_config(job)
        longer.train.init_from = str(folder / "base")
        longer.train.steps //= 3
        train(longer.to_dict(), folder / "extra")
    finally:
        folder.mkdir(parents=True, exist_ok=True)
        study.spent(folder, time.perf_counter() - start)
    (folder / "done").touch()


def base_config(job: Job) -> ConfigDict:
    """The narrow recipe of the zoo, long enough to come to a plateau."""
    zoo = importlib.import_module(f"configs.zoo.{job.backbone}_{job.twin}")
    config = zoo.get_config("walkers")
    config.train.update(steps=BASE_STEPS[job.twin], seed=job.seed)
    config.log.tensorboard = False
    return config


def recipe(job: Job, folder: pathlib.Path, changes: Mapping[str, Any]) -> ConfigDict:
    """configs/*_cargait.py:walkers on this base, with a row's changes."""
    config = gait3d_cargait.recipe(job.name, base_config(job), "walkers")
    config.method_args.base.workdir = str(folder / "base")
    config.train.seed = job.seed
    config.log.tensorboard = False
    config.eval.rivals = ("kreciprocal", "lbr", "gcr")
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config


def curve(config: ConfigDict, folder: pathlib.Path) -> None:
    """The same network with other K: depth_K.json."""
    for depth in DEPTHS:
        path = folder / f"depth_{depth}.json"
        if path.exists():
            continue
        config.eval.update(rerank=depth, rivals=(), lists=0)
        opened = open_run(config.to_dict(), folder, create=False)
        found = evaluate_state(opened, restore_model(opened))
        rows = [row for one in found for row in one.rows]
        write_atomically(path, json.dumps({"rows": rows}))


def record(job: Job, folder: pathlib.Path) -> dict[str, Any] | None:
    """What is kept of a finished job; None of one that was stopped."""
    if not (folder / "done").exists():
        return None
    named = {row: folder / row / "results.json" for row in (*job.rows, "extra")}
    named |= {f"K_{k}": folder / "cargait" / f"depth_{k}.json" for k in DEPTHS}
    return {
        "name": job.name,
        "twin": job.twin,
        "backbone": job.backbone,
        "seed": job.seed,
        "changes": job.rows,
        "base_steps": BASE_STEPS[job.twin],
        "seconds": round(study.spent(folder)),
        "load": round(os.getloadavg()[0], 1),
        "machine": environment(),
        "scores": {row: scores(path) for row, path in named.items()},
    }


def scores(path: pathlib.Path) -> dict[str, float]:
    """{"initial NM/rank-1": percent}."""
    return {
        f"{row['stage']} {row['condition']}/{row['metric']}": round(row["value"], 3)
        for row in json.loads(path.read_text())["rows"]
        if row["metric"] in METRICS
    }


if __name__ == "__main__":
    main()
