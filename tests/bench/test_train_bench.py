"""What is counted of a program, and what rows are made of seconds, without torch."""

import importlib.util

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.zoo import common
from gaitjax.bench import infer, roofline, train
from gaitjax.bench.profile import Kernel
from gaitjax.errors import GaitError
from gaitjax.layers.norm import BatchNorm
from gaitjax.layers.parts import SeparateBNNecks

TOP = roofline.Ceilings({"float32": 10.0}, 5.0)
PLAN = train.Plan(True, ("float32",), 2, 3, ())


def traced(fn, *args):
    return jax.jit(fn).trace(*args)


def convolve(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(1, 1), (1, 1)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def test_convolution_by_hand():
    x, kernel = jnp.ones((2, 8, 6, 3)), jnp.ones((3, 3, 3, 5))
    (one,) = roofline.passes(traced(convolve, x, kernel))
    assert one.flops == 2 * (2 * 8 * 6 * 5) * (3 * 3 * 3)
    assert one.bytes == 4 * (x.size + kernel.size + 2 * 8 * 6 * 5)


@pytest.mark.parametrize("stride", (1, 2))
def test_backward_is_twice_forward(stride):
    """Of a strided one, zeros between the rows of a gradient are no work."""
    x, kernel = jnp.ones((2, 8, 6, 3)), jnp.ones((3, 3, 3, 5))
    (forward,) = roofline.passes(traced(lambda *a: convolve(*a, stride), x, kernel))

    def loss(x, kernel):
        return (convolve(x, kernel, stride) ** 2).sum()

    found = roofline.passes(traced(jax.grad(loss, (0, 1)), x, kernel))
    assert [one.flops for one in found] == [forward.flops] * 3


def test_products_as_the_compiler_counts_them():
    """Without padding, which it leaves out; a scan's are as many as its steps."""
    a, b = jnp.ones((4, 5, 6)), jnp.ones((4, 6, 7))
    program = traced(jnp.matmul, a, b)
    (one,) = roofline.passes(program)
    assert one.flops == program.lower().cost_analysis()["flops"] == 2 * 4 * 5 * 6 * 7

    def repeated(a, b):
        return jax.lax.scan(lambda total, x: (total + x @ b[0], None), a[0] @ b[0], a)

    both = roofline.passes(traced(repeated, a, b))
    assert [one.flops for one in both] == [2 * 5 * 6 * 7, 4 * 2 * 5 * 6 * 7]


def test_batch_norm_is_its_passes():
    model, x = BatchNorm(), jnp.ones((4, 3, 5))
    variables = model.init(jax.random.key(0), x, train=False)

    def loss(params):
        y, _ = model.apply(
            {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
        )
        return y.sum()

    with roofline.norms_named():
        program = traced(jax.grad(loss), variables["params"])
    (one,) = roofline.passes(program, norm_bytes=2)
    assert (one.flops, one.bytes) == (0, 9 * 2 * x.size)
    assert one.layer == "BatchNorm"
    assert roofline.passes(program) == []


def test_no_other_norm_is_a_batch_norm():
    """A layer norm, a group norm, one with fixed statistics; and a neck has one, whose
    rows of length one are none."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.GroupNorm(1, name="group")(nn.LayerNorm(name="layer")(x))
            x = BatchNorm(name="fixed")(x, train=False)
            return SeparateBNNecks(2, name="necks")(x, train=True)[1]

    x = jnp.ones((4, 3, 6))
    variables = Net().init(jax.random.key(0), x)

    def loss(params):
        out, _ = Net().apply({**variables, "params": params}, x, mutable=True)
        return out.sum()

    with roofline.norms_named():
        program = traced(jax.grad(loss), variables["params"])
    norms = [one for one in roofline.passes(program, norm_bytes=4) if not one.flops]
    assert [one.layer for one in norms] == ["Net/necks/bn"]
    assert norms[0].bytes == 9 * 4 * x.size


def test_bounds_add_up():
    """The first is bound by its FLOPs, 3 s; the second by its bytes, 2 s."""
    found = [roofline.Pass("a", 30, 5), roofline.Pass("a", 5, 10)]
    found.append(roofline.Pass("b", 0, 5))
    found = list(roofline.rows("x", found, TOP, "float32", [8, 12]))
    rows = {row.what: row for row in found}
    counted = {(row.what, row.unit): row.median for row in found}
    assert counted["x: counted, a", "GFLOP"] == pytest.approx(35e-9)
    assert counted["x: counted, a", "MB"] == pytest.approx(15e-6)
    assert counted["x: counted, all layers", "MB"] == pytest.approx(20e-6)
    assert rows["x: at least, a"].median == 5e3
    assert rows["x: at least, b"].median == 1e3
    assert rows["x: at least, all layers"].median == 6e3
    share = rows["x: share of its roofline"]
    assert (share.least, share.most) == (50, 75)


def test_a_layer_is_a_share_of_its_own_bound(monkeypatch):
    """Layer a: at least 6 s; two cores' threads took 24 s, so 12 of both."""
    monkeypatch.setattr(roofline.os, "cpu_count", lambda: 2)
    found = [roofline.Pass("a", 60, 5), roofline.Pass("b", 0, 5)]
    kernels = [Kernel("x", "a/dot", 1, 20e3), Kernel("y", "<- a/dot", 1, 4e3)]
    kernels.append(Kernel("z", "else", 1, 8e3))
    found = roofline.rows("x", found, TOP, "float32", [20], kernels)
    rows = {row.what: row.median for row in found}
    assert rows["x: kernels, a"] == 12e3
    assert rows["x: share of the roofline, a"] == pytest.approx(50)
    assert rows["x: kernels of no layer"] == 4e3
    assert "x: kernels, b" not in rows


def test_ceilings_are_the_best_rates(monkeypatch):
    monkeypatch.setattr(roofline, "repeated", lambda fn, count, times: [4.0, 2.0, 4.0])
    monkeypatch.setattr(roofline, "random", lambda shape, dtype: np.ones(8, np.int16))
    monkeypatch.setattr(roofline, "copying", lambda length: None)
    top, rows = roofline.measure(("float32",), 3)
    assert top.matrix["float32"] == pytest.approx(1024**3)
    assert top.copy == pytest.approx(4 * 2**26)
    assert [row.unit for row in rows] == ["TFLOP/s", "GB/s"]
    assert "256 MiB" in rows[1].what


def test_a_copy_goes_on_in_its_own_memory():
    copy = roofline.copying(1 << 12)
    where = {copy().unsafe_buffer_pointer() for _ in range(3)}
    assert len(where) == 1
    assert int(copy()[7]) == 7  # four times negative


def fails():
    raise RuntimeError("out of memory\nand much more")


def test_what_does_not_run_is_left_out(capsys):
    calls = []
    good = train.Runner(lambda: calls.append(1), lambda: 7.0)
    runners = {"gaitjax": lambda: good, "torch eager": fails}
    took, peaks = train.measured(runners, PLAN)
    assert list(took) == ["gaitjax"] and peaks == {"gaitjax": 7.0}
    assert len(calls) == 2 + PLAN.times
    assert capsys.readouterr().err == "torch eager does not run here: out of memory\n"


def test_seconds_are_of_one_step(monkeypatch):
    monkeypatch.setattr(train, "interleaved", lambda fns, times: {"gaitjax": [4.0]})
    runner = train.Runner(lambda: None, lambda: None)
    took, _ = train.measured({"gaitjax": lambda: runner}, PLAN)
    assert took == {"gaitjax": [2.0]}


def test_ratios_are_of_rates():
    took = {"gaitjax": [1.0, 2.0], "torch eager": [3.0, 3.0]}
    rows = train.rows("x", 6, took, {"gaitjax": 5.0, "torch eager": None})
    found = {(row.what, row.unit): row for row in rows}
    rate = found["x: gaitjax", "frames/s"]
    assert (rate.least, rate.most) == (3, 6)
    ratio = found["x: frames/s of gaitjax / torch eager", "times"]
    assert (ratio.least, ratio.most) == (1.5, 3)
    assert found["x: torch.compile", "ms"].median is None
    assert found["x: frames/s of gaitjax / torch.compile", "times"].median is None
    assert found["x: gaitjax, memory that the compiler plans", "MiB"].median == 5
    theirs = "x: torch eager, peak of its allocator, other models' weights included"
    assert found[theirs, "MiB"].median is None


def test_torch_checks_the_roofline(monkeypatch):
    """At least 4 s: torch's 5 are 80 % of them, and 2 would say that it is too low."""
    monkeypatch.setattr(train.profile, "of_one_call", lambda *args: [])
    found, took = [roofline.Pass("a", 40, 5)], {"gaitjax": [8.0], "torch eager": [5.0]}
    made = []

    def make(traced=False):
        made.append(traced)
        return train.Runner(lambda: None, lambda: None)

    def shares():
        rows = train.shares("x", found, TOP, "float32", PLAN, took, make)
        return {row.what: row.median for row in rows if row.unit == "%"}

    assert shares() == {
        "x: share of its roofline": 50,
        "x: share of its roofline, torch eager (a check: under 100)": 80,
    }
    monkeypatch.setattr(train.profile, "options", lambda: {"no buffers": ""})
    shares()
    assert made == [False, True]
    del took["gaitjax"]
    assert list(shares().values()) == [80] and len(made) == 2


def test_some_networks_in_one_precision(monkeypatch):
    seen = []

    def compare(recipe, precision, plan, top):
        seen.append((recipe.name, precision))
        return []

    monkeypatch.setattr(train.mesh, "check_device", lambda device: None)
    monkeypatch.setattr(roofline, "measure", lambda precisions, times: (TOP, []))
    list(train.every(True, infer.CONFIGS, compare, ["gaitset"], "bf16"))
    assert seen == [("gaitset, narrow", "bf16")]
    with pytest.raises(GaitError, match="did you mean gaitset"):
        list(train.every(True, infer.CONFIGS, compare, ["gaitsett"]))
    seen.clear()
    list(train.every(True, infer.CONFIGS, compare))
    assert [precision for _, precision in seen] == ["float32"] * 3


@pytest.mark.parametrize("subject", (train, infer))
def test_rows_of_a_network_without_torch(subject, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    seen = {}

    def measured(runners, plan):
        seen.update(runners)
        return {"gaitjax": [0.5]}, {"gaitjax": 1.0}

    monkeypatch.setattr(subject, "measured", measured)
    recipe = train.make_recipe(subject.CONFIGS[2], small=True)
    recipe.config["method_args"]["backbone_args"].update(common.tiny_sizes("gaitset"))
    top = roofline.Ceilings({"float32": 1e12}, 1e12)
    rows = {row.what: row for row in subject.compared(recipe, "float32", PLAN, top)}
    assert list(seen) == ["gaitjax"]
    (share,) = (row for what, row in rows.items() if what.endswith("roofline"))
    assert 0 < share.median < 100
    layers = [what for what in rows if ": at least, Gait" in what]
    timed = [what for what in rows if ": kernels, Gait" in what]
    assert timed and len(timed) <= len(layers)
    (count,) = (row for row in rows.values() if row.what.endswith(" frames"))
    assert count.unit == "GFLOP" and count.median > 0
    (theirs,) = (row for what, row in rows.items() if what.endswith(": torch eager"))
    assert theirs.median is None


def test_quick_leaves_the_slow_compiler_out(monkeypatch):
    monkeypatch.setattr(train.mesh, "check_device", lambda device: None)
    assert train.make_plan(True).twins == ("torch eager",)
    assert train.make_plan(False).twins == train.THEIRS
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert train.make_plan(False).precisions == ("bf16", "float32")
    published = train.make_recipe(train.CONFIGS[0], small=False)
    assert published.config["data"]["p"] * published.config["data"]["k"] == 128
