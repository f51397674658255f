"""Selective Fusion against its baseline, its parts and its rival, without labels.

usage: python experiments/selective_fusion/sweep.py [--minutes 90] [--parallel 2]
           [--runs runs/selective_fusion_study] [--out results.json]
           [--only ROW|NAME ...] [--tiny]

What all jobs stand on comes first, whatever `--only` says. Each job is a process of its
own; see gaitjax/bench/study.py for how the study goes on where it was stopped. `--tiny`
is the same with a few people and steps, whose figures mean nothing: does everything
run?
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import time
from typing import Any

import look
import numpy as np
from absl import flags
from jobs import (
    BASES,
    BATCH,
    FUSION,
    NEIGHBOURS,
    ROUND,
    STEPS,
    VIEWS,
    Job,
    bases,
    jobs,
)
from ml_collections import ConfigDict

from configs import casia_bn_selective_fusion as recipes
from gaitjax.bench import study
from gaitjax.data.pipeline import is_frontal
from gaitjax.evaluate import embed, evaluate_run, export_run
from gaitjax.files import write_json
from gaitjax.report.alignment_plots import write_png
from gaitjax.run import Run, open_run, restore_model
from gaitjax.runtime import metrics_log
from gaitjax.runtime.environment import environment
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.runtime.state import TrainState
from gaitjax.runtime.weights import adopt
from gaitjax.train import train

HERE = pathlib.Path(__file__).parent
TARGET, SOURCE = "walkers_casia_b", "walkers_oumvlp"
METRICS = ("rank-1", "rank-5", "mAP")
# Training, test: every round embeds all of the target's, 110 sequences of a person.
PEOPLE = {TARGET: (24, 20), SOURCE: (120, 20)}
FRAMES = 8  # of a sequence


def main() -> None:
    """Runs what is missing until time is up."""
    later = [job for job in jobs() if job.study != "bases"]
    stages, runs = [bases(), later], "runs/selective_fusion_study"
    study.main(__doc__, __file__, runs, stages, run, record, stand_on)


def stand_on(job: Job) -> tuple[str, str]:
    """The bases of a job."""
    return job.start, job.views


def run(job: Job, runs: pathlib.Path, variant: str) -> None:
    """Trains and evaluates; a base is tested on the people of the target."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    folder = runs / job.name
    config = recipe(job, runs, variant)
    try:
        train(config.to_dict(), folder)
        if job.study == "bases":
            on_target(job, config, folder, variant)
        if job.looked and not (folder / "looks.json").exists():
            look_at(job, runs, variant)
    finally:  # it may have been asked to stop: the next one adds to it
        folder.mkdir(parents=True, exist_ok=True)
        # Of the processor: other programs, or a pause, do not change it.
        study.spent(folder, time.process_time())
    (folder / "done").touch()


def recipe(job: Job, runs: pathlib.Path, variant: str) -> ConfigDict:
    """The config of a job."""
    if job.study == "bases":
        return base(job.row, variant)
    start, views = base(job.start, variant), base(job.views, variant)
    if job.upper:
        config = start.copy_and_resolve_references()
        narrow(config, TARGET, variant)
    else:
        config = recipes.get_config(variant)
        narrow(config, TARGET, variant)
        config.method_args.view_base = ConfigDict(
            {"workdir": str(runs / job.views), "config": views}
        )
        if variant != "tiny":
            recipes.rounds(config, steps=ROUND, fusion=FUSION)
            config.method_args.neighbours = NEIGHBOURS
    config.train.init_from = str(runs / job.start)
    config.train.init_config = start
    config.train.seed = job.seed
    if variant != "tiny":
        config.train.steps = STEPS
    with config.unlocked():
        config.update_from_flattened_dict(dict(job.changes))
    if variant == "tiny":  # so few people have no larger batch
        config.data.p, config.data.k = min(config.data.p, 4), min(config.data.k, 2)
    return config


def base(name: str, variant: str) -> ConfigDict:
    """The pre-training or the classifier of views, with the labels of its set."""
    steps, of_views = BASES[name]
    config = recipes.get_config(variant).train.init_config
    config = config.copy_and_resolve_references()
    if of_views:
        config = recipes.views(variant)
    narrow(config, SOURCE, variant)
    if variant != "tiny":
        config.train.steps = steps
        config.optim.warmup = min(config.optim.warmup, steps // 5)
    return config


def narrow(config: ConfigDict, twin: str, variant: str) -> None:
    """The data of a twin, fewer than it has, and batches of 96 frames."""
    config.data.name = twin
    config.log.tensorboard = config.eval.report = False
    if variant == "tiny":
        return
    num_train, num_test = PEOPLE[twin]
    config.data.args.update(num_train=num_train, num_test=num_test, frames=FRAMES)
    config.log.every = 20
    of_views = config.data.label == "frontal"  # two classes are two people
    with config.unlocked():
        config.update_from_flattened_dict(VIEWS if of_views else BATCH)


def on_target(job: Job, config: ConfigDict, folder: pathlib.Path, variant: str) -> None:
    """What a base makes of the target's test people: Rank-1 of an export, in
    <folder>/target; of views how many it tells, in accuracy.json."""
    _, of_views = BASES[job.row]
    if not of_views:
        export_run(config.to_dict(), folder)
        copy = folder / "target"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder / "export", copy)
        narrow(config, TARGET, variant)
        evaluate_run(config.to_dict(), copy)
        return
    opened = open_run(config.to_dict(), folder, create=False)
    state = restore_model(opened)
    narrow(config, TARGET, variant)
    copy = folder / "target"
    other = open_run(config.to_dict(), copy)
    split = other.data.test
    (values,) = embed(opened, state, split, np.arange(len(split))).values()
    found = accuracy(values[:, 0, 1] > 0.5, split.index.view)
    write_json(folder / "accuracy.json", found)


def look_at(job: Job, runs: pathlib.Path, variant: str) -> None:
    """looks.json; of the method map.png and sheet.png beside it, see look.py."""
    folder = runs / job.name
    opened, state = trained(job, runs, variant)
    if job.row == "both":
        start = next(one for one in bases() if one.name == job.start)
        networks = {"before": trained(start, runs, variant), "after": (opened, state)}
        write_png(folder / "map.png", look.maps(networks))
        sheet = look.sheet(opened, state)
        if sheet is not None:
            write_png(folder / "sheet.png", sheet)
    write_json(folder / "looks.json", {"wear": look.wear(opened, state)})


def trained(job: Job, runs: pathlib.Path, variant: str) -> tuple[Run, TrainState]:
    """The network of a finished job, with the data of the target."""
    config, folder = recipe(job, runs, variant), runs / job.name
    if job.study == "bases":
        narrow(config, TARGET, variant)
        folder /= "target"
        config = adopt(config.to_dict(), folder)
    else:
        config = config.to_dict()
    opened = open_run(config, folder, create=False)
    return opened, restore_model(opened)


def accuracy(frontal: np.ndarray, views: np.ndarray) -> dict[str, float]:
    """Percent of sequences that are told right, by view and as the mean of front and
    back and of the others: bool[n], str[n]."""
    right = frontal == np.array([is_frontal(view) for view in views])
    found = {str(v): 100 * float(right[views == v].mean()) for v in np.unique(views)}
    kinds = {True: [], False: []}
    for view, value in found.items():
        kinds[is_frontal(view)].append(value)
    found["balanced"] = float(np.mean([np.mean(x) for x in kinds.values() if x]))
    return {name: round(value, 2) for name, value in found.items()}


def record(job: Job, runs: pathlib.Path, variant: str) -> dict[str, Any] | None:
    """What is kept of a finished job; None of one that was stopped."""
    folder = runs / job.name
    if not (folder / "done").exists():
        return None
    own = json.loads((folder / "results.json").read_text())
    told = folder / "accuracy.json"
    looks = folder / "looks.json"
    tested = folder / "target" / "results.json" if job.study == "bases" else None
    results: dict[str, Any] = {"rows": [], "view_pairs": []}
    if tested is None:
        results = own
    elif tested.exists():
        results = json.loads(tested.read_text())
    return {
        "name": job.name,
        "study": job.study,
        "row": job.row,
        "seed": job.seed,
        "variant": variant,
        "changes": job.changes,
        "start": job.start,
        "views_of": job.views,
        "steps": own["run"]["steps"],
        "cpu_seconds": round(study.spent(folder)),
        "load": round(os.getloadavg()[0], 1),
        "machine": environment(),
        "scores": scores(results),
        "views": views(results),
        "rounds": rounds(folder),
        "accuracy": json.loads(told.read_text()) if told.exists() else {},
        "wear": json.loads(looks.read_text())["wear"] if looks.exists() else {},
    }


def scores(results: dict[str, Any]) -> dict[str, float]:
    """{"casia_b NM/rank-1": percent}: protocols share names of conditions."""
    return {
        f"{row['protocol']} {row['condition']}/{row['metric']}": round(row["value"], 3)
        for row in results["rows"]
        if row["metric"] in METRICS
    }


def views(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """{condition: {probe view: Rank-1}}, mean over gallery views, of `casia_b`."""
    found: dict[str, dict[str, float]] = {}
    for table in results["view_pairs"]:
        if table["protocol"] != "casia_b":
            continue
        for view, row in zip(table["views"], table["cells"], strict=True):
            cells = [cell for cell in row if cell is not None]
            if cells:
                mean = round(sum(cells) / len(cells), 2)
                found.setdefault(table["condition"], {})[view] = mean
    return found


def rounds(folder: pathlib.Path) -> dict[str, list[list[float]]]:
    """{"nmi": [[step, value], ...]}: how clusters and people agree, a point a round."""
    found: dict[str, list[list[float]]] = {}
    for line in metrics_log.read(folder / "metrics.jsonl"):
        for name, value in line.items():
            if name.startswith("labels/"):
                key = name.removeprefix("labels/")
                found.setdefault(key, []).append([line["step"], round(value, 4)])
    return found


if __name__ == "__main__":
    main()
