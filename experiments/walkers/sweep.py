"""Is the simulated world worth learning on? Every set, with rivals without a network.

usage: python experiments/walkers/sweep.py [--runs runs/walkers_audit] [--only NAME ...]

Jobs run one after the other in an order that makes partial results useful; finished
ones are found again, so it goes on where it was stopped. Writes results.json beside
this file: a record per job, with its rows, view-pair tables and seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import platform
import subprocess
import sys
import time

from gaitjax import walkers
from gaitjax.files import write_atomically

HERE = pathlib.Path(__file__).parent
NARROW, CROSS = "configs/walkers.py", "configs/sustech1k_crossmodal.py:walkers"
SHORT = {"train.steps": 600, "optim.warmup": 48}
SHORTER = {"train.steps": 400, "optim.warmup": 32}  # where only the difference counts
# In the wild a person has few sequences: more people, fewer of each.
WILD = {**SHORT, "data.p": 16, "data.k": 3}


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run, or the rivals (`seed` None) of one set."""

    study: str
    dataset: str
    seed: int | None
    config: str = NARROW
    changes: tuple[tuple[str, object], ...] = ()

    @property
    def name(self) -> str:
        """The folder of the job."""
        parts = [self.study, self.dataset]
        return "-".join(parts if self.seed is None else [*parts, f"seed{self.seed}"])


def jobs() -> list[Job]:
    """All of them: first one seed of every set, then what repeats and varies."""
    sets = {
        "walkers": (NARROW, {}),
        "walkers_sustech1k": (CROSS, {}),
        "walkers_oumvlp": (NARROW, SHORT),
        "walkers_casia_b": (NARROW, SHORT),
        "walkers_freegait": (CROSS, {"data.p": 16, "data.k": 3}),
        "walkers_gait3d": (NARROW, WILD),
        "walkers_grew": (NARROW, WILD),
        "walkers_outdoor_gait": (NARROW, SHORT),
        "walkers_ccpg": (NARROW, SHORT),
    }
    found = []
    for seed in (0, 1, 2):
        for name, (config, changes) in sets.items():
            # Other seeds of `walkers` are in experiments/first_run: the same pictures.
            if seed and name not in ("walkers_sustech1k", "walkers_oumvlp"):
                continue
            if not seed:
                found.append(Job("set", name, None, config))
            found.append(Job("set", name, seed, config, tuple(changes.items())))
        if not seed:
            found += _variations()
    return found


def _variations() -> list[Job]:
    """Shape against motion, and how many people and frames it takes."""
    found = []
    for study, change in (("same_gait", "gait_spread"), ("same_body", "body_spread")):
        changes = ((f"data.args.{change}", 0.0),)
        found.append(Job(study, "walkers", None, NARROW, changes))
        found.append(Job(study, "walkers", 0, NARROW, (*SHORTER.items(), *changes)))
    for people in (20, 40, 80):
        changes = (("data.args.num_train", people), *SHORTER.items())
        found.append(Job(f"{people}_people", "walkers", 0, NARROW, changes))
    found.append(Job("160_people", "walkers", 0, NARROW, tuple(SHORTER.items())))
    for frames in (1, 2, 4, 8):
        changes = (*SHORTER.items(), ("eval.frames_limit", frames))
        found.append(Job(f"{frames}_frames", "walkers", 0, NARROW, changes))
    return found


def main() -> None:
    """Runs what is missing, then collects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=pathlib.Path, default="runs/walkers_audit")
    parser.add_argument("--only", nargs="+", help="sets or studies")
    options = parser.parse_args()
    for job in jobs():
        if not options.only or {job.study, job.dataset}.intersection(options.only):
            run(job, options.runs)
            collect(options.runs)


def run(job: Job, runs: pathlib.Path) -> None:
    """One job in a process of its own, unless its results are there."""
    folder = runs / job.name
    if (folder / "seconds.json").exists():
        return
    print(f"\n== {job.name}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    flags = ["--config", job.config, f"--config.data.name={job.dataset}"]
    flags += [f"--config.{key}={value}" for key, value in job.changes]
    python, start = sys.executable, time.perf_counter()
    if job.seed is None:
        out = ["--out", str(folder / "results.json")]
        subprocess.run([python, "tools/baselines.py", *flags, *out], check=True)
    else:
        flags.append(f"--config.train.seed={job.seed}")
        mode = []
        if job.study.endswith("_frames"):  # the trained network of another job
            mode = ["--mode", "evaluate"]
            copy_run(runs / "160_people-walkers-seed0", folder)
        command = [python, "-m", "gaitjax.main", *flags, *mode]
        subprocess.run([*command, "--workdir", str(folder)], check=True)
    seconds = round(time.perf_counter() - start)
    write_atomically(folder / "seconds.json", json.dumps({"seconds": seconds}))


def first_run() -> list[dict]:
    """Seeds 1 and 2 of the default recipe, as they were run for that study."""
    rows = json.loads((HERE.parent / "first_run" / "results.json").read_text())["rows"]
    found = []
    for seed in (1, 2):
        mine = [r for r in rows if r["method"] == "gaitbase" and r["seed"] == seed]
        job = Job("set", "walkers", seed)
        record = {**dataclasses.asdict(job), "seconds": 0, "from": "first_run"}
        found.append({**record, "changes": {}, "rows": mine, "view_pairs": []})
    return found


def copy_run(source: pathlib.Path, target: pathlib.Path) -> None:
    """Checkpoints and config of a finished run."""
    subprocess.run(["cp", "-r", f"{source}/.", str(target)], check=True)
    for name in ("seconds.json", "results.json", "finished"):
        (target / name).unlink(missing_ok=True)


def collect(runs: pathlib.Path) -> None:
    """results.json from all finished jobs."""
    records = []
    for job in jobs():
        folder = runs / job.name
        if (folder / "seconds.json").exists():
            results = json.loads((folder / "results.json").read_text())
            seconds = json.loads((folder / "seconds.json").read_text())["seconds"]
            record = {**dataclasses.asdict(job), "seconds": seconds}
            record["changes"] = dict(job.changes)
            keys = ("rows", "view_pairs")
            records.append({**record, **{k: results.get(k, []) for k in keys}})
    records += first_run()
    about = {"walkers": walkers.VERSION, "machine": platform.processor()}
    text = json.dumps({**about, "jobs": records}) + "\n"
    write_atomically(HERE / "results.json", text)


if __name__ == "__main__":
    main()
