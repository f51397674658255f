"""What the diffusion of DiffCrossGait costs in training, and that inference has none.

Side by side the network with its diffusion (on) and the endpoint-only baseline (off,
`phases=()`), on random frames. Parameters and FLOPs are counted of the published recipe
on any machine. Time is measured of that recipe on an accelerator, of the narrow
`:walkers` one on a CPU or with `quick`. The paper: 2.3 M parameters and 32 % of time
more in training (8.5 to 11.2 hours), nothing at inference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jax

from configs import sustech1k
from gaitjax.bench.measure import Row, figure, interleaved, ratios, row
from gaitjax.bench.network import (
    Network,
    Recipe,
    build,
    embedding,
    flops,
    memory,
    size,
    stepping,
)
from gaitjax.runtime import mesh
from gaitjax.runtime.precision import Precision

SHAPES = {"sils": (64, 64), "ranges": (64, 64, 3)}


def run(quick: bool) -> Iterator[Row]:
    """Rows of the published recipe and of the one that is timed here."""
    mesh.check_device(None)
    on_cpu = jax.default_backend() == "cpu"
    recipe = Recipe("published", sustech1k.get_config().to_dict(), 250, SHAPES)
    pair = networks(recipe, "float32")
    yield from counted(recipe.name, pair)
    if quick or on_cpu:
        config = sustech1k.get_config("walkers").to_dict()
        recipe = Recipe("walkers", config, 100, SHAPES)  # the twin has 100
        pair = networks(recipe, "float32")
        yield from counted(recipe.name, pair)
    times = 5 if quick else 20
    yield from timed(f"{recipe.name}, float32", pair, times)
    if not on_cpu:
        pair = networks(recipe, "bf16")
        yield from timed(f"{recipe.name}, bf16", pair, times)


def networks(recipe: Recipe, precision: Precision) -> dict[str, Network]:
    """With the diffusion and without, traced; no array is on a device."""
    args = recipe.config["method_args"]
    return {
        "on": build(recipe, args, precision),
        "off": build(recipe, {**args, "phases": ()}, precision),
    }


def counted(label: str, pair: Mapping[str, Network]) -> Iterator[Row]:
    """Nothing runs, and only inference is compiled."""
    sizes = {name: size(one.like.params) for name, one in pair.items()}
    for name, number in sizes.items():
        yield figure(f"{label}: trained parameters, {name}", "M", number / 1e6)
    more = (sizes["on"] - sizes["off"]) / 1e6
    yield figure(f"{label}: trained parameters, the branch", "M", more)

    counts = {name: flops(one.step) for name, one in pair.items()}
    for name, count in counts.items():
        yield figure(f"{label}: training step, {name}", "GFLOP", count)
    share = 100 * (1 - counts["off"] / counts["on"])
    yield figure(f"{label}: training step, the branch's share", "% FLOP", share)

    for name, one in pair.items():
        text = f"{label}: inference, trained {name}"
        yield figure(f"{text}, parameters", "M", size(one.used) / 1e6)
        yield figure(f"{text}, a sequence", "GFLOP", flops(one.embed))
        peak = memory(one.embed.lower().compile())
        yield figure(f"{text}, memory that the compiler plans", "MiB", peak)
    texts = {one.embed.lower().as_text() for one in pair.values()}
    same = float(len(texts) == 1)
    yield figure(f"{label}: inference, same program", "1 yes, 0 no", same)


def timed(label: str, pair: Mapping[str, Network], times: int) -> Iterator[Row]:
    """Compiles and runs both, in turns; without the way from host to device."""
    states = {name: one.init() for name, one in pair.items()}
    embeds = {name: one.embed.lower().compile() for name, one in pair.items()}
    took = interleaved(
        {
            name: embedding(embeds[name], states[name], jax.device_put(one.clip))
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
            name: stepping(steps[name], states.pop(name), jax.device_put(one.batch))
            for name, one in pair.items()
        },
        times,
    )
    for name, values in took.items():
        text = f"{label}: training step, {name}"
        yield row(text, "ms", [1e3 * value for value in values])
        planned = memory(steps[name])
        yield figure(f"{text}, memory that the compiler plans", "MiB", planned)
    more = [100 * (times - 1) for times in ratios(took, "on", "off")]
    yield row(f"{label}: training step, overhead", "% time", more)
