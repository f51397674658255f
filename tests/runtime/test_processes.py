"""Two real processes over loopback, two devices each, against one with four."""

import copy
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import golden
import jax
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.evaluate import evaluate_run
from gaitjax.run import open_run, restore_or_init
from gaitjax.runtime import mesh
from gaitjax.runtime.metrics_log import read
from gaitjax.train import train

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 6
OPTIONS = {"train.steps": STEPS, "ckpt.every": 100, "log.every": 1}
# Not AdamW, which makes full steps of gradients that are only rounding. And small
# steps: two runs part where rounding takes an activation across a ReLU's corner. And a
# margin that leaves no triplet at zero: their mean jumps where one comes to count.
OPTIONS |= {"log.tensorboard": False, "optim.name": "sgd", "optim.lr": 0.001}
OPTIONS |= {"method_args.margin": 20.0}


def together(workdir, signals):
    """Two processes of one run, of which the second one gets SIGTERM in the middle of
    step `signals` (0: none does); [(exit code, stdout, stderr)] of both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--config", f"{ROOT}/configs/walkers.py:tiny", "--workdir", str(workdir)]
    flags += [f"--config.{key}={value}" for key, value in OPTIONS.items()]
    flags += ["--config.data.args.processes=1", "--num_processes=2"]
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "PYTHONPATH": str(ROOT),
    }
    both = [
        subprocess.Popen(
            [sys.executable, ROOT / "tests/helpers/one_of_several.py", str(step)]
            + [*flags, f"--coordinator=127.0.0.1:{port}", f"--process_id={number}"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, step in enumerate((0, signals))
    ]
    try:
        said = [one.communicate(timeout=900) for one in both]
    finally:
        for one in both:
            one.kill()
            one.wait()
    return [(one.returncode, *words) for one, words in zip(both, said, strict=True)]


@pytest.fixture(scope="module")
def config(_tiny_config):
    config = copy.deepcopy(_tiny_config)
    for key, value in OPTIONS.items():
        section, _, name = key.partition(".")
        config[section][name] = value
    return config


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    """(workdir, last state) of one process."""
    workdir = tmp_path_factory.mktemp("alone")
    return workdir, train(config, workdir)


@pytest.fixture(scope="module")
def stopped(alone, tmp_path_factory):
    """(workdir, what the two said), after a signal to one of them in its third step."""
    workdir = tmp_path_factory.mktemp("stopped")
    return workdir, together(workdir, 3)


@pytest.fixture(scope="module")
def resumed(stopped, tmp_path_factory):
    """The same where two others have gone on to the end."""
    workdir = tmp_path_factory.mktemp("resumed") / "run"
    shutil.copytree(stopped[0], workdir)
    return workdir, together(workdir, 0)


def last_state(config, workdir):
    return restore_or_init(open_run(config, workdir))[0]


def assert_close(state, other):
    """Of weights, each array relative to its largest number."""
    for name in ("params", "ema", "model_state"):
        pair = (jax.device_get(getattr(one, name)) for one in (state, other))
        errors = jax.tree.leaves(jax.tree.map(golden.relative_error, *pair))
        assert max(errors) < 1e-3, name


def test_both_leave_at_the_same_step(stopped):
    workdir, ((code, out, err), (other_code, other_out, other_err)) = stopped
    assert (code, other_code) == (0, 0), err + other_err
    (folder,) = (workdir / "checkpoints").iterdir()
    assert 3 <= int(folder.name) < STEPS
    assert f"stopped by a signal at step {folder.name};" in out
    # One of them talks; JAX's transport has its own words in both.
    assert "stopped" not in other_out and "training" not in other_out + other_err
    assert [line["step"] for line in read(workdir / "metrics.jsonl")] == [
        *range(1, int(folder.name) + 1)
    ]


def test_two_go_on_and_equal_one(config, alone, resumed):
    workdir, ((code, out, err), (other_code, other_out, other_err)) = resumed
    assert (code, other_code) == (0, 0), err + other_err
    assert "resuming" in out and "results.json" in out
    assert "resuming" not in other_out and "results" not in other_out
    lines, wanted = (read(path / "metrics.jsonl") for path in (workdir, alone[0]))
    assert [line["step"] for line in lines] == [*range(1, STEPS + 1), STEPS]
    for key in ("loss", "triplet/loss", "ce/loss"):
        pair = ([line[key] for line in both[:STEPS]] for both in (lines, wanted))
        np.testing.assert_allclose(*pair, rtol=1e-4)
    assert_close(last_state(config, workdir), alone[1])


def test_two_evaluate_as_one_does(config, resumed):
    found = json.loads((resumed[0] / "results.json").read_text())
    evaluate_run(config, resumed[0])
    again = json.loads((resumed[0] / "results.json").read_text())
    assert found["rows"] == again["rows"] and found["cmc"] == again["cmc"]
    assert found["run"]["environment"]["devices"] == "4 x cpu (cpu), 2 processes"
    assert again["run"]["environment"]["devices"] == "4 x cpu (cpu)"


def test_one_goes_on_where_two_were_stopped(config, alone, stopped, tmp_path):
    shutil.copytree(stopped[0], tmp_path / "run")
    state = train(config, tmp_path / "run")
    assert int(state.step) == STEPS
    assert_close(state, alone[1])


def test_half_of_the_flags():
    with pytest.raises(GaitError, match="go together: give all"):
        mesh.join_processes("localhost:1234", None, 0)
