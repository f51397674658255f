"""Runs `:tiny` of configs, in one process: train, evaluate, report.

usage: python tools/try_configs.py [NAME ...]

A NAME is a file of configs/, such as `casia_b` or `zoo/gaitset_grew`. Without names:
all files in configs/ and one per network of configs/zoo/, after the shapes of every
recipe in configs/zoo/ were checked, on the real set and tiny.
"""

from __future__ import annotations

import importlib
import itertools
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax
from absl import flags

from gaitjax import walkers
from gaitjax.data.builders import recipe
from gaitjax.run import check_config
from gaitjax.runtime import shapes
from gaitjax.runtime.base import base_arguments
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.train import train

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
# Networks with inputs of their own kinds, on sets that are quick to make; the others
# are in configs/, or differ from these in the backbone alone.
RUN = ("zoo/skeletongaitpp_grew", "zoo/smplgait_gait3d", "zoo/swingait_grew")
# Identities of the training sets (docs/datasets.md).
CLASSES = {
    **{"casia_b": 74, "ccpg": 100, "gait3d": 3000},
    **{"grew": 20_000, "oumvlp": 5153, "sustech1k": 250},
}


def main(names: list[str]) -> None:
    """Prints a line per config; the first failure ends it."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    # For a few steps of small networks, compiling is what takes time.
    jax.config.update("jax_disable_most_optimizations", True)
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
    for name in names or (*found(), *RUN):
        run_tiny(name)


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
    """Traces a config on made-up data of its set's shapes; its parameters' number."""
    check_config(config)
    data = config["data"]
    if data["name"].startswith("walkers"):
        stored, classes = walkers.frame_shapes(), data["args"]["num_train"]
    else:
        made, _ = recipe.make_recipe(data["name"], source=".")
        stored, classes = made.frame_shapes, CLASSES[made.name]
    state = shapes.trace(config, classes, stored)
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def run_tiny(name: str) -> None:
    """Trains, evaluates, reports."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as workdir:
        config = load(name, "tiny")
        for argument, base in base_arguments(config["method_args"]):
            base["workdir"] = f"{workdir}/{argument}"
        state = train(config, workdir)
        if not (pathlib.Path(workdir) / "report.html").exists():
            sys.exit(f"{name}:tiny left no report")
    seconds = time.perf_counter() - start
    print(f"ok {name}:tiny, {int(state.step)} steps in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
