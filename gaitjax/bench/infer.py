"""Embedding test sequences, ours beside PyTorch's of the same networks.

GaitBase and DeepGaitV2-P3D of CASIA-B and GaitSet of OU-MVLP (twice the channels) on
random frames that are on the device; on a CPU, or with `quick`, narrow ones. The rest
is as in `gaitjax/bench/train.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import jax

from configs.zoo import deepgaitv2_casia_b, gaitbase_casia_b, gaitset_oumvlp
from gaitjax.bench import network, profile, roofline
from gaitjax.bench.measure import Row, figure, row
from gaitjax.bench.network import Recipe
from gaitjax.bench.train import (
    Plan,
    Runner,
    every,
    measured,
    rows,
    shares,
    theirs,
)
from gaitjax.runtime.precision import Precision, with_products
from gaitjax.runtime.state import stream

CONFIGS = (gaitbase_casia_b, deepgaitv2_casia_b, gaitset_oumvlp)
SEQUENCES, FRAMES = 512, 25  # of a batch (chosen), of a sequence of OU-MVLP
OUMVLP = 133_500  # sequences of its test split


def run(
    quick: bool, only: Sequence[str] = (), precision: Precision | None = None
) -> Iterator[Row]:
    """Rows of embedding, as `train.run`."""
    return every(quick, CONFIGS, compared, only, precision)


def compared(
    recipe: Recipe, precision: Precision, plan: Plan, top: roofline.Ceilings
) -> Iterator[Row]:
    """Rows of one network."""
    n, t = (16, 8) if plan.small else (SEQUENCES, FRAMES)
    batch = network.frames(recipe, n, 1, t)
    method = network.make_method(recipe, recipe.config["method_args"], precision)
    model = jax.jit(method.init)(stream(0, "init"), batch)
    embed = jax.jit(with_products(method.embed, precision)).trace(*model, batch)
    found = roofline.passes(embed)
    label = f"{recipe.name}, {precision}, {n} sequences of {t} frames"
    yield figure(label, "GFLOP", sum(one.flops for one in found) / 1e9)
    mine = functools.cache(functools.partial(ours, embed, model, batch, plan.count))
    others = theirs("embedding", recipe, batch, precision, plan)
    took, peaks = measured({"gaitjax": mine} | others, plan)
    yield from rows(label, n * t, took, peaks)
    if not plan.small and recipe.config["data"]["name"] == "oumvlp":
        for name, values in took.items():
            text = f"{label}: {name}, all {OUMVLP:,} sequences at this rate"
            yield row(text, "s", [value * OUMVLP / n for value in values])
    yield from shares(label, found, top, precision, plan, took, mine)


def ours(
    embed: jax.stages.Traced,
    model: tuple,
    batch: Mapping,
    count: int,
    traced: bool = False,
) -> Runner:
    """traced: as of training."""
    program = embed.lower().compile(profile.options() if traced else None)
    batch = jax.device_put(batch)

    def once() -> None:
        jax.block_until_ready([program(*model, batch) for _ in range(count)])

    return Runner(once, lambda: network.memory(program), program)
