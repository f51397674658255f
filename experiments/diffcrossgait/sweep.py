"""DiffCrossGait against its rivals and without its parts, on the twin of SUSTech1K.

usage: python experiments/diffcrossgait/sweep.py [--minutes 90] [--scale narrow|full]
           [--parallel 2] [--runs runs/diffcrossgait_narrow] [--out results.json]
           [--only ROW ...]

Each job is a process of its own, --parallel of them at a time (on a CPU two runs side
by side end sooner than one after the other). After --minutes those that go on save
their state and leave: typed again it goes on there. A finished run's record is appended
to results.json beside this file. `--scale full` is the published recipe's network and
batch, for an accelerator.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

from absl import flags
from jobs import Job, jobs
from ml_collections import ConfigDict

from configs import common
from gaitjax.bench import study
from gaitjax.data.builders import walkers
from gaitjax.evaluate import evaluate_run, export_run
from gaitjax.runtime.environment import environment
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.train import train

HERE = pathlib.Path(__file__).parent
STEPS = {"narrow": 500, "full": 3000}


def main() -> None:
    """Runs what is missing until time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--scale", choices=STEPS, default="narrow")
    parser.add_argument("--parallel", type=int)
    parser.add_argument("--runs", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", default=())
    parser.add_argument("--job", help="this one, in this process")
    options = parser.parse_args()
    runs = options.runs or pathlib.Path(f"runs/diffcrossgait_{options.scale}")
    suffix = "" if options.scale == "narrow" else f"_{options.scale}"
    parallel = options.parallel or {"narrow": 2, "full": 1}[options.scale]
    out = options.out or HERE / f"results{suffix}.json"
    if options.job:
        one = next(job for job in jobs(options.scale) if job.name == options.job)
        return run(one, options.scale, runs / one.name)
    done = {record["name"] for record in study.read(out)}
    todo = [
        job
        for job in jobs(options.scale)
        if job.name not in done and (not options.only or job.row in options.only)
    ]
    shared = ["--scale", options.scale, "--runs", str(runs)]
    study.run_all(
        todo,
        lambda job: [sys.executable, __file__, *shared, "--job", job.name],
        lambda job: record(job, options.scale, runs / job.name),
        out,
        options.minutes,
        parallel,
    )


def run(job: Job, scale: str, folder: pathlib.Path) -> None:
    """Trains and evaluates, then tests the same network at other elevations."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    start = time.perf_counter()
    config = recipe(job, scale)
    try:
        train(config.to_dict(), folder)
    finally:  # it may have been asked to stop: the next one adds to it
        study.spent(folder, time.perf_counter() - start)
    if job.elevations:
        export_run(config.to_dict(), folder)
    config.data.p = 4  # nothing is trained from here on
    for elevation in job.elevations:
        config.data.args.update(elevation=float(elevation), num_train=8)
        copy = folder / f"elevation_{elevation}"
        subprocess.run(["cp", "-rT", str(folder / "export"), str(copy)], check=True)
        evaluate_run(config.to_dict(), copy)


def recipe(job: Job, scale: str) -> ConfigDict:
    """The config of a run: configs/sustech1k.py with the job's changes."""
    published = importlib.import_module("configs.sustech1k")
    config = published.get_config("walkers" if scale == "narrow" else "")
    if scale == "full":
        config.data.name = "walkers_sustech1k"
        config.data.args = common.section(walkers.make_builder)
        config.data.args.update(num_train=250, num_test=100)
        config.train.precision = "bf16"
        # Short: the published schedule, scaled to the number of steps.
        share = STEPS[scale] / config.train.steps
        milestones = [round(at * share) for at in config.optim.milestones]
        config.optim.milestones = tuple(milestones)
    config.train.steps = STEPS[scale]
    config.train.seed = job.seed
    config.log.tensorboard = config.eval.report = False
    changes = dict(job.changes)
    if "method" in changes:
        other = common.base(changes.pop("method"))
        shared = {k: v for k, v in config.method_args.items() if k in other.method_args}
        other.method_args.update(shared)
        config.method, config.method_args = other.method, other.method_args
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config


def record(job: Job, scale: str, folder: pathlib.Path) -> dict[str, Any] | None:
    """What is kept of a finished run; None of one that somebody else stopped."""
    if not (folder / "finished").exists():
        return None
    results = json.loads((folder / "results.json").read_text())
    elevated = {
        str(at): scores(folder / f"elevation_{at}" / "results.json")
        for at in job.elevations
    }
    return {
        "name": job.name,
        "study": job.study,
        "row": job.row,
        "seed": job.seed,
        "scale": scale,
        "changes": job.changes,
        "steps": results["run"]["steps"],
        "seconds": round(study.spent(folder)),
        "load": round(os.getloadavg()[0], 1),
        "machine": environment(),
        "scores": scores(folder / "results.json"),
        "elevations": elevated,
    }


def scores(path: pathlib.Path) -> dict[str, float]:
    """{"euclidean sils>ranges/Normal/rank-1": percent}."""
    return {
        f"{r['distance']} {r['probe']}>{r['gallery']}/{r['condition']}/{r['metric']}": (
            round(r["value"], 3)
        )
        for r in json.loads(path.read_text())["rows"]
        if r["metric"] in ("rank-1", "rank-5")
    }


if __name__ == "__main__":
    main()
