"""The two networks side by side: what is counted, and what figures are made of."""

import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

from configs import sustech1k
from gaitjax.bench import diffcrossgait, measure
from gaitjax.methods.diffcrossgait import TOKEN_DIMS
from tools import bench

PEOPLE, BINS, FEATURES = 3, 4, 5
PLANNED = "memory that the compiler plans"
COMPILED = types.SimpleNamespace(memory_analysis=lambda: None)
LOWERED = types.SimpleNamespace(
    cost_analysis=dict, as_text=str, compile=lambda: COMPILED
)
# This machine tells nothing of its memory.
SILENT = types.SimpleNamespace(lower=lambda: LOWERED, jaxpr=jax.make_jaxpr(abs)(1.0))


@functools.cache
def pair():
    """A few pixels; phase 2 alone, which has all of the branch's parameters."""
    config = sustech1k.get_config("tiny").to_dict()
    config["data"].update(p=2, k=2, frames=2)
    config["method_args"].update(
        channels=(2, 4),
        strides=(2, 1),
        bins=(BINS,),
        features=FEATURES,
        downsample=1,
        denoiser_heads=2,
        phases=(2,),
    )
    shapes = {"sils": (8, 6), "ranges": (8, 6, 3)}
    recipe = diffcrossgait.Recipe("tiny", config, PEOPLE, shapes)
    return diffcrossgait.networks(recipe, "float32")


def counted(**changes):
    """{what: figure}, some of the networks being others."""
    rows = diffcrossgait.counted("tiny", {**pair(), **changes})
    return {row.what.removeprefix("tiny: "): row.median for row in rows}


def test_branch_costs_in_training_and_not_in_inference():
    rows = counted()
    on, off = (rows[f"training step, {name}"] for name in ("on", "off"))
    assert 0 < off < on
    share = rows["training step, the branch's share"]
    assert share == pytest.approx(100 * (on - off) / on)
    assert rows["trained parameters, the branch"] > TOKEN_DIMS / 1e6  # and a U-Net
    # What only training without the branch has is the classifier of each strip.
    classifier = BINS * FEATURES * (PEOPLE + 2) / 1e6  # columns, BNNeck's scale, bias
    assert rows["inference, trained off, parameters"] == pytest.approx(
        rows["trained parameters, off"] - classifier
    )
    for figure in ("parameters", "a sequence", PLANNED):
        exported = rows[f"inference, trained on, {figure}"]
        assert exported == rows[f"inference, trained off, {figure}"] > 0
    assert rows["inference, same program"] == 1


def test_another_program_is_not_the_same():
    other = dataclasses.replace(pair()["off"], embed=SILENT)
    assert counted(off=other)["inference, same program"] == 0


def test_what_is_not_known_is_not_made_up():
    rows = counted(off=dataclasses.replace(pair()["off"], embed=SILENT))
    assert rows["inference, trained off, a sequence"] == 0
    assert rows[f"inference, trained off, {PLANNED}"] is None
    assert bench.spelt(None) == "not measured"


def test_overhead_is_of_neighbours(monkeypatch):
    took = {"on": [3.0, 6.0, 2.0], "off": [2.0, 2.0, 2.0]}
    seen = []

    def interleaved(fns, times):
        for fn in fns.values():
            fn()
            fn()  # again: a step must go on from its own result
        seen.append((list(fns), times))
        return took

    monkeypatch.setattr(diffcrossgait, "interleaved", interleaved)
    zeros = functools.partial(jax.tree.map, lambda x: np.zeros(x.shape, x.dtype))
    off = pair()["off"]  # as both: one program to compile
    off = dataclasses.replace(off, init=lambda: jax.device_put(zeros(off.like)))
    rows = list(diffcrossgait.timed("tiny", {"on": off, "off": off}, 3))
    assert seen == [(["on", "off"], 3)] * 2
    by_name = {row.what.removeprefix("tiny: "): row for row in rows}
    step = by_name["training step, on"]
    assert (step.median, step.least, step.most, step.unit) == (3e3, 2e3, 6e3, "ms")
    more = by_name["training step, overhead"]
    assert (more.median, more.least, more.most) == pytest.approx((50, 0, 200))
    memory = [row for row in rows if row.what.endswith("that the compiler plans")]
    assert len(memory) == 2 and all(row.median > 0 for row in memory)


def test_turns_are_taken():
    calls = []
    fns = {name: functools.partial(calls.append, name) for name in ("on", "off")}
    took = measure.interleaved(fns, 2)
    assert calls == ["on", "off"] * 3  # the first of each to warm up
    assert [len(values) for values in took.values()] == [2, 2]
