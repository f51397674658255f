"""Runs `:tiny` of configs, two at a time: train, evaluate; one of a method reports.

usage: python tools/try_configs.py [NAME ...]

A NAME is a file of configs/, such as `casia_b` or `zoo/gaitset_grew`. Without names:
all files in configs/ and one per network of configs/zoo/, after the shapes of every
recipe in configs/zoo/ were checked, on the real set and tiny.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import importlib
import itertools
import json
import multiprocessing
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import flags

from gaitjax import walkers
from gaitjax.data.builders import recipe
from gaitjax.run import check_config
from gaitjax.runtime import shapes
from gaitjax.runtime.base import base_arguments
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.runtime.state import TrainState
from gaitjax.train import train

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
# Networks with inputs of their own kinds, on sets that are quick to make; the others
# are in configs/, or differ from these in the backbone alone.
RUN = ("zoo/skeletongaitpp_grew", "zoo/smplgait_gait3d", "zoo/swingait_grew")
PARALLEL = 2
# Identities of the training sets (docs/datasets.md).
CLASSES = {
    **{"casia_b": 74, "ccpg": 100, "gait3d": 3000},
    **{"grew": 20_000, "oumvlp": 5153, "sustech1k": 250},
}


def main(names: list[str]) -> None:
    """Prints a line per config; the first failure ends it."""
    if not names:
        start = time.perf_counter()
        for name, variant in itertools.product(found("zoo"), ("", "tiny")):
            try:
                check_shapes(load(name, variant))
            except Exception as error:
                error.add_note(f"the config is {name}:{variant}")
                raise
        seconds = time.perf_counter() - start
        print(f"ok shapes of {len(found('zoo'))} recipes in {seconds:.0f} s")
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ProcessPoolExecutor(PARALLEL, context, set_up) as pool,
    ):
        names = names or [*found(), *RUN]
        reported = first_of_methods(names)
        groups = by_bases(names, folder)
        again = itertools.repeat
        for lines in pool.map(run_group, groups, again(folder), again(reported)):
            print(*lines, sep="\n", flush=True)


def set_up() -> None:
    """Of a process that trains."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    # For a few steps of small networks, compiling is what takes time.
    jax.config.update("jax_disable_most_optimizations", True)


def first_of_methods(names: Sequence[str]) -> list[str]:
    """One config of each method: a report, two fifths of a run's time, shows what its
    method gives."""
    methods: dict[str, str] = {}
    for name in names:
        methods.setdefault(load(name, "tiny")["method"], name)
    return list(methods.values())


def by_bases(names: Sequence[str], folder: str) -> list[list[str]]:
    """Configs that share a network they stand on in one group: it is trained once."""
    groups: list[tuple[set[str], list[str]]] = []
    for name in names:
        found = bases(load(name, "tiny"), folder)
        mine, together, others = {base["workdir"] for base in found}, [], []
        for stand_on, members in groups:
            if mine & stand_on:
                mine, together = mine | stand_on, together + members
            else:
                others.append((stand_on, members))
        groups = [*others, (mine, [*together, name])]
    return [members for _, members in groups]


def bases(config: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    """What comes before a config's training, its workdirs moved into the folder and
    without reports."""
    found = [base for _, base in base_arguments(config["method_args"])]
    for base in found:
        base["config"]["eval"]["report"] = False
        base["workdir"] = place(base["config"], folder)
    train = config["train"]
    if train["init_config"]:
        train["init_config"]["eval"]["report"] = False
        train["init_from"] = place(train["init_config"], folder)
        found.append({"workdir": train["init_from"], "config": train["init_config"]})
    return found


def place(config: Mapping[str, Any], folder: str) -> str:
    """The same for the same config."""
    text = json.dumps(config, sort_keys=True)
    return f"{folder}/{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def found(folder: str = "") -> list[str]:
    """The configs of a folder of configs/, as names."""
    paths = sorted((CONFIGS / folder).glob("*.py"))
    names = [(pathlib.Path(folder) / path.stem).as_posix() for path in paths]
    return [n for n in names if not n.endswith(("common", "__init__"))]


def load(name: str, variant: str) -> dict[str, Any]:
    """A config as plain dicts."""
    module = importlib.import_module("configs." + name.replace("/", "."))
    return module.get_config(variant).to_dict()


def check_shapes(config: Mapping[str, Any]) -> int:
    """Traces a config; its parameters' number."""
    return sum(leaf.size for leaf in jax.tree.leaves(traced(config).params))


def traced(config: Mapping[str, Any]) -> TrainState:
    """Shapes of a config's first state, on made-up data of its set's shapes."""
    check_config(config)
    data = config["data"]
    if data["name"].startswith("walkers"):
        stored, classes = walkers.frame_shapes(), data["args"]["num_train"]
    else:
        made, _ = recipe.make_recipe(data["name"], source=".")
        stored, classes = made.frame_shapes, CLASSES[made.name]
    return shapes.trace(config, classes, stored)


def run_group(names: Sequence[str], folder: str, reported: Sequence[str]) -> list[str]:
    """A line for each."""
    return [run_tiny(name, folder, name in reported) for name in names]


def run_tiny(name: str, folder: str, report: bool) -> str:
    """Trains, evaluates, reports."""
    start = time.perf_counter()
    config = load(name, "tiny")
    config["eval"]["report"] = report
    bases(config, folder)
    workdir = pathlib.Path(folder) / "runs" / name
    try:
        state = train(config, workdir)
    except Exception as error:
        error.add_note(f"the config is {name}:tiny")
        raise
    if report and not (workdir / "report.html").exists():
        sys.exit(f"{name}:tiny left no report")
    if not (workdir / "finished").exists():
        sys.exit(f"{name}:tiny left no results")
    seconds = time.perf_counter() - start
    return f"ok {name}:tiny, {int(state.step)} steps in {seconds:.0f} s"


if __name__ == "__main__":
    main(sys.argv[1:])
