"""The network of a config, as programs whose cost is counted or timed.

Nothing of a data set is read: frames are random bytes, 3D labels zeros. FLOPs are those
of convolutions and matrix products as the program has them before it is compiled: what
compilers say leaves out calls to libraries, and counts a loop once.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gaitjax.bench.roofline import norms_named, passes
from gaitjax.data import schema
from gaitjax.methods import api
from gaitjax.run import TrainOptions
from gaitjax.runtime import weights
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.precision import Precision, compute_dtype, with_products
from gaitjax.runtime.state import TrainState, init_state, make_step, stream
from gaitjax.train import in_round


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A config, and what its data set would say: people, and shapes of frames."""

    name: str
    config: Mapping[str, Any]
    people: int
    shapes: Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Network:
    """What is run. init: a fresh state; like: its shapes. batch, clip: of training, and
    of one sequence. step_fn: `step` before it is traced. used: the parameters that
    embeddings depend on, which are those that an export has."""

    method: api.Method
    init: Callable[[], TrainState]
    like: TrainState
    batch: Mapping[str, np.ndarray]
    clip: Mapping[str, np.ndarray]
    step: jax.stages.Traced
    step_fn: Callable
    embed: jax.stages.Traced
    used: Any


def build(recipe: Recipe, args: Mapping, precision: Precision) -> Network:
    """Traced; no array is on a device. args: in place of the config's method_args."""
    config = recipe.config
    train, data = config["train"], config["data"]
    method = make_method(recipe, args, precision)
    begin = in_round(0, TrainOptions(steps=train["steps"]))
    batch = frames(recipe, data["p"], data["k"]) | begin
    clip = frames(recipe, 1, 1)
    key, ema = stream(0, "init"), train["ema"]
    params, _ = jax.eval_shape(method.init, key, clip)
    tx, _ = make_optimizer(params, train["steps"], **config["optim"])
    init = functools.partial(init_state, method, tx, key, clip, ema)
    like = jax.eval_shape(init)
    step = with_products(make_step(method, tx, 0, ema, []), precision)
    embed = with_products(method.embed, precision)
    model = {"params": like.params, "model_state": like.model_state}
    names = weights.used_arrays(lambda model: embed(**model, batch=clip), model)
    with norms_named():
        traced = jax.jit(step, donate_argnums=0).trace(like, batch)
    return Network(
        method=method,
        init=jax.jit(init),
        like=like,
        batch=batch,
        clip=clip,
        step=traced,
        step_fn=step,
        embed=jax.jit(embed).trace(like.params, like.model_state, clip),
        used=weights.keep(model, names)["params"],
    )


def make_method(recipe: Recipe, args: Mapping, precision: Precision) -> api.Method:
    """The recipe's method with other arguments."""
    info = api.Info(recipe.people, recipe.shapes)
    return api.make(recipe.config["method"], info, args, compute_dtype(precision))


def frames(
    recipe: Recipe, p: int, k: int, length: int | None = None
) -> dict[str, np.ndarray]:
    """A batch of p people, k sequences each, of `length` frames (None: the config's);
    the same at every call."""
    rng = np.random.default_rng(0)
    lead = (p * k, length or recipe.config["data"]["frames"])
    batch = {}
    for key, shape in recipe.shapes.items():
        if schema.modality(key).dtype == np.uint8:
            batch[key] = rng.integers(0, 256, (*lead, *shape), np.uint8)
        else:  # zeros take no memory until they are read: a mesh has many numbers
            batch[key] = np.zeros((*lead, *shape), schema.modality(key).dtype)
    label = np.repeat(np.arange(p, dtype=np.int32), k)
    index, mask = np.arange(p * k, dtype=np.int32), np.ones(lead, np.float32)
    return batch | {"label": label, "index": index, "mask": mask}


def embedding(
    embed: jax.stages.Compiled, state: TrainState, clip: Mapping
) -> Callable[[], object]:
    """One call of a program of a state's parameters."""
    model = state.params, state.model_state
    return lambda: jax.block_until_ready(embed(*model, clip))


def stepping(
    step: jax.stages.Compiled, state: TrainState, batch: Mapping, count: int = 1
) -> Callable[[], None]:
    """`count` steps of training, waited for at the end; going on from those before."""

    def once() -> None:
        nonlocal state
        for _ in range(count):
            state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))

    return once


def flops(program: jax.stages.Traced) -> float:
    """Of convolutions and matrix products, in 10^9."""
    return sum(one.flops for one in passes(program)) / 1e9


def memory(program: jax.stages.Compiled) -> float | None:
    """MiB of arguments, results and what is between; what is written over, once."""
    sizes = program.memory_analysis()
    if sizes is None:
        return None
    total = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    return (total - sizes.alias_size_in_bytes + sizes.temp_size_in_bytes) / 2**20


def size(tree: Any) -> int:
    """Numbers in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
