"""What a machine can do at best, and what a network must do at least.

Each matrix product and convolution of a traced program takes at least its FLOPs at the
rate of large matrix products, and its bytes (operands read, result written, once) at
the rate of a large copy, whichever is longer. Zeros of the padding are counted. In
training a batch norm is bytes alone: its input is read for the mean, for the variance,
and to be normalised and written; in the backward pass read with its gradient for two
sums, both again, and a gradient written. All else is taken to be fused, for nothing:
group and layer norms, activations, pooling, the optimiser.

Both rates are the best of several. The copy is of more than caches hold; maps that fit
a cache, as narrow networks' do, may be read faster than that. Whoever takes less than
the bound, us or PyTorch, shows that a ceiling is too low.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.bench.measure import Row, figure, row, seconds
from gaitjax.bench.profile import Kernel, of_layers
from gaitjax.layers.norm import BatchNorm
from gaitjax.runtime.precision import Precision, compute_dtype, with_products

NORM_PASSES = 4 + 5  # over a batch norm's map in training: forward, backward
REPEATS = 10  # chosen: they are short, and the best of few may be a disturbed one
NORM = "batch_norm"  # the scope of each, see `norms_named`


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """matrix: FLOP/s by precision. copy: bytes/s, those read and those written."""

    matrix: Mapping[Precision, float]
    copy: float


@dataclasses.dataclass(frozen=True)
class Pass:
    """One of a layer's, forward or backward. layer: the names of its modules."""

    layer: str
    flops: float
    bytes: float

    def bound(self, rate: float, copy: float) -> float:
        """Seconds at least."""
        return max(self.flops / rate, self.bytes / copy)


def measure(precisions: Iterable[Precision], times: int) -> tuple[Ceilings, list[Row]]:
    """The device's own ceilings; sizes are such that they fill it (chosen)."""
    small = jax.default_backend() == "cpu"
    side, length = (1024, 1 << 26) if small else (8192, 1 << 28)
    count, times = 1 if small else 20, max(times, REPEATS)
    matrix, rows = {}, []
    for precision in precisions:
        x = random((side, side), compute_dtype(precision))
        product = jax.jit(with_products(jnp.matmul, precision))
        took = repeated(lambda fn=product, x=x: fn(x, x), count, times)
        rates = [2 * side**3 / value for value in took]
        label = f"matrix product of {side:,}^2, {precision}"
        rows.append(row(label, "TFLOP/s", [rate / 1e12 for rate in rates]))
        matrix[precision] = 1e12 * rows[-1].most
    copy = copying(length)
    took = repeated(copy, count, times)
    number = 2 * 4 * length
    label = f"copy of {number / 2**21:,.0f} MiB, read and written"
    rows.append(row(label, "GB/s", [number / value / 1e9 for value in took]))
    return Ceilings(matrix, 1e9 * rows[-1].most), rows


def copying(length: int) -> Callable[[], jax.Array]:
    """Reads and writes `length` numbers of 4 bytes. In place: memory that is new has to
    be fetched from the system first, which on a CPU is most of the time. Integers, as
    wide as a CPU computes with."""
    turn = jax.jit(jnp.negative, donate_argnums=0)
    x = jnp.arange(length, dtype=jnp.uint32)

    def once() -> jax.Array:
        nonlocal x
        x = turn(x)
        return x

    return once


def random(shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Zeros would be multiplied faster, on less power."""
    return jax.jit(jax.random.normal, static_argnums=(1, 2))(
        jax.random.key(0), shape, jnp.dtype(dtype)
    )


def repeated(fn: Callable[[], Any], count: int, times: int) -> list[float]:
    """Seconds of one call, of `count` in a row; once to warm up."""

    def once() -> None:
        for _ in range(count):
            last = fn()
        jax.block_until_ready(last)

    once()
    return [seconds(once) / count for _ in range(times)]


def passes(program: jax.stages.Traced, norm_bytes: int = 0) -> list[Pass]:
    """Of a traced program. norm_bytes: of a number that a batch norm reads, where
    they count."""
    found = list(equations(program.jaxpr.jaxpr))
    return [*products(found), *norms(found, norm_bytes)]


def rows(
    label: str,
    found: Iterable[Pass],
    top: Ceilings,
    precision: Precision,
    took: Sequence[float],
    kernels: Sequence[Kernel] = (),
) -> Iterator[Row]:
    """What is counted of the layers, their bounds, and the share of the seconds that
    the whole took.

    kernels: of a step. A layer's are its share of a roofline, too, with what the
    compiler has fused into them. On a CPU their time is that of all threads, which is
    taken to be spread evenly over the cores. A layer faster than its bound has work
    that the trace does not time (a CPU's convolutions hand some to other threads): its
    share is not measured.
    """
    found = list(found)
    layers = bounds(found, top, precision)
    threads = os.cpu_count() if jax.default_backend() == "cpu" else 1
    spent = of_layers(kernels, layers) if kernels else {}
    spent = {name: ms / threads for name, ms in spent.items()}
    for name, least in layers.items():
        here = [one for one in found if one.layer == name]
        yield from counted(f"{label}: counted, {name}", here)
        yield figure(f"{label}: at least, {name}", "ms", 1e3 * least)
        if spent.get(name):
            yield figure(f"{label}: kernels, {name}", "ms", spent[name])
            share = 1e5 * least / spent[name]
            share = share if share <= 100 else None
            yield figure(f"{label}: share of the roofline, {name}", "%", share)
    if spent:
        yield figure(f"{label}: kernels of no layer", "ms", spent[""])
    total = sum(layers.values())
    yield from counted(f"{label}: counted, all layers", found)
    yield figure(f"{label}: at least, all layers", "ms", 1e3 * total)
    if took:
        shares = [100 * total / value for value in took]
        yield row(f"{label}: share of its roofline", "%", shares)


def counted(label: str, found: Iterable[Pass]) -> Iterator[Row]:
    """What the bounds are of: FLOPs of products, bytes of products and batch norms."""
    found = list(found)
    yield figure(label, "GFLOP", sum(one.flops for one in found) / 1e9)
    yield figure(label, "MB", sum(one.bytes for one in found) / 1e6)


def bounds(
    found: Iterable[Pass], top: Ceilings, precision: Precision
) -> dict[str, float]:
    """{layer: seconds at least}."""
    layers: dict[str, float] = {}
    for one in found:
        least = one.bound(top.matrix[precision], top.copy)
        layers[one.layer] = layers.get(one.layer, 0) + least
    return layers


Equation = tuple[str, int, Any]  # its scope, how often it runs, itself


def equations(jaxpr: Any, scope: str = "", times: int = 1) -> Iterator[Equation]:
    """Those of a program and of the programs within."""
    for eqn in jaxpr.eqns:
        here = f"{scope}/{eqn.source_info.name_stack}"
        yield here, times, eqn
        more = times * eqn.params.get("length", 1)  # of a scan
        for value in jax.tree.leaves(list(eqn.params.values()), is_leaf=is_program):
            if is_program(value):
                yield from equations(getattr(value, "jaxpr", value), here, more)


def is_program(value: Any) -> bool:
    return hasattr(value, "eqns")


def products(found: Iterable[Equation]) -> Iterator[Pass]:
    """Convolutions and matrix products, forward and backward."""
    for scope, times, eqn in found:
        kind = eqn.primitive.name
        if kind in ("conv_general_dilated", "dot_general"):
            count = (conv_flops if kind.startswith("conv") else dot_flops)(eqn)
            arrays = [variable.aval for variable in (*eqn.invars, *eqn.outvars)]
            size = sum(x.size * x.dtype.itemsize for x in arrays)
            yield Pass(module(scope), times * count, times * size)


def conv_flops(eqn: Any) -> float:
    """Two per product; none for zeros between the rows of a dilated input."""
    kernel = eqn.invars[1].aval.shape
    out = eqn.outvars[0].aval
    of_kernel = eqn.params["dimension_numbers"].rhs_spec
    window = math.prod(kernel[axis] for axis in of_kernel[1:])
    between = math.prod(eqn.params["lhs_dilation"])
    return 2 * out.size * window / between


def dot_flops(eqn: Any) -> float:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    return 2 * eqn.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)


@contextlib.contextmanager
def norms_named() -> Iterator[None]:
    """What is traced within says which of its parts are batch norms."""

    def call(fn: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        if not isinstance(context.module, BatchNorm):
            return fn(*args, **kwargs)
        with jax.named_scope(NORM):
            return fn(*args, **kwargs)

    with nn.intercept_methods(call):
        yield


def norms(found: list[Equation], size: int) -> Iterator[Pass]:
    """Batch norms in training, of programs traced under `norms_named`: by the one
    `rsqrt` that each has. Those with fixed statistics sum over nothing."""
    for scope, times, eqn in found:
        if not size or eqn.primitive.name != "rsqrt" or "transpose(" in scope:
            continue
        if not module(scope).endswith(f"/{NORM}"):
            continue
        within = [inner for other, _, inner in found if other.startswith(scope)]
        if not any(inner.primitive.name == "reduce_sum" for inner in within):
            continue
        maps = [variable.aval.size for inner in within for variable in inner.outvars]
        layer = module(scope).removesuffix(f"/{NORM}")
        yield Pass(layer, 0, times * NORM_PASSES * size * max(maps))


def module(scope: str) -> str:
    """jvp(GaitBase)/backbone/stem -> backbone/stem, in any direction."""
    names = re.sub(r"\w+\(|\)", "", scope).split("/")
    return "/".join(name for name in names if name) or "loss"
