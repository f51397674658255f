"""What devices tell each other in a training step: counted in the compiled program,
beside what a formula says; and what the formula says of sizes that are not at hand.

Programs are compiled for forced CPU devices, and nothing runs. Bytes are those of the
results of all-reduce and all-gather, which is what each device ends up with; a ring
moves 2 (N - 1) / N of the former and (N - 1) / N of the latter over every link.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from configs import casia_b, walkers
from gaitjax.bench.measure import Row, figure
from gaitjax.bench.network import Recipe, frames, make_method, size
from gaitjax.methods import api
from gaitjax.runtime import mesh as devices
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.state import TrainState, init_state, make_step, stream

SHAPES = {"sils": (64, 44)}
PEOPLE = {"CASIA-B": 74, "OU-MVLP": 5153, "GREW": 20_000}  # training identities
PER_DEVICE = 32  # chosen: sequences on each device, however many there are
LINK = 50e9  # chosen: bytes per second and device, those of 400 Gb/s Ethernet
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all")
WIDTHS = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "u8": 1, "s8": 1}
WIDTHS |= {"pred": 1, "s64": 8, "u64": 8, "f64": 8}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """kernels: trained numbers outside of BatchNorm. statistics: features of all
    BatchNorms together. batch: sequences on all devices. parts, dims: of an
    embedding."""

    kernels: int
    statistics: int
    batch: int
    parts: int
    dims: int


def run(quick: bool) -> list[Row]:
    """Counted and predicted bytes of a small step, then predictions of the published
    one."""
    force_devices(8)
    there = len(jax.devices("cpu"))
    recipe = small("tiny" if quick else "")
    numbers = [number for number in (1, 2, 4, 8) if number <= there]
    rows = [row for number in numbers for row in compared(recipe, number)]
    for name, people in PEOPLE.items():
        config = casia_b.get_config().to_dict()
        rows += modelled(Recipe(f"GaitBase, {name}", config, people, SHAPES))
    return rows


def force_devices(number: int) -> None:
    """That many CPU devices, unless JAX has begun with another number."""
    try:
        jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError:  # it has
        return


def small(variant: str) -> Recipe:
    """The default config on walkers, with its 160 people or the six of `tiny`."""
    config = walkers.get_config(variant).to_dict()
    people = config["data"]["args"]["num_train"] or 160
    return Recipe(f"walkers {variant}".strip(), config, people, SHAPES)


def compared(recipe: Recipe, number: int) -> Iterator[Row]:
    """What is counted for some devices, and what is predicted."""
    found = collectives(compiled(recipe, number).as_text())
    expected = predicted(sizes(recipe)) if number > 1 else dict.fromkeys(KINDS, 0)
    label = f"{recipe.name}, {number} devices"
    for kind in KINDS:
        bytes_, ops = found.get(kind, (0, 0))
        if ops or expected.get(kind):
            yield figure(f"{label}: {kind}, operations", "", ops)
            yield figure(f"{label}: {kind}, counted", "kB", bytes_ / 1e3)
            yield figure(f"{label}: {kind}, predicted", "kB", expected[kind] / 1e3)
    if not found:
        yield figure(f"{label}: collective operations", "", 0)


def modelled(recipe: Recipe) -> Iterator[Row]:
    """The formula for 8, 64 and 256 devices, each with its own sequences."""
    for number in (8, 64, 256):
        one = dataclasses.replace(sizes(recipe), batch=PER_DEVICE * number)
        expected = predicted(one)
        label = f"{recipe.name}, {number} devices"
        yield figure(f"{label}: gradients", "MB", 4 * one.kernels / 1e6)
        yield figure(f"{label}: statistics", "MB", statistics(one) / 1e6)
        yield figure(f"{label}: embeddings", "MB", 2 * embeddings(one) / 1e6)
        seconds = ring(expected, number) / LINK
        yield figure(f"{label}: time on the links", "ms", 1e3 * seconds)
        triplets = one.parts * PER_DEVICE * one.batch**2
        yield figure(f"{label}: triplets of a device", "10^9", triplets / 1e9)


def predicted(one: Sizes) -> dict[str, int]:
    """Bytes per step by kind of operation, for any number of devices but one.

    Left out: some numbers per part and per layer (counts, loss terms).
    """
    labels = 4 * one.batch
    return {
        "all-reduce": 4 * one.kernels + statistics(one) + embeddings(one),
        "all-gather": embeddings(one) + labels,
        "reduce-scatter": 0,
        "all-to-all": 0,
    }


def statistics(one: Sizes) -> int:
    """Bytes of sums over the global batch: mean and variance; backward those of the
    gradient, of its product with x - mean (which gives the scale's), and the mean's
    two ways to the loss."""
    return 4 * 6 * one.statistics


def embeddings(one: Sizes) -> int:
    """Bytes of all embeddings and their squared lengths: the triplet loss compares
    each device's with all, and their gradients come back as a sum."""
    return 4 * one.batch * one.parts * (one.dims + 1)


def ring(expected: Mapping[str, int], number: int) -> float:
    """Bytes that every device sends."""
    share = (number - 1) / number
    return share * (2 * expected["all-reduce"] + expected["all-gather"])


def sizes(recipe: Recipe) -> Sizes:
    """Of a config's network; nothing is computed."""
    data = recipe.config["data"]
    method, like = shapes(recipe)
    leaves = jax.tree_util.tree_leaves_with_path(like.model_state["batch_stats"])
    features = sum(x.size for path, x in leaves if path[-1].key == "mean")
    clip = frames(recipe, 1, 1, 1)
    (x,) = jax.eval_shape(method.embed, like.params, like.model_state, clip).values()
    return Sizes(
        kernels=size(like.params) - 2 * features,  # each has a scale and a bias
        statistics=features,
        batch=data["p"] * data["k"],
        parts=x.shape[1],
        dims=x.shape[2],
    )


def compiled(recipe: Recipe, number: int) -> jax.stages.Compiled:
    """The training step on the first CPU devices."""
    config = recipe.config
    method, like = shapes(recipe)
    mesh = Mesh(np.array(jax.devices("cpu")[:number]), ("data",))
    everywhere, rows = devices.replicated(mesh), devices.split(mesh)
    step = make_step(method, optimizer(recipe, like.params), 0, None, [])
    program = jax.jit(
        step, in_shardings=(everywhere, rows), out_shardings=everywhere
    ).lower(like, frames(recipe, config["data"]["p"], config["data"]["k"]))
    return program.compile()


def shapes(recipe: Recipe) -> tuple[api.Method, TrainState]:
    """The method, and the shapes of its state."""
    method = make_method(recipe, recipe.config["method_args"], "float32")
    key, clip = stream(0, "init"), frames(recipe, 1, 1)
    params, _ = jax.eval_shape(method.init, key, clip)
    init = functools.partial(
        init_state, method, optimizer(recipe, params), key, clip, None
    )
    return method, jax.eval_shape(init)


def optimizer(recipe: Recipe, params: Any) -> Any:
    """The config's."""
    steps = recipe.config["train"]["steps"]
    return make_optimizer(params, steps, **recipe.config["optim"])[0]


def collectives(text: str) -> dict[str, tuple[int, int]]:
    """{kind: (bytes of results, operations)} of a compiled program's text."""
    found: dict[str, tuple[int, int]] = {}
    pattern = rf"= (.+?) ({'|'.join(KINDS)})\("
    for shape, kind in re.findall(pattern, text):
        total, ops = found.get(kind, (0, 0))
        found[kind] = (total + _bytes(shape), ops + 1)
    return found


def _bytes(shape: str) -> int:
    """Of `f32[2,3]{1,0}`, or of a tuple of such."""
    total = 0
    for kind, axes in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        total += WIDTHS[kind] * int(np.prod([int(n) for n in axes.split(",") if n]))
    return total
