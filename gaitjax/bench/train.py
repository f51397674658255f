"""Steps of training, ours beside PyTorch's of the same networks.

GaitBase, DeepGaitV2-P3D and GaitSet under their published CASIA-B recipes, and
DiffCrossGait under SUSTech1K's, on random frames that are on the device: same batch,
losses, optimiser and class of precision (bf16 beside AMP's). On a CPU, or with `quick`,
narrow networks and small batches. Each is shown as a share of its own roofline, too;
so is PyTorch, as a check of the roofline. Without torch its rows are "not measured".

Memory is not counted alike: ours is what the compiler plans for the program, PyTorch's
the most that its allocator held in a step, with the weights of other networks that are
there. On a GPU kernels are those of the same step compiled without command buffers
(`profile.options`), which is timed for nothing else.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from configs import sustech1k
from configs.zoo import common, deepgaitv2_casia_b, gaitbase_casia_b, gaitset_casia_b
from gaitjax.arguments import unknown
from gaitjax.bench import network, profile, roofline
from gaitjax.bench.measure import Row, figure, interleaved, ratios, row
from gaitjax.bench.network import Recipe
from gaitjax.errors import GaitError
from gaitjax.runtime import mesh
from gaitjax.runtime.precision import Precision, compute_dtype

CONFIGS = (gaitbase_casia_b, deepgaitv2_casia_b, gaitset_casia_b, sustech1k)
PEOPLE = 74  # of CASIA-B's training split
THEIRS = ("torch eager", "torch.compile")
MEMORY = {
    "gaitjax": "memory that the compiler plans",
    **dict.fromkeys(THEIRS, "peak of its allocator, other models' weights included"),
}


@dataclasses.dataclass(frozen=True)
class Runner:
    """once: some steps, waited for. peak: MiB of them; None where nobody counts.
    program: of a step, where it is ours."""

    once: Callable[[], object]
    peak: Callable[[], float | None]
    program: jax.stages.Compiled | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What this machine measures. count: steps of one call; times: of its repeats;
    twins: without `torch.compile` where minutes are too many."""

    small: bool
    precisions: tuple[Precision, ...]
    count: int
    times: int
    twins: tuple[str, ...] = THEIRS


def run(
    quick: bool, only: Sequence[str] = (), precision: Precision | None = None
) -> Iterator[Row]:
    """Rows of training. only: networks, all where it is empty; precision: one."""
    return every(quick, CONFIGS, compared, only, precision)


def every(
    quick: bool,
    configs: Iterable[types.ModuleType],
    compare: Callable[[Recipe, Precision, Plan, roofline.Ceilings], Iterable[Row]],
    only: Sequence[str] = (),
    precision: Precision | None = None,
) -> Iterator[Row]:
    """The device's own ceilings, then every network in every precision."""
    plan = make_plan(quick)
    if precision:
        plan = dataclasses.replace(plan, precisions=(precision,))
    recipes = some_of([make_recipe(config, plan.small) for config in configs], only)
    top, found = roofline.measure(plan.precisions, plan.times)
    yield from found
    for recipe in recipes:
        for one in plan.precisions:
            yield from compare(recipe, one, plan, top)


def some_of(recipes: Sequence[Recipe], only: Sequence[str]) -> list[Recipe]:
    """Those that are named; GaitError for a name that there is not."""
    known = {recipe.name.partition(",")[0]: recipe for recipe in recipes}
    for name in only:
        if name not in known:
            raise GaitError(unknown(name, known, "network of --only"))
    return [recipe for name, recipe in known.items() if not only or name in only]


def make_plan(quick: bool) -> Plan:
    """A step on an accelerator is short, and waiting for each would be measured too."""
    mesh.check_device(None)
    times, twins = (3, THEIRS[:1]) if quick else (10, THEIRS)
    if jax.default_backend() == "cpu":
        return Plan(True, ("float32",), 1, times, twins)
    return Plan(quick, ("bf16", "float32"), 5, times, twins)


def make_recipe(config: types.ModuleType, small: bool) -> Recipe:
    """As published, or of a network that a CPU trains, on frames of half the size."""
    values = config.get_config().to_dict()
    args, data = values["method_args"], values["data"]
    if values["method"] == "diffcrossgait":
        name, people, sides = "diffcrossgait", 250, (64, 64)  # of SUSTech1K
        sizes = dict(channels=(16, 32, 64), strides=(2, 2, 1), bins=(8,), features=64)
        sizes, place = sizes | {"denoiser_features": 32}, args
    else:
        name, people, sides = args["backbone"], PEOPLE, (64, 44)
        sizes, place = common.sizes(name), args["backbone_args"]
    if small:
        name, sides = f"{name}, narrow", (sides[0] // 2, sides[1] // 2)
        place.update(sizes)
        data.update(p=4, k=4, frames=8)
    shapes = {"sils": sides, "ranges": (*sides, 3)}
    inputs = args["inputs"]
    return Recipe(name, values, people, {key: shapes[key] for key in inputs})


def compared(
    recipe: Recipe, precision: Precision, plan: Plan, top: roofline.Ceilings
) -> Iterator[Row]:
    """Rows of one network."""
    built = network.build(recipe, recipe.config["method_args"], precision)
    found = roofline.passes(built.step, jnp.dtype(compute_dtype(precision)).itemsize)
    n, t = built.batch["mask"].shape
    label = f"{recipe.name}, {precision}, step of {n} x {t} frames"
    yield figure(label, "GFLOP", sum(one.flops for one in found) / 1e9)
    mine = functools.cache(functools.partial(ours, built, plan.count))
    others = theirs("training", recipe, built.batch, precision, plan)
    took, peaks = measured({"gaitjax": mine} | others, plan)
    yield from rows(label, n * t, took, peaks)
    yield from shares(label, found, top, precision, plan, took, mine)


def shares(
    label: str,
    found: Sequence[roofline.Pass],
    top: roofline.Ceilings,
    precision: Precision,
    plan: Plan,
    took: Mapping[str, list[float]],
    make: Callable[..., Runner],
) -> Iterator[Row]:
    """Of the roofline, whole and by layer: of what ours took, where it runs. make: as
    `ours`, without its first arguments."""
    mine, kernels = took.get("gaitjax", ()), []
    if mine:
        runner = make(traced=True) if profile.options() else make()
        kernels = profile.of_one_call(runner.once, runner.program, plan.count)
    yield from roofline.rows(label, found, top, precision, mine, kernels)
    total = sum(roofline.bounds(found, top, precision).values())
    for name in THEIRS:
        if name in took:
            text = f"{label}: share of its roofline, {name} (a check: under 100)"
            yield row(text, "%", [100 * total / value for value in took[name]])


def ours(built: network.Network, count: int, traced: bool = False) -> Runner:
    """The step as `tools/bench.py diffcrossgait` has it, too. traced: for its kernels'
    names rather than for its time."""
    step = built.step.lower().compile(profile.options() if traced else None)
    batch = jax.device_put(built.batch)
    once = network.stepping(step, built.init(), batch, count)
    return Runner(once, lambda: network.memory(step), step)


def theirs(
    kind: Literal["training", "embedding"],
    recipe: Recipe,
    batch: Mapping[str, np.ndarray],
    precision: Precision,
    plan: Plan,
) -> dict[str, Callable[[], Runner]]:
    """The twins' steps; none, where torch or its device is missing."""
    if importlib.util.find_spec("torch") is None:
        return {}
    name = {"supervised": "torch_twins"}.get(
        recipe.config["method"], "torch_diffcrossgait"
    )
    twins = importlib.import_module(f"gaitjax.bench.{name}")
    device = twins.find_device(jax.default_backend())
    if device is None:
        return {}

    def make(compiled: bool) -> Runner:
        model = twins.twin_of(recipe.config, recipe.people).to(device)
        of = twins.training if kind == "training" else twins.embedding
        step = of(model, recipe.config, batch, precision, compiled=compiled)
        once = twins.repeated(step, plan.count, device)
        return Runner(once, lambda: twins.peak(step, device))

    return {name: functools.partial(make, "compile" in name) for name in plan.twins}


def measured(
    runners: Mapping[str, Callable[[], Runner]], plan: Plan
) -> tuple[dict[str, list[float]], dict[str, float | None]]:
    """Seconds of a step, taken in turns, and MiB of each that runs at all here."""
    ready, peaks = {}, {}
    for name, make in runners.items():
        try:
            runner = make()
            runner.once()
            peaks[name] = runner.peak()
        except RuntimeError as error:  # of memory, or of a compiler that is missing
            reason = (str(error).splitlines() or [""])[0][:200]
            print(f"{name} does not run here: {reason}", file=sys.stderr)
            continue
        ready[name] = runner.once
    took = interleaved(ready, plan.times)
    each = {name: [v / plan.count for v in values] for name, values in took.items()}
    return each, peaks


def rows(
    label: str,
    frames: int,
    took: Mapping[str, list[float]],
    peaks: Mapping[str, float | None],
) -> Iterator[Row]:
    """Of steps of `frames` frames: times, rates, memory, and ratios to ours."""
    for name in ("gaitjax", *THEIRS):
        text, seconds = f"{label}: {name}", took.get(name)
        yield spread(text, "ms", seconds and [1e3 * value for value in seconds])
        yield spread(text, "frames/s", seconds and [frames / v for v in seconds])
        yield figure(f"{text}, {MEMORY[name]}", "MiB", peaks.get(name))
    for name in THEIRS:
        both = "gaitjax" in took and name in took
        more = ratios(took, name, "gaitjax") if both else None
        yield spread(f"{label}: frames/s of gaitjax / {name}", "times", more)


def spread(what: str, unit: str, values: Sequence[float] | None) -> Row:
    """A row of repeats, or of none."""
    return row(what, unit, values) if values else figure(what, unit, None)
