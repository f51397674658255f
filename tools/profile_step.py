"""Where a training step's time goes: a trace, and a table of the longest kernels.

usage: python tools/profile_step.py --config configs/walkers.py [--steps 5] [--top 25]
           [--out profile] [--config.data.p=8 ...]

The table is printed and written to OUT/kernels.txt; the trace beside it opens in
https://ui.perfetto.dev (OUT/plugins/profile/*/*.trace.json.gz) or in XProf. The state
is fresh, the batch is the first one, and stays on the device. On a GPU the step is
compiled without command buffers, whose kernels a trace does not name.

(Not called profile.py: that name in tools/ would hide Python's own module from every
other tool.)
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from gaitjax.bench import profile
from gaitjax.bench.network import stepping
from gaitjax.errors import GaitError
from gaitjax.report.tables import aligned
from gaitjax.run import Run, open_run
from gaitjax.runtime import inputs, mesh
from gaitjax.train import in_round, make_batches, make_sampler, train_keys

CONFIG = config_flags.DEFINE_config_file("config", "configs/walkers.py")
STEPS = flags.DEFINE_integer("steps", 5, "How many steps are traced.", lower_bound=1)
TOP = flags.DEFINE_integer("top", 25, "How many kernels are shown.", lower_bound=1)
OUT = flags.DEFINE_string("out", "profile", "The folder of the trace.")


def main(argv: list[str]) -> None:
    """Writes the trace, prints the tables."""
    logging.set_verbosity(logging.ERROR)  # Orbax tells what it does
    mesh.check_device(None)
    with tempfile.TemporaryDirectory() as workdir:
        run = open_run(CONFIG.value.to_dict(), workdir)
        if run.method.prepare:
            raise GaitError("a re-ranker trains on a bank; profile its base")
        batch = first_batch(run)
        step = run.step_fn.lower(run.like, batch).compile(profile.options())
        profile.record(stepping(step, run.init_fn(), batch), STEPS.value, OUT.value)
        run.checkpoints.close()
    found = profile.kernels(OUT.value, step, STEPS.value)
    text = tables(found, TOP.value)
    print(text)
    (pathlib.Path(OUT.value) / "kernels.txt").write_text(text + "\n")


def first_batch(run: Run) -> dict[str, jax.Array]:
    """On the devices."""
    sampler = make_sampler(run, run.data.labels, 0)
    batches = make_batches(run, sampler, run.data.labels, 0)
    batch = next(batches) | in_round(0, run.options)
    stores = inputs.load(run.data, train_keys(run), run.mesh)
    return mesh.to_devices(batch, run.mesh) | stores


def tables(found: list[profile.Kernel], top: int) -> str:
    """The longest kernels, and the layers that they add up to."""
    total = sum(kernel.ms for kernel in found)
    rows = [
        [
            kernel.name[:40],
            f"{kernel.calls:.0f}",
            *_shares(kernel.ms, total),
            kernel.place,
        ]
        for kernel in found[:top]
    ]
    layers = [[name, *_shares(ms, total)] for name, ms in profile.by_layer(found)[:top]]
    return "\n".join(
        [
            f"{total:.1f} ms of kernels per step, over all threads",
            aligned([["kernel", "calls", "ms", "%", "of"], *rows]),
            "",
            aligned([["layer", "ms", "%"], *layers]),
        ]
    )


def _shares(ms: float, total: float) -> list[str]:
    return [f"{ms:.2f}", f"{100 * ms / total:.1f}"]


if __name__ == "__main__":
    try:
        app.run(main)
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
