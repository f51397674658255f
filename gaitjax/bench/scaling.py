"""What devices tell each other in a training step: counted in the compiled program,
beside what a formula says; and what the formula says of sizes that are not at hand.

Programs are compiled for forced CPU devices, and nothing runs. Bytes are those of the
results, which is what each device ends up with; a ring moves over every link
2 (N - 1) / N of what is all-reduced, (N - 1) / N of what is gathered, and N - 1 times
what a reduce-scatter leaves.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from configs import casia_b, walkers
from gaitjax.bench.measure import Row, figure
from gaitjax.bench.network import Recipe, frames, make_method, size
from gaitjax.methods import api
from gaitjax.runtime import inputs
from gaitjax.runtime import mesh as devices
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.state import TrainState, init_state, make_step, stream

SHAPES = {"sils": (64, 44)}
PEOPLE = {"CASIA-B": 74, "OU-MVLP": 5153, "GREW": 20_000}  # training identities
PER_DEVICE = 32  # chosen: sequences on each device, however many there are
LENGTHS = (15, 30, 60, 120)  # chosen: frames of a clip
GALLERIES = (10_000, 100_000, 1_000_000)  # chosen: sequences
LINK = 50e9  # chosen: bytes per second and device, those of 400 Gb/s Ethernet
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all")
WIDTHS = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "u8": 1, "s8": 1}
WIDTHS |= {"pred": 1, "s64": 8, "u64": 8, "f64": 8}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """kernels: trained numbers outside of BatchNorm. statistics: features of all
    BatchNorms together. batch: sequences on all devices. parts, dims: of an
    embedding. frames: of a clip. picture: bytes of a frame where the devices hold the
    pictures (`data.resident`), 0 where the host sends them."""

    kernels: int
    statistics: int
    batch: int
    parts: int
    dims: int
    frames: int
    picture: int


def run(quick: bool) -> list[Row]:
    """Counted and predicted bytes of a small step, pictures sent and resident, then
    predictions of the published one."""
    force_devices(8)
    there = len(jax.devices("cpu"))
    recipe = small("tiny" if quick else "")
    numbers = [number for number in (1, 2, 4, 8) if number <= there]
    rows = [
        row
        for one in (recipe, resident(recipe))
        for number in numbers
        for row in compared(one, number)
    ]
    config = casia_b.get_config().to_dict()
    known = [Recipe(f"GaitBase, {k}", config, n, SHAPES) for k, n in PEOPLE.items()]
    rows += [row for one in known for row in modelled(one)]
    return [*rows, *grown(known[0])]


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


def resident(recipe: Recipe) -> Recipe:
    """The same with its pictures on the devices."""
    data = {**recipe.config["data"], "resident": True}
    config = {**recipe.config, "data": data}
    return dataclasses.replace(recipe, name=f"{recipe.name}, resident", config=config)


def compared(recipe: Recipe, number: int) -> Iterator[Row]:
    """What is counted for some devices, and what is predicted."""
    found = collectives(compiled(recipe, number).as_text())
    nothing = dict.fromkeys(KINDS, 0)
    expected = predicted(sizes(recipe), number) if number > 1 else nothing
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
        expected = predicted(one, number)
        label = f"{recipe.name}, {number} devices"
        yield figure(f"{label}: gradients", "MB", 4 * one.kernels / 1e6)
        yield figure(f"{label}: statistics", "MB", statistics(one) / 1e6)
        yield figure(f"{label}: embeddings", "MB", 2 * embeddings(one) / 1e6)
        seconds = ring(expected, number) / LINK
        yield figure(f"{label}: time on the links", "ms", 1e3 * seconds)
        pairs = 2 * one.parts * PER_DEVICE * one.batch
        yield figure(f"{label}: the triplet's, sorted by a device", "10^6", pairs / 1e6)


def grown(recipe: Recipe) -> Iterator[Row]:
    """The formula for longer clips, and for larger galleries of an evaluation."""
    for number, length in itertools.product((8, 256), LENGTHS):
        for one in (recipe, resident(recipe)):
            longer = dataclasses.replace(
                sizes(one), batch=PER_DEVICE * number, frames=length
            )
            what = f"{one.name}, {number} devices, {length} frames: sent by a device"
            yield figure(what, "MB", ring(predicted(longer, number), number) / 1e6)
    for many in GALLERIES:
        what = f"{recipe.name}, gallery of {many:,}: on each device"
        yield figure(what, "MB", gallery(sizes(recipe), many) / 1e6)


def predicted(one: Sizes, number: int) -> dict[str, int]:
    """Bytes per step by kind of operation, for two devices or more.

    Left out: some numbers per part and per layer (counts, loss terms).
    """
    numbers = one.batch + (one.batch * one.frames if one.picture else 0)
    return {
        "all-reduce": 4 * one.kernels + statistics(one) + embeddings(one),
        "all-gather": embeddings(one) + 4 * numbers,
        "reduce-scatter": one.batch * one.frames * one.picture // number,
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


def gallery(one: Sizes, number: int) -> int:
    """Bytes of that many embeddings: gathered once when they are made, and sent by
    each process to all of its devices when they are searched."""
    return 4 * number * one.parts * one.dims


def ring(expected: Mapping[str, int], number: int) -> float:
    """Bytes that every device sends."""
    whole = 2 * expected["all-reduce"] + expected["all-gather"]
    return (number - 1) * (whole / number + expected["reduce-scatter"])


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
        frames=data["frames"],
        picture=sum(map(math.prod, recipe.shapes.values())) if data["resident"] else 0,
    )


def compiled(recipe: Recipe, number: int) -> jax.stages.Compiled:
    """The training step on the first CPU devices."""
    data = recipe.config["data"]
    method, like = shapes(recipe)
    mesh = Mesh(np.array(jax.devices("cpu")[:number]), ("data",))
    everywhere, rows = devices.replicated(mesh), devices.split(mesh)
    prepare = functools.partial(inputs.gather, mesh=mesh)
    step = make_step(method, optimizer(recipe, like.params), 0, None, [], prepare)
    batch = frames(recipe, data["p"], data["k"])
    if data["resident"]:
        batch = sent(batch, recipe.shapes)
    program = jax.jit(
        step, in_shardings=(everywhere, rows), out_shardings=everywhere
    ).lower(like, batch)
    return program.compile()


def sent(batch: Mapping[str, Any], keys: Iterable[str]) -> dict[str, np.ndarray]:
    """A batch whose pictures are in stores on the devices, with these."""
    numbers = np.arange(batch["mask"].size, dtype=np.int32)
    rest = {key: x for key, x in batch.items() if key not in keys}
    stores = {
        f"store/{key}": batch[key].reshape(-1, *batch[key].shape[2:]) for key in keys
    }
    return rest | stores | {"frames": numbers.reshape(batch["mask"].shape)}


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
