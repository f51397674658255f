"""CarGait on three backbones and two twins, against its rivals and without its parts.

usage: python experiments/cargait/sweep.py [--minutes 90] [--parallel 2]
           [--runs runs/cargait] [--out results.json] [--only NAME ...] [--tiny]

A job trains a base, then what stands on it. Each is a process of its own; see
gaitjax/bench/study.py for how the study goes on where it was stopped. `--tiny` is the
same with a few people and steps, whose figures mean nothing: does everything run?
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags
from jobs import DEPTHS, TWINS, Job, jobs
from look import look
from ml_collections import ConfigDict

from configs import gait3d_cargait
from gaitjax.bench import study
from gaitjax.runtime.environment import environment
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.train import train

HERE = pathlib.Path(__file__).parent
METRICS = ("rank-1", "rank-5", "mAP")
MATRICES = [f"{k}_{w}" for k in ("genuine", "impostor") for w in ("before", "after")]


def main() -> None:
    """Runs what is missing until time is up."""
    study.main(__doc__, __file__, "runs/cargait", [jobs()], run, record)


def run(job: Job, runs: pathlib.Path, variant: str) -> None:
    """Every row of a job and, in a main one, the base trained longer."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    folder = runs / job.name
    try:
        for row, changes in job.rows.items():
            config = recipe(job, runs, variant, changes).to_dict()
            train(config, folder / row)
            if row == "cargait":
                look(config, folder / row, DEPTHS)
        if not job.ablation:
            train(extra(job, runs, variant).to_dict(), folder / "extra")
    finally:  # it may have been asked to stop: the next one adds to it
        folder.mkdir(parents=True, exist_ok=True)
        # Of the processor: other programs, or a pause, do not change it.
        study.spent(folder, time.process_time())
    (folder / "done").touch()


def base_config(job: Job, variant: str) -> ConfigDict:
    """The narrow recipe of the zoo on the study's twin, long enough for a plateau."""
    config = importlib.import_module(f"configs.zoo.{job.config}").get_config(variant)
    twin = TWINS[job.twin]
    config.data.args.update(twin.args)
    config.train.seed = job.seed
    if variant != "tiny":
        config.train.steps = twin.steps
    # Training lists, and CarGait before its first step, go by this distance; GaitSet's
    # recipe for Gait3D would have initial lists by cosine.
    config.eval.distances = ("euclidean",)
    config.log.tensorboard = config.eval.report = False
    return config


def extra(job: Job, runs: pathlib.Path, variant: str) -> ConfigDict:
    """The base a third longer, at a third of its learning rate: the whole rate again
    would first undo what was learnt."""
    config = base_config(job, variant)
    config.train.init_from = str(runs / job.base / "base")
    config.train.steps //= 3
    config.optim.lr /= 3
    config.optim.warmup //= 3
    return config


def recipe(
    job: Job, runs: pathlib.Path, variant: str, changes: Mapping[str, Any]
) -> ConfigDict:
    """configs/*_cargait.py:walkers on this base, with a row's changes."""
    config = gait3d_cargait.recipe(job.base, base_config(job, variant), variant)
    config.method_args.base.workdir = str(runs / job.base / "base")
    config.train.seed = job.seed
    config.log.tensorboard = config.eval.report = False
    if not job.ablation:  # rivals learn nothing: the same for every row on a base
        config.eval.rivals = ("kreciprocal", "lbr", "gcr")
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config


def record(job: Job, runs: pathlib.Path, variant: str) -> dict[str, Any] | None:
    """What is kept of a finished job; None of one that was stopped."""
    folder = runs / job.name
    if not (folder / "done").exists():
        return None
    named = {row: folder / row / "results.json" for row in job.rows}
    if not job.ablation:
        named["extra"] = folder / "extra" / "results.json"
        named["depths"] = folder / "cargait" / "depths.json"
    return {
        "name": job.name,
        "twin": job.twin,
        "backbone": job.backbone,
        "seed": job.seed,
        "ablation": job.ablation,
        "variant": variant,
        "changes": job.rows,
        "steps": TWINS[job.twin].steps,
        "args": TWINS[job.twin].args,
        "cpu_seconds": round(study.spent(folder)),
        "load": round(os.getloadavg()[0], 1),
        "machine": environment(),
        "scores": {row: scores(path) for row, path in named.items()},
        "strips": {} if job.ablation else matrices(folder / "cargait", job.seed),
    }


def scores(path: pathlib.Path) -> dict[str, float]:
    """{"oumvlp initial NM/rank-1": percent}: protocols share names of conditions."""
    return {
        f"{row['protocol']} {row['stage']} {row['condition']}/{row['metric']}": round(
            row["value"], 3
        )
        for row in json.loads(path.read_text())["rows"]
        if row["metric"] in METRICS
    }


def matrices(folder: pathlib.Path, seed: int) -> dict[str, Any]:
    """Numbers of pairs, and by matrix the mean cosine of equal parts and of unlike
    ones; of seed 0, which is drawn, the matrix itself."""
    found: dict[str, Any] = {}
    with np.load(folder / "strips.npz") as saved:
        for name in MATRICES:
            matrix = np.float64(saved[name])
            same = np.eye(len(matrix), dtype=bool)
            found[name] = {
                "equal": round(float(matrix[same].mean()), 4),
                "unlike": round(float(matrix[~same].mean()), 4),
            }
            if seed == 0:
                found[name]["matrix"] = matrix.round(3).tolist()
        for kind in ("genuine", "impostor"):
            found[f"{kind}_pairs"] = int(saved[f"{kind}_pairs"])
    return found


if __name__ == "__main__":
    main()
