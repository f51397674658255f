"""What the host costs a step, and whether several steps per dispatch win it back.

GaitBase and GaitSet under their CASIA-B recipes, on one batch that is on the device;
narrow ones on a CPU or with `quick`. In turns: STEPS steps dispatched one after the
other and waited for at the end, as the training loop does; the same as one program, a
`lax.scan`. Beside them the time until the host has dispatched all of them: what a scan
could win at most, where it is as long as the steps themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax

from configs.zoo import gaitbase_casia_b, gaitset_casia_b
from gaitjax.bench import network
from gaitjax.bench.measure import Row, interleaved, ratios, row, seconds
from gaitjax.bench.train import make_plan, make_recipe
from gaitjax.runtime.precision import Precision

CONFIGS = (gaitbase_casia_b, gaitset_casia_b)
STEPS = 8  # chosen


def run(quick: bool) -> Iterator[Row]:
    """Rows of each network."""
    plan = make_plan(quick)
    for config in CONFIGS:
        recipe = make_recipe(config, plan.small)
        yield from compared(recipe, plan.precisions[0], plan.times)


def compared(recipe: network.Recipe, precision: Precision, times: int) -> Iterator[Row]:
    """Rows of one network, per step."""
    built = network.build(recipe, recipe.config["method_args"], precision)
    batch = jax.device_put(built.batch)
    n, t = batch["mask"].shape
    label = f"{recipe.name}, {precision}, step of {n} x {t} frames"
    single = built.step.lower().compile()
    several = jax.jit(scanned(built.step_fn), donate_argnums=0)
    several = several.lower(built.like, built.batch).compile()
    ways = {
        "one by one": network.stepping(single, built.init(), batch, STEPS),
        f"a scan of {STEPS}": network.stepping(several, built.init(), batch),
    }
    took = interleaved(ways, times)
    for name, values in took.items():
        yield row(f"{label}: {name}", "ms", [1e3 * v / STEPS for v in values])
    scan, one = reversed(took)
    yield row(f"{label}: {one} / {scan}", "times", ratios(took, one, scan))
    values = dispatching(single, built.init(), batch, times)
    yield row(f"{label}: dispatching it", "ms", [1e3 * v / STEPS for v in values])


def scanned(step: Callable) -> Callable:
    """(state, batch) -> (state, metrics of each) after STEPS steps on one batch."""

    def steps(state, batch):
        def one(state, _):
            return step(state, batch)

        return jax.lax.scan(one, state, None, STEPS)

    return steps


def dispatching(
    step: jax.stages.Compiled, state, batch: dict[str, jax.Array], times: int
) -> list[float]:
    """Seconds until STEPS steps are on their way; nothing is waited for within."""

    def once() -> None:
        nonlocal state
        for _ in range(STEPS):
            state, _ = step(state, batch)

    found = []
    for _ in range(times + 1):
        found.append(seconds(once))
        jax.block_until_ready(state)
    return found[1:]  # the first warms up
