"""Whether training waits for its pictures: steps on records over steps on one batch.

GaitBase under its CASIA-B recipe, on walkers that are made in a temporary folder, of as
many people and about as long as that set's; a narrow network and small pictures on a
CPU or with `quick`. In turns, as many steps on

    one batch     which is on the device already
    threads       batches that threads of this process make and send
    N workers     that processes make
    resident      of pictures that are on the device, by their numbers

as the training loop does them: a step's losses are looked at while the next one runs.
Before each turn the batches that lie ready are thrown away, so that none which was made
in another's turn hides a wait.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from configs import casia_b, common
from configs.zoo import gaitbase_casia_b
from gaitjax.bench.measure import Row, ratios, row, seconds
from gaitjax.data.builders import walkers
from gaitjax.machine import cores
from gaitjax.run import Run, open_run
from gaitjax.runtime import inputs, mesh
from gaitjax.train import in_round, make_batches, make_sampler, train_keys

PEOPLE, FRAMES = 74, 60  # of CASIA-B's training split; of a sequence (chosen)
ONE = "one batch"
Batches = Iterator[dict[str, jax.Array]]


def run(quick: bool) -> Iterator[Row]:
    """Milliseconds of a step, and ratios to one on a resident batch."""
    mesh.check_device(None)
    small = quick or jax.default_backend() == "cpu"
    count, times = (8, 3) if quick else (20, 5) if small else (60, 5)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        built = open_run(make_config(small, root / "data"), root / "run")
        try:
            yield from rows(built, max(1, cores() // 2), count, times)
        finally:
            built.checkpoints.close()


def make_config(small: bool, root: pathlib.Path) -> dict[str, Any]:
    """Of a run; its set is made where it is opened."""
    if small:
        config = casia_b.get_config("walkers")
        people, frames = config.data.p, 20
    else:
        config = gaitbase_casia_b.get_config()
        people, frames = PEOPLE, FRAMES
    config.data.update(name="walkers", dir=str(root))
    config.data.args = common.section(walkers.make_builder)
    config.data.args.update(num_train=people, num_test=2, frames=frames)
    config.log.tensorboard = False
    return config.to_dict()


def rows(built: Run, workers: int, count: int, times: int) -> Iterator[Row]:
    """Of one run. count: steps that are timed at once."""
    given = feeds(built, workers)
    spare = 1 + max(1, built.data.prefetch) * max(1, workers)
    took = timed(stepping(built), given, spare, count, times)
    name = built.config["method_args"]["backbone"]
    batch = f"{built.data.batch_size} x {built.data.clip.most} frames"
    label = f"{name}, {built.options.precision}, step of {batch}"
    for name, values in took.items():
        yield row(f"{label}: {name}", "ms", [1e3 * value for value in values])
    for name in took:
        if name != ONE:
            more = ratios(took, name, ONE)
            yield row(f"{label}: {name} / {ONE}", "times", more)


def feeds(built: Run, workers: int) -> dict[str, Batches]:
    """Batches on the devices, without end as far as a benchmark goes."""
    sent = fed(built, workers=0, resident=False)
    return {
        ONE: itertools.repeat(next(fed(built, workers=0, resident=False))),
        "threads": sent,
        f"{workers} workers": fed(built, workers=workers, resident=False),
        "resident": fed(built, workers=0, resident=True),
    }


def fed(built: Run, **options: Any) -> Batches:
    """As the training loop gets them. options: of the config's `data`."""
    data = dataclasses.replace(built.data, **options)
    here = dataclasses.replace(built, data=data)
    sampler = make_sampler(here, data.labels, 0)
    stores = inputs.load(data, train_keys(here), here.mesh)
    for step, batch in enumerate(make_batches(here, sampler, data.labels, 0)):
        batch = batch | in_round(step, here.options)
        yield mesh.to_devices(batch, here.mesh) | stores


def stepping(built: Run) -> Callable[[Batches, int], None]:
    """So many steps on the next batches, waited for at the end; going on from those
    before, whatever they were on."""
    state = built.init_fn()

    def steps(batches: Batches, number: int) -> None:
        nonlocal state
        before = None
        for _ in range(number):
            state, metrics = built.step_fn(state, next(batches))
            jax.device_get(before)
            before = metrics
        jax.block_until_ready((state, metrics))

    return steps


def timed(
    steps: Callable[[Batches, int], None],
    given: Mapping[str, Batches],
    spare: int,
    count: int,
    times: int,
) -> dict[str, list[float]]:
    """{name: seconds of a step}, in turns. spare: batches that are thrown away first,
    as many as may lie ready."""
    for batches in given.values():
        steps(batches, 1)  # compiles, and begins the workers
    took: dict[str, list[float]] = {name: [] for name in given}
    for _ in range(times):
        for name, batches in given.items():
            for _ in range(spare):
                next(batches)
            spent = seconds(lambda batches=batches: steps(batches, count))
            took[name].append(spent / count)
    return took
