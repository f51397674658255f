"""What is saved is what was there, even while training goes on."""

import gc
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.run import open_run
from gaitjax.runtime import mesh
from gaitjax.train import in_round, make_batches, make_sampler, save


@pytest.fixture
def run(tiny_config, tmp_path):
    return open_run(tiny_config, tmp_path, num_devices=1)


def test_steps_that_follow_do_not_touch_a_save(run):
    """The step donates its state, while the save of it is still being written."""
    state, labels = run.init_fn(), run.data.labels
    batches = make_batches(run, make_sampler(run, labels, 0), labels, 0)
    batch = mesh.to_devices(next(batches) | in_round(0, run.options), run.mesh)
    wanted = {}
    for step in range(6):
        if step % 2 == 0:
            wanted[step] = jax.tree.map(np.array, jax.device_get(state))
            save(run, state, labels, 0)
        state, _ = run.step_fn(state, batch)
    run.checkpoints.close()
    again = open_run(run.config, run.workdir, num_devices=1).checkpoints
    for step in (2, 4):  # the last two are kept
        restored = jax.device_get(again.restore(step, run.like))
        jax.tree.map(np.testing.assert_array_equal, restored, wanted[step])


def test_a_save_that_did_not_come_through_is_not_called_safe(run, monkeypatch):
    """Orbax counts a step from when it is handed over, not from when it is written."""
    manager, state = run.checkpoints._manager, run.init_fn()
    for step in (3, 6):
        save(run, state.replace(step=jnp.int32(step)), run.data.labels, 0)
    manager.wait_until_finished()
    shutil.rmtree(run.workdir / "checkpoints" / "6")

    def fail():
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(manager, "wait_until_finished", fail)
        with pytest.raises(GaitError, match="No space left on device; step 3 is safe"):
            run.checkpoints.wait()
    run.checkpoints.close()


# Orbax leaves coroutines behind when a read fails; they are collected here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_checkpoint_is_an_error_with_its_place(run):
    state = run.init_fn()
    save(run, state, run.data.labels, 0)
    run.checkpoints.close()
    for path in (run.workdir / "checkpoints" / "0" / "model").rglob("*"):
        if path.is_file() and "metadata" not in path.name.lower():
            path.write_bytes(b"")
    again = open_run(run.config, run.workdir, num_devices=1).checkpoints
    with pytest.raises(GaitError, match=r"cannot read .*checkpoints/0: .*delete it"):
        again.restore_model(0, run.like)
    del again
    gc.collect()
