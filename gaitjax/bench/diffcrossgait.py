"""What the diffusion of DiffCrossGait costs in training, and that inference has none.

Side by side the network with its diffusion (on) and the endpoint-only baseline (off,
`phases=()`), on random frames. Parameters and FLOPs are counted of the published recipe
on any machine. Time is measured of that recipe on an accelerator, of the narrow
`:walkers` one on a CPU or with `quick`. The paper: 2.3 M parameters and 32 % of time
more in training (8.5 to 11.2 hours), nothing at inference.

FLOPs are those of the program as JAX writes it for a CPU, whose backend alone counts
them there. A GPU's compiler puts calls to libraries in place of convolutions, so what
it says afterwards is another figure, or none.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from configs import sustech1k
from gaitjax.bench.measure import Row, figure, interleaved, ratios, row
from gaitjax.methods import api
from gaitjax.runtime import mesh, weights
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.precision import Precision, compute_dtype, with_products
from gaitjax.runtime.state import TrainState, init_state, make_step, stream

SHAPES = {"sils": (64, 64), "ranges": (64, 64, 3)}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A config, and what its data set would say: people, and shapes of frames."""

    name: str
    config: Mapping[str, Any]
    people: int
    shapes: Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Network:
    """What one of the two runs. init: a fresh state; like: its shapes. batch, clip: of
    training, and of one sequence. used: the parameters that embeddings depend on, which
    are those that an export has."""

    init: Callable[[], TrainState]
    like: TrainState
    batch: Mapping[str, np.ndarray]
    clip: Mapping[str, np.ndarray]
    step: jax.stages.Traced
    embed: jax.stages.Traced
    used: Any


def run(quick: bool) -> list[Row]:
    """Rows of the published recipe and of the one that is timed here."""
    mesh.check_device(None)
    on_cpu = jax.default_backend() == "cpu"
    recipe = Recipe("published", sustech1k.get_config().to_dict(), 250, SHAPES)
    pair = networks(recipe, "float32")
    rows = [*counted(recipe.name, pair)]
    if quick or on_cpu:
        config = sustech1k.get_config("walkers").to_dict()
        recipe = Recipe("walkers", config, 100, SHAPES)  # the twin has 100
        pair = networks(recipe, "float32")
        rows += counted(recipe.name, pair)
    times = 5 if quick else 20
    rows += timed(f"{recipe.name}, float32", pair, times)
    if not on_cpu:
        pair = networks(recipe, "bf16")
        rows += timed(f"{recipe.name}, bf16", pair, times)
    return rows


def networks(recipe: Recipe, precision: Precision) -> dict[str, Network]:
    """With the diffusion and without, traced; no array is on a device."""
    args = recipe.config["method_args"]
    return {
        "on": _network(recipe, args, precision),
        "off": _network(recipe, {**args, "phases": ()}, precision),
    }


def counted(label: str, pair: Mapping[str, Network]) -> Iterator[Row]:
    """Nothing runs, and only inference is compiled."""
    sizes = {name: _size(one.like.params) for name, one in pair.items()}
    for name, size in sizes.items():
        yield figure(f"{label}: trained parameters, {name}", "M", size / 1e6)
    more = (sizes["on"] - sizes["off"]) / 1e6
    yield figure(f"{label}: trained parameters, the branch", "M", more)

    flops = {name: _flops(one.step) for name, one in pair.items()}
    for name, count in flops.items():
        yield figure(f"{label}: training step, {name}", "GFLOP", count)
    share = None
    if None not in flops.values():
        share = 100 * (1 - flops["off"] / flops["on"])
    yield figure(f"{label}: training step, the branch's share", "% FLOP", share)

    for name, one in pair.items():
        text = f"{label}: inference, trained {name}"
        yield figure(f"{text}, parameters", "M", _size(one.used) / 1e6)
        yield figure(f"{text}, a sequence", "GFLOP", _flops(one.embed))
        memory = _memory(one.embed.lower().compile())
        yield figure(f"{text}, peak memory", "MiB", memory)
    texts = {one.embed.lower().as_text() for one in pair.values()}
    same = float(len(texts) == 1)
    yield figure(f"{label}: inference, same program", "1 yes, 0 no", same)


def timed(label: str, pair: Mapping[str, Network], times: int) -> Iterator[Row]:
    """Compiles and runs both, in turns; without the way from host to device."""
    states = {name: one.init() for name, one in pair.items()}
    embeds = {name: one.embed.lower().compile() for name, one in pair.items()}
    took = interleaved(
        {
            name: _embedding(embeds[name], states[name], jax.device_put(one.clip))
            for name, one in pair.items()
        },
        times,
    )
    for name, values in took.items():
        text = f"{label}: inference, trained {name}"
        yield row(f"{text}, a sequence", "ms", [1e3 * value for value in values])

    steps = {name: one.step.lower().compile() for name, one in pair.items()}
    took = interleaved(
        {
            name: _stepping(steps[name], states.pop(name), jax.device_put(one.batch))
            for name, one in pair.items()
        },
        times,
    )
    for name, values in took.items():
        text = f"{label}: training step, {name}"
        yield row(text, "ms", [1e3 * value for value in values])
        yield figure(f"{text}, peak memory", "MiB", _memory(steps[name]))
    more = [100 * (times - 1) for times in ratios(took, "on", "off")]
    yield row(f"{label}: training step, overhead", "% time", more)


def _network(recipe: Recipe, args: Mapping, precision: Precision) -> Network:
    config = recipe.config
    train, data = config["train"], config["data"]
    info = api.Info(recipe.people, recipe.shapes)
    method = api.make(config["method"], info, args, compute_dtype(precision))
    batch = _frames(recipe, data["p"], data["k"])
    clip = _frames(recipe, 1, 1)
    key, ema = stream(0, "init"), train["ema"]
    params, _ = jax.eval_shape(method.init, key, clip)
    tx, _ = make_optimizer(params, train["steps"], **config["optim"])
    init = functools.partial(init_state, method, tx, key, clip, ema)
    like = jax.eval_shape(init)
    step = with_products(make_step(method, tx, 0, ema, []), precision)
    embed = with_products(method.embed, precision)
    model = {"params": like.params, "model_state": like.model_state}
    names = weights.used_arrays(lambda model: embed(**model, batch=clip), model)
    return Network(
        init=jax.jit(init),
        like=like,
        batch=batch,
        clip=clip,
        step=jax.jit(step, donate_argnums=0).trace(like, batch),
        embed=jax.jit(embed).trace(like.params, like.model_state, clip),
        used=weights.keep(model, names)["params"],
    )


def _frames(recipe: Recipe, p: int, k: int) -> dict[str, np.ndarray]:
    """A batch of p people, k sequences each; the same at every call."""
    rng = np.random.default_rng(0)
    lead = (p * k, recipe.config["data"]["frames"])
    batch = {
        key: rng.integers(0, 256, (*lead, *shape), np.uint8)
        for key, shape in recipe.shapes.items()
    }
    label = np.repeat(np.arange(p, dtype=np.int32), k)
    return batch | {"label": label, "mask": np.ones(lead, np.float32)}


def _embedding(
    embed: jax.stages.Compiled, state: TrainState, clip: Mapping
) -> Callable[[], object]:
    model = state.params, state.model_state
    return lambda: jax.block_until_ready(embed(*model, clip))


def _stepping(
    step: jax.stages.Compiled, state: TrainState, batch: Mapping
) -> Callable[[], None]:
    def once() -> None:
        nonlocal state
        state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))

    return once


def _flops(program: jax.stages.Traced) -> float | None:
    """In 10^9."""
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names a GPU alone
        return None
    with jax.default_device(cpu):
        count = (program.lower().cost_analysis() or {}).get("flops")
    return count / 1e9 if count and count > 0 else None


def _memory(program: jax.stages.Compiled) -> float | None:
    """MiB of arguments, results and what is between; what is written over, once."""
    sizes = program.memory_analysis()
    if sizes is None:
        return None
    total = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    return (total - sizes.alias_size_in_bytes + sizes.temp_size_in_bytes) / 2**20


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
