"""How time and memory grow: one size at a time, and the exponent of each.

A training step of GaitBase against people of a batch, frames of a clip and identities
of the classifier; the search of the nearest against gallery, parts and probes. What
grows as size^e has the exponent e: the slope of a straight line through the logarithms
over all sizes that were measured. Small sizes show what does not grow. Memory is what
the compiler plans for a program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from configs.zoo import common, gaitbase_casia_b
from gaitjax.bench import network
from gaitjax.bench.measure import Row, figure, interleaved, row
from gaitjax.bench.network import Recipe
from gaitjax.bench.rerank import people
from gaitjax.ops import topk
from gaitjax.runtime import mesh

K = 10


@dataclasses.dataclass(frozen=True)
class Program:
    """once: a call, waited for; memory: MiB, None where nobody counts."""

    once: Callable[[], object]
    memory: float | None


@dataclasses.dataclass(frozen=True)
class Axis:
    """What grows. make: a size -> the program that is run."""

    what: str
    of: str
    sizes: Sequence[int]
    make: Callable[[int], Program]


def run(quick: bool) -> Iterator[Row]:
    """Time and memory at every size, and their exponents."""
    mesh.check_device(None)
    small = quick or jax.default_backend() == "cpu"
    for axis in (*training(small, quick), *searching(small, quick)):
        yield from grown(axis, 3 if quick else 7)


def grown(axis: Axis, times: int) -> Iterator[Row]:
    """Rows of one axis; its sizes are timed in turns."""
    programs = {size: axis.make(size) for size in axis.sizes}
    took = interleaved({str(k): one.once for k, one in programs.items()}, times)
    label = f"{axis.what}, {axis.of}"
    for size, program in programs.items():
        yield row(f"{label} {size:,}", "ms", [1e3 * s for s in took[str(size)]])
        yield figure(f"{label} {size:,}, memory", "MiB", program.memory)
    medians = [float(np.median(took[str(size)])) for size in axis.sizes]
    yield figure(f"{label}: time", "exponent", exponent(axis.sizes, medians))
    kept = [program.memory for program in programs.values()]
    known = None if None in kept else exponent(axis.sizes, kept)
    yield figure(f"{label}: memory", "exponent", known)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of log value over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def training(small: bool, quick: bool) -> Iterator[Axis]:
    """Steps of GaitBase, narrow and on small frames where `small`."""
    p, t = (8, 4) if small else (32, 30)
    counts = [2, 4, 8] if quick else [2, 4, 8, 16, 32]
    what = "training step" if not small else "training step, narrow"

    def step(p: int, t: int, identities: int) -> Program:
        recipe = _recipe(small, p, t, identities)
        built = network.build(recipe, recipe.config["method_args"], "float32")
        compiled = built.step.lower().compile()
        once = network.stepping(compiled, built.init(), jax.device_put(built.batch))
        return Program(once, network.memory(compiled))

    yield Axis(what, "people x 2", counts, lambda size: step(size, t, 100))
    yield Axis(what, "frames", counts, lambda size: step(p, size, 100))
    identities = [100, 1000] if quick else [100, 1000, 10_000, 100_000]
    yield Axis(what, "identities", identities, lambda size: step(p, t, size))


def searching(small: bool, quick: bool) -> Iterator[Axis]:
    """The K nearest of every probe."""
    q, g, parts, dims = (64, 2048, 8, 64) if small else (512, 32_768, 16, 256)

    def search(q: int, g: int, p: int) -> Program:
        probe, gallery = (jax.device_put(people(n, p, dims, n)) for n in (q, g))
        program = jax.jit(lambda x, y: topk.topk(x, y, K)[1])
        compiled = program.lower(probe, gallery).compile()
        return Program(
            lambda: jax.block_until_ready(compiled(probe, gallery)),
            network.memory(compiled),
        )

    factors = (1, 2, 4) if quick else (1, 2, 4, 8)
    what = f"top-{K}"
    galleries = [g * f for f in factors]
    yield Axis(what, "gallery", galleries, lambda size: search(q, size, parts))
    yield Axis(what, "probes", [q * f for f in factors], lambda n: search(n, g, parts))
    yield Axis(what, "parts", [2 * f for f in factors], lambda size: search(q, g, size))


def _recipe(small: bool, p: int, t: int, identities: int) -> Recipe:
    config = gaitbase_casia_b.get_config().to_dict()
    shape = (64, 44)
    if small:
        config["method_args"]["backbone_args"].update(common.sizes("gaitbase"))
        shape = (32, 22)
    config["data"].update(p=p, k=2, frames=t)
    return Recipe("gaitbase", config, identities, {"sils": shape})


def plot(rows: Sequence[Row]) -> Figure:
    """Time over size of every axis, doubly logarithmic, the exponent beside it."""
    slopes = {r.what.removesuffix(": time"): r.median for r in rows if _is_slope(r)}
    page = Figure(figsize=(11, 6), layout="constrained")
    panels = page.subplots(2, -(-len(slopes) // 2)).flat
    for panel, (label, slope) in zip(panels, slopes.items(), strict=False):
        points = [r for r in rows if r.unit == "ms" and r.what.startswith(f"{label} ")]
        sizes = [float(r.what.split()[-1].replace(",", "")) for r in points]
        medians = [r.median for r in points]
        spread = np.array([[r.median - r.least, r.most - r.median] for r in points]).T
        panel.errorbar(sizes, medians, spread, marker="o", capsize=3)
        panel.set(xscale="log", yscale="log", xlabel=label, ylabel="ms")
        panel.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        panel.set_yticks(
            medians, [f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in medians]
        )
        panel.minorticks_off()
        panel.set_title(f"size^{slope:.2f}", fontsize=10)
    return page


def _is_slope(r: Row) -> bool:
    return r.unit == "exponent" and r.what.endswith(": time")
