"""Mesh-Gait against its branches, its rivals and without its parts, on two twins.

usage: python experiments/meshgait/sweep.py [--minutes 90] [--parallel 2]
           [--runs runs/meshgait] [--out results.json] [--only ROW|NAME ...]
           [--tiny]

Each job is a process of its own; see gaitjax/bench/study.py for how the study goes on
where it was stopped. `--tiny` is the same with a few people and steps, whose figures
mean nothing: does everything run?
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import shutil
import time
from typing import Any

from absl import flags
from jobs import CHANGED, CLIP, STEPS, TWINS, Job, clip, jobs
from look import changed, errors
from ml_collections import ConfigDict

from gaitjax.bench import study
from gaitjax.evaluate import evaluate_run, export_run
from gaitjax.files import write_json
from gaitjax.run import open_run, restore_model
from gaitjax.runtime import metrics_log
from gaitjax.runtime.environment import environment
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.train import train

HERE = pathlib.Path(__file__).parent
METRICS = ("rank-1", "rank-5", "mAP")
CURVES = ("joints/error_mm", "markers/error_mm", "vertices/error_mm")
# A heat map has 8 x 8 cells: a fourth branch of HRNet would look at one.
NARROWER = study.args(modules=(1, 1))
PEOPLE = {"oumvlp": (120, 40), "gait3d": (200, 60)}  # training, test


def main() -> None:
    """Runs what is missing until time is up."""
    study.main(__doc__, __file__, "runs/meshgait", [jobs()], run, record)


def run(job: Job, runs: pathlib.Path, variant: str) -> None:
    """Trains and evaluates, then looks at the network in other ways."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    folder = runs / job.name
    config = recipe(job, runs, variant)
    try:
        train(config.to_dict(), folder)
        measure(job, config, folder)
        if job.elsewhere:
            elsewhere(job, config, folder, variant)
    finally:  # it may have been asked to stop: the next one adds to it
        folder.mkdir(parents=True, exist_ok=True)
        # Of the processor: other programs, or a pause, do not change it.
        study.spent(folder, time.process_time())
    (folder / "done").touch()


def recipe(job: Job, runs: pathlib.Path, variant: str) -> ConfigDict:
    """configs/*_meshgait.py:walkers with the job's changes."""
    module = importlib.import_module(f"configs.{job.twin}_meshgait")
    config = module.get_config(variant)
    config.train.seed = job.seed
    config.log.tensorboard = config.eval.report = False
    if variant != "tiny":
        on_twin(config, job.twin, variant)
        config.train.steps = STEPS
        config.update_from_flattened_dict(clip(CLIP) | NARROWER)
        config.log.every = 25
        if job.study == "main":  # Rank-1 over training
            config.train.eval_every = STEPS // 2
    if job.start:
        base = next(x for x in jobs() if (x.row, x.seed) == (job.start, job.seed))
        config.train.init_from = str(runs / base.name)
        config.train.init_config = recipe(base, runs, variant)
    with config.unlocked():
        config.update_from_flattened_dict(dict(job.changes))
    if variant == "tiny":  # so few people have no larger batch
        config.data.p, config.data.k = min(config.data.p, 4), min(config.data.k, 2)
        config.data.frames = min(config.data.frames, 4)
        config.train.steps = 4
    return config


def on_twin(config: ConfigDict, twin: str, variant: str) -> None:
    """The data of a twin, with all labels."""
    config.data.name = f"walkers_{twin}"
    if variant != "tiny":
        num_train, num_test = PEOPLE[twin]
        config.data.args.update(num_train=num_train, num_test=num_test)


def measure(job: Job, config: ConfigDict, folder: pathlib.Path) -> None:
    """looks.json: errors of bodies, and scores on changed test clips."""
    if (folder / "looks.json").exists():
        return
    opened = open_run(config.to_dict(), folder, create=False)
    state = restore_model(opened)
    found = {
        "errors": errors(opened, state),
        "changed": changed(opened, state, CHANGED if job.changed else {}),
    }
    write_json(folder / "looks.json", found)


def elsewhere(job: Job, config: ConfigDict, folder: pathlib.Path, variant: str) -> None:
    """What an export finds on the other twin, into <folder>/elsewhere."""
    copy = folder / "elsewhere"
    export_run(config.to_dict(), folder)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "export", copy)
    (other,) = set(TWINS) - {job.twin}
    with config.unlocked():
        on_twin(config, other, variant)
    evaluate_run(config.to_dict(), copy)


def record(job: Job, runs: pathlib.Path, variant: str) -> dict[str, Any] | None:
    """What is kept of a finished job; None of one that was stopped."""
    folder = runs / job.name
    if not (folder / "done").exists():
        return None
    results = json.loads((folder / "results.json").read_text())
    looks = json.loads((folder / "looks.json").read_text())
    other = folder / "elsewhere" / "results.json"
    return {
        "name": job.name,
        "study": job.study,
        "row": job.row,
        "seed": job.seed,
        "twin": job.twin,
        "variant": variant,
        "changes": job.changes,
        "steps": results["run"]["steps"],
        "cpu_seconds": round(study.spent(folder)),
        "load": round(os.getloadavg()[0], 1),
        "machine": environment(),
        "scores": scores(results),
        "views": views(results),
        "errors": looks["errors"],
        "training": training(folder),
        "changed": {name: headline(found) for name, found in looks["changed"].items()},
        "elsewhere": scores(json.loads(other.read_text())) if job.elsewhere else {},
    }


def scores(results: dict[str, Any]) -> dict[str, float]:
    """{"oumvlp NM/rank-1": percent}: protocols share names of conditions."""
    return {
        f"{row['protocol']} {row['condition']}/{row['metric']}": round(row["value"], 3)
        for row in results["rows"]
        if row["metric"] in METRICS
    }


def headline(found: dict[str, float]) -> dict[str, float]:
    """{"NM/rank-1": percent}, of the first protocol."""
    return {
        name: round(value, 3)
        for name, value in found.items()
        if name.rpartition("/")[2] in METRICS
    }


def views(results: dict[str, Any]) -> dict[str, float]:
    """Rank-1 of each probe view, mean over gallery views, of the headline protocol."""
    for table in results["view_pairs"][:1]:
        means = {}
        for view, row in zip(table["views"], table["cells"], strict=True):
            cells = [cell for cell in row if cell is not None]
            if cells:
                means[view] = round(sum(cells) / len(cells), 2)
        return means
    return {}


def training(folder: pathlib.Path) -> dict[str, list[list[float]]]:
    """{name: [[step, value], ...]} of errors in mm and, where it was evaluated on the
    way, Rank-1 and mAP."""
    found: dict[str, list[list[float]]] = {}
    for line in metrics_log.read(folder / "metrics.jsonl"):
        for name, value in line.items():
            if name in CURVES or name.rpartition("/")[2] in ("rank-1", "mAP"):
                found.setdefault(name, []).append([line["step"], round(value, 2)])
    return found


if __name__ == "__main__":
    main()
