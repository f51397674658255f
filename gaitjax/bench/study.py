"""What the studies in experiments/ share: many runs, in stretches one can wait for.

Every job is a process of its own, some side by side. When time is up those that go on
are asked to stop, save their state and leave; typed again the study goes on there. The
record of a finished job is one line of a JSON file.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import numpy as np

from gaitjax.data.index import Index
from gaitjax.data.records import Split
from gaitjax.files import write_atomically

Command = Callable[[Any], list[str]]
Collect = Callable[[Any], dict[str, Any] | None]


@dataclasses.dataclass(frozen=True)
class Options:
    """What was typed. variant: of configs. job: the one that this process is for.
    shared: what its own processes are told, too."""

    minutes: float
    parallel: int
    runs: pathlib.Path
    out: pathlib.Path
    only: frozenset[str]
    variant: str
    job: str | None
    shared: tuple[str, ...]


def run_all(
    todo: Sequence[Any],
    command: Command,
    collect: Collect,
    out: pathlib.Path,
    minutes: float,
    parallel: int,
) -> None:
    """Runs jobs in their order, `parallel` at a time, and appends their records.

    command: of a job, what is run. collect: its record once it is done, None where it
    is not. Exits with a line where jobs are left, which names those that failed.
    """
    end = time.monotonic() + 60 * minutes
    lock = threading.Lock()
    free: queue.SimpleQueue[set[int]] = queue.SimpleQueue()
    for cores in shares(parallel):
        free.put(cores)

    def work(job: Any) -> str:
        cores = free.get()
        ended = run_one(command(job), end - time.monotonic(), cores)
        free.put(cores)
        record = collect(job) if ended == "done" else None
        if record is None:
            return "left" if ended == "done" else ended
        with lock:
            append(out, record)
        return "done"

    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        ended = list(pool.map(work, todo))
    left = len(ended) - ended.count("done")
    failed = [job for job, one in zip(todo, ended, strict=True) if one == "failed"]
    names = ", ".join(str(getattr(job, "name", job)) for job in failed)
    why = f" ({names} failed, see above)" if failed else ""
    if left:
        sys.exit(f"{left} runs are left{why}; type it again to go on")


def main(
    doc: str | None,
    script: str,
    runs: str,
    stages: Sequence[Sequence[Any]],
    run: Callable[[Any, pathlib.Path, str], None],
    collect: Callable[[Any, pathlib.Path, str], dict[str, Any] | None],
    stand_on: Callable[[Any], Collection[str]] = lambda job: (),
) -> None:
    """The command line of a study that has a tiny variant: runs what is missing.

    doc, script: of the sweep.py. runs: where its runs are, by default. stages: of jobs,
    which have a name and may have a row; those of a stage wait for the ones before.
    run, collect: of (job, folder of runs, variant) the job, in a process of its own,
    and its record, see `run_all`. stand_on: names of jobs that a job needs, which
    `--only` then brings along.
    """
    options = tiny_options(doc, pathlib.Path(script).parent, runs)
    everything = [job for stage in stages for job in stage]
    if options.job:
        one = next(job for job in everything if job.name == options.job)
        return run(one, options.runs, options.variant)
    wanted = chosen(everything, options.only, stand_on)
    end = time.monotonic() + 60 * options.minutes
    for stage in stages:
        done = {record["name"] for record in read(options.out)}
        run_all(
            [job for job in stage if job.name not in done and job in wanted],
            lambda job: [sys.executable, script, *options.shared, "--job", job.name],
            lambda job: collect(job, options.runs, options.variant),
            options.out,
            (end - time.monotonic()) / 60,
            options.parallel,
        )


def chosen(
    jobs: Sequence[Any],
    only: Collection[str],
    stand_on: Callable[[Any], Collection[str]] = lambda job: (),
) -> list[Any]:
    """Jobs of these rows or names, all if there are none, and what they stand on."""
    found = [
        job for job in jobs if not only or {job.name, getattr(job, "row", "")} & {*only}
    ]
    below = {name for job in found for name in stand_on(job)}
    return [job for job in jobs if job in found or job.name in below]


def tiny_options(doc: str | None, folder: pathlib.Path, runs: str) -> Options:
    """The command line of a study that has a tiny variant.

    doc: its help. folder: of the study. runs: where its runs are, by default.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--runs", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", default=())
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--job", help="this one, in this process")
    given = parser.parse_args()
    suffix = "_tiny" if given.tiny else ""
    where = given.runs or pathlib.Path(f"{runs}{suffix}")
    return Options(
        minutes=given.minutes,
        parallel=given.parallel,
        runs=where,
        out=given.out or folder / f"results{suffix}.json",
        only=frozenset(given.only),
        variant="tiny" if given.tiny else "walkers",
        job=given.job,
        shared=("--runs", str(where), *(["--tiny"] if given.tiny else [])),
    )


def shares(parallel: int) -> list[set[int]]:
    """This process's cores, for so many side by side: {} of a system that has no say.

    Two jobs on the same two cores wait for each other's threads: a step of Mesh-Gait
    took 1.3 s so, and 0.8 s where each had a core of its own.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(parallel)]
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[i::parallel]) or set(cores) for i in range(parallel)]


def run_one(
    command: list[str], seconds: float, cores: Collection[int] = ()
) -> Literal["done", "failed", "left"]:
    """Runs a command on some cores, and asks it to stop when time is up."""
    if seconds <= 0:
        return "left"
    process = subprocess.Popen(command)
    if cores:  # before it has started a thread
        os.sched_setaffinity(process.pid, cores)
    try:
        return "failed" if process.wait(seconds) else "done"
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # the loop saves its state and leaves
        process.wait()
        return "left"


def read(out: pathlib.Path) -> list[dict[str, Any]]:
    """The records so far."""
    return json.loads(out.read_text()) if out.exists() else []


def append(out: pathlib.Path, record: dict[str, Any]) -> None:
    """One record more, a line each."""
    lines = [json.dumps(one) for one in [*read(out), record]]
    write_atomically(out, "[\n" + ",\n".join(lines) + "\n]\n")


def args(**values: Any) -> dict[str, Any]:
    """Changes of a config's `method_args`, by dotted key."""
    return {f"method_args.{key}": value for key, value in values.items()}


def spent(folder: pathlib.Path, more: float = 0.0) -> float:
    """Seconds that a run has taken in all its stretches, after adding `more`."""
    path = folder / "seconds.json"
    total = more + (json.loads(path.read_text()) if path.exists() else 0.0)
    if more:
        write_atomically(path, json.dumps(total))
    return total


@dataclasses.dataclass(frozen=True)
class ChangedSplit:
    """A split whose silhouettes are changed as they are read, each record always alike.

    Has what embedding and searching ask of a `Split`. change(rng, frames u8[t, h, w])
    -> frames.
    """

    split: Split
    change: Callable[[np.random.Generator, np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> dict[str, Any]:
        record = self.split[row]
        rng = np.random.default_rng((0, row))
        return record | {"sils": self.change(rng, record["sils"])}

    @property
    def index(self) -> Index:
        """The labels."""
        return self.split.index

    def with_keys(self, keys: Sequence[str]) -> ChangedSplit:
        """The same split, decoding other modalities."""
        return dataclasses.replace(self, split=self.split.with_keys(keys))
