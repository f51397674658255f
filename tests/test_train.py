"""The loop: resume, devices, signals, bad losses, rounds."""

import dataclasses
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax import evaluate
from gaitjax import run as runs
from gaitjax import train as loop
from gaitjax.data import pipeline
from gaitjax.errors import GaitError
from gaitjax.methods import api
from gaitjax.run import restore_or_init
from gaitjax.runtime import mesh
from gaitjax.runtime.metrics_log import read
from gaitjax.train import make_batches, make_sampler

# One device unless a test is about several: two cores run four of them slowly.
train = functools.partial(loop.train, num_devices=1)
open_run = functools.partial(runs.open_run, num_devices=1)


def assert_equal_bits(a, b):
    a, b = jax.device_get((a, b))
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def signal_at(monkeypatch, number, stop_at):
    """Sends a signal to this process when it is about to make step `stop_at`."""
    original, seen = mesh.to_devices, []

    def to_devices(batch, *args):
        if "label" in batch:
            seen.append(1)
            if len(seen) == stop_at:
                os.kill(os.getpid(), number)
        return original(batch, *args)

    monkeypatch.setattr(mesh, "to_devices", to_devices)


@pytest.fixture(scope="module")
def finished(_tiny_config, tmp_path_factory):
    """(config, workdir, state) of a run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("finished")
    return _tiny_config, workdir, train(_tiny_config, workdir)


def test_run_leaves_everything_it_promises(finished):
    _, workdir, state = finished
    assert int(state.step) == 8
    for name in ("config.json", "metrics.jsonl", "results.csv", "report.html"):
        assert (workdir / name).stat().st_size > 0
    rows = json.loads((workdir / "results.json").read_text())["rows"]
    assert {row["condition"] for row in rows} == {"NM", "BG", "CL"}
    assert all(row["probe"] == row["gallery"] == "sils" for row in rows)
    assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == ["6", "8"]
    lines = read(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 8]
    keys = {"loss", "lr", "grad_norm", "frames_per_s", "data_wait", "peak_memory_gib"}
    assert keys <= lines[0].keys()


def test_step_is_traced_once(finished):
    _, workdir, _ = finished
    lines = read(workdir / "metrics.jsonl")[:-1]
    assert [line["compiles"] for line in lines] == [1] * 4


def test_typed_again_it_says_that_it_is_done(finished, capsys):
    config, workdir, state = finished
    before = (workdir / "results.json").read_bytes()
    again = train(config, workdir)
    assert f"done at step 8: {workdir}" in capsys.readouterr().out
    assert (workdir / "results.json").read_bytes() == before
    assert_equal_bits(again, state)


def test_sigterm_saves_and_resuming_is_exact(finished, tmp_path, monkeypatch):
    config, _, state = finished
    with monkeypatch.context() as patch:
        signal_at(patch, signal.SIGTERM, 5)  # between the checkpoints of 3 and 6
        with pytest.raises(SystemExit) as leaving:
            train(config, tmp_path)
    assert leaving.value.code == 0
    assert (tmp_path / "checkpoints" / "5").is_dir()
    assert_equal_bits(train(config, tmp_path), state)
    steps = [line["step"] for line in read(tmp_path / "metrics.jsonl")]
    assert steps == [2, 4, 6, 8, 8]


def kill_at_random(config_file, workdir, kills, seed):
    """Runs the command line, killing it at random moments; then to the end."""
    rng = random.Random(seed)
    command = [sys.executable, "-m", "gaitjax.main", "--config", config_file]
    command += ["--workdir", str(workdir), "--config.log.tensorboard=False"]
    # Killed while starting, stepping, saving or evaluating: the moments spread over
    # a whole run, which takes about as long as the first one did.
    begin = time.monotonic()
    for _ in range(kills):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 1.0) * 12)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


@pytest.mark.slow
def test_sigkill_at_random_moments_changes_nothing(tmp_path):
    """One device, as users have it: this suite's four give other roundings."""
    for name, kills in (("alone", 0), ("killed", 2)):
        kill_at_random("configs/walkers.py:tiny", tmp_path / name, kills, seed=3)
    config = json.loads((tmp_path / "alone" / "config.json").read_text())
    states = [
        restore_or_init(open_run(config, tmp_path / name))[0]
        for name in ("alone", "killed")
    ]
    assert int(states[0].step) == 8
    assert_equal_bits(*states)
    results = [tmp_path / n / "results.json" for n in ("alone", "killed")]
    assert results[0].read_bytes() == results[1].read_bytes()


def test_one_device_and_four_give_the_same_losses(tiny_config, tmp_path):
    """From the same state, step after step: losses, statistics, gradient norms.

    Two runs left to themselves part sooner or later: a rounding error that takes an
    activation across a ReLU's corner changes gradients by percents.
    """
    one = open_run(tiny_config, tmp_path)
    four = open_run(tiny_config, tmp_path, num_devices=4)
    state = one.init_fn()
    labels = one.data.labels
    batches = make_batches(one, make_sampler(one, labels, 0), labels, 0)
    for _ in range(4):
        batch = next(batches) | loop.in_round(0, one.options)
        same = jax.device_put(jax.device_get(state), mesh.replicated(four.mesh))
        sharded = mesh.to_devices(batch, four.mesh)
        assert len(sharded["sils"].sharding.device_set) == 4
        after, metrics = four.step_fn(same, sharded)
        state, expected = one.step_fn(state, mesh.to_devices(batch, one.mesh))
        for name in ("loss", "triplet/loss", "ce/loss", "triplet/mean_dist"):
            np.testing.assert_allclose(metrics[name], expected[name], rtol=2e-6)
        np.testing.assert_allclose(metrics["grad_norm"], expected["grad_norm"], 2e-3)
        errors = jax.tree.map(
            golden.relative_error, after.model_state, state.model_state
        )
        assert max(jax.tree.leaves(errors)) < 1e-5


def test_resident_pictures_train_alike(tiny_config, tmp_path):
    """The same clips in another program: equal but for roundings."""
    tiny_config["train"]["steps"], tiny_config["log"]["every"] = 2, 1
    plain = open_run(tiny_config, tmp_path / "sent")
    state, labels = plain.init_fn(), plain.data.labels
    batches = make_batches(plain, make_sampler(plain, labels, 0), labels, 0)
    batch = next(batches) | loop.in_round(0, plain.options)
    _, want = plain.step_fn(state, mesh.to_devices(batch, plain.mesh))
    tiny_config["data"]["resident"] = True
    train(tiny_config, tmp_path / "held")
    line = read(tmp_path / "held" / "metrics.jsonl")[0]
    for name in ("loss", "triplet/loss", "ce/loss", "triplet/mean_dist"):
        assert line[name] == pytest.approx(float(want[name]), rel=1e-5)


def test_non_finite_loss_stops_and_names_the_term(tiny_config, tmp_path):
    tiny_config["method"] = "helpers.nan_at_five"
    with pytest.raises(GaitError) as stopped:
        train(tiny_config, tmp_path)
    message = str(stopped.value)
    assert message.startswith("step 5: triplet/loss is nan; stopped, the newest")
    assert "checkpoint is of step 3" in message
    names = message.rpartition("batch: ")[2].split(", ")
    assert len(names) == 8 and all(name.count("-") == 3 for name in names)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["3"]


def test_rounds_relabel_and_resume_exactly(tiny_config, tmp_path, monkeypatch):
    """Stopped inside a round, a run with pseudo-labels ends with the same bits."""
    tiny_config["method"] = "helpers.relabelling"
    tiny_config["train"]["refresh_every"] = 3
    state = train(tiny_config, tmp_path / "alone")
    run = open_run(tiny_config, tmp_path / "alone")
    side = run.checkpoints.side(8)
    assert side["round"] == 2 and side["labels"].count(-1) == 2
    with monkeypatch.context() as patch:
        signal_at(patch, signal.SIGTERM, 4)
        with pytest.raises(SystemExit):
            train(tiny_config, tmp_path / "stopped")
    assert_equal_bits(train(tiny_config, tmp_path / "stopped"), state)


def test_rounds_of_two_lengths():
    options = runs.TrainOptions(steps=20, refresh_every=3, refresh_later=(7, 5))
    places = [options.round_at(step) for step in range(20)]
    rounds = [0] * 3 + [1] * 3 + [2] + [3] * 5 + [4] * 5 + [5] * 3
    assert [round_ for round_, _ in places] == rounds
    shares = [share for _, share in places]
    assert shares[:8] == [0, 1 / 3, 2 / 3, 0, 1 / 3, 2 / 3, 0, 0] and shares[8] == 0.2
    assert runs.TrainOptions(steps=20).round_at(5) == (0, 0.25)
    for wrong in (
        {"refresh_later": (7, 5)},
        {"refresh_every": 3, "refresh_later": (7,)},
    ):
        with pytest.raises(GaitError, match=r"refresh_later wants \(step, every\)"):
            runs.TrainOptions(steps=20, **wrong)


def test_source_chooses_the_records(tiny_config, tmp_path):
    tiny_config["method"] = "helpers.sourced"
    tiny_config["train"]["steps"] = 2
    tiny_config["data"]["workers"] = 1  # a method's source travels to workers
    train(tiny_config, tmp_path)
    run = open_run(tiny_config, tmp_path)
    sampler = make_sampler(run, run.data.labels, 0)
    batch = next(make_batches(run, sampler, run.data.labels, 1))
    assert batch["index"].tolist() == list(range(8, 16))


def test_damaged_shard_stops_training_with_its_name(tiny_config, tmp_path):
    data = pipeline.make_data(**tiny_config["data"])
    name, version = pathlib.Path(data.train.folder).parts[-2:]
    folder = tmp_path / "data" / "walkers" / name
    shutil.copytree(data.train.folder, folder / version)
    shard = folder / version / next(iter(data.train.shards))
    content = bytearray(shard.read_bytes())
    content[4096::61] = bytes(len(content[4096::61]))
    shard.write_bytes(content)
    tiny_config["data"]["dir"] = str(tmp_path / "data")
    with pytest.raises(GaitError, match=f"cannot read .*{shard.name}.*prepare"):
        train(tiny_config, tmp_path / "run")


@pytest.mark.slow
def test_average_of_the_weights_and_best_checkpoint(tiny_config, tmp_path, capsys):
    tiny_config["data"].update(val=0.34, p=3)
    tiny_config["train"].update(ema=0.5, eval_every=4)
    tiny_config["ckpt"].update(keep=1, best="NM/rank-1", every=2)
    state = train(tiny_config, tmp_path)
    apart = jax.tree.map(lambda a, b: float(abs(a - b).max()), state.params, state.ema)
    assert max(jax.tree.leaves(apart)) > 0
    lines = [x for x in read(tmp_path / "metrics.jsonl") if "NM/rank-1" in x]
    assert [line["step"] for line in lines] == [4, 8]
    # A new process still knows which one is best, and evaluates it.
    again = open_run(tiny_config, tmp_path)
    best = again.checkpoints.best_step()
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir()}
    assert kept == {best, 8}
    score = again.checkpoints.score(best)
    assert all(score >= again.checkpoints.score(step) for step in kept)
    tiny_config["eval"].update(split="val", checkpoint="best")
    evaluate.evaluate_run(tiny_config, tmp_path, num_devices=1)
    rows = json.loads((tmp_path / "results_val.json").read_text())["rows"]
    assert rows[0]["value"] == pytest.approx(score)


def test_set_that_changed_since_is_refused(finished, tmp_path):
    config, workdir, _ = finished
    shutil.copytree(workdir, tmp_path / "run")
    run = open_run(config, tmp_path / "run")
    index = dataclasses.replace(run.data.train.index, take=run.data.train.index.view)
    assert index.digest == run.data.train.index.digest
    shorter = index.select(np.arange(len(index) - 1))
    data = dataclasses.replace(
        run.data, train=dataclasses.replace(run.data.train, index=shorter)
    )
    with pytest.raises(GaitError, match="the training set is not the one that step 8"):
        restore_or_init(dataclasses.replace(run, data=data))


def test_init_from_another_run_keeps_what_fits(finished, tiny_config, tmp_path, capsys):
    _, source, state = finished
    tiny_config["data"]["args"]["num_train"] = 5
    tiny_config["train"].update(steps=1, init_from=str(source))
    run = open_run(tiny_config, tmp_path)
    begun, _ = restore_or_init(run)
    assert "necks/kernel (16x8x6 there, 16x8x5 here)" in capsys.readouterr().out
    assert_equal_bits(begun.params["backbone"], state.params["backbone"])
    assert_equal_bits(
        begun.model_state["batch_stats"], state.model_state["batch_stats"]
    )
    assert int(begun.step) == 0


class Ragged:
    """The test split with sequences of unequal lengths."""

    def __init__(self, split):
        self.split = split
        lengths = 1 + np.arange(len(split)) % 8
        self.index = dataclasses.replace(
            split.index, num_frames=lengths.astype(np.int32)
        )

    def with_keys(self, keys):
        self.split = self.split.with_keys(keys)
        return self

    def __len__(self):
        return len(self.split)

    def __getitem__(self, row):
        length = self.index.num_frames[row]
        return {key: x[:length] for key, x in self.split[row].items()}


def test_batch_size_and_padding_leave_embeddings_unchanged(finished, tmp_path):
    config, workdir, _ = finished
    rows = np.arange(3, 60)

    def embed(devices, **changes):
        run = open_run(config, workdir, num_devices=devices)
        options = dataclasses.replace(run.eval_options, **changes)
        run = dataclasses.replace(run, eval_options=options)
        state, _ = restore_or_init(run)
        return evaluate.embed(run, state, Ragged(run.data.test), rows)["sils"]

    alone = embed(1, batch=1, buckets=8)  # no padding at all
    scale = np.abs(alone).max()
    assert np.abs(alone[0] - alone[1]).max() > 1e-2 * scale
    for devices, batch, buckets in ((1, 64, 1), (1, 7, 3), (4, 16, 2)):
        other = embed(devices, batch=batch, buckets=buckets)
        assert np.abs(other - alone).max() < 1e-5 * scale


def test_bfloat16_network_embeds_like_the_float32_one(finished):
    config, workdir, _ = finished
    run = open_run(config, workdir)
    state, _ = restore_or_init(run)
    rows = np.arange(20)
    want = evaluate.embed(run, state, run.data.test, rows)["sils"]
    info = api.Info(len(run.data.names), run.data.shapes(("sils",)))
    half = api.make("supervised", info, config["method_args"], jnp.bfloat16)
    run = dataclasses.replace(run, embed_fn=jax.jit(half.embed))
    got = evaluate.embed(run, state, run.data.test, rows)["sils"]
    assert got.dtype == np.float32 and np.abs(got - want).max() > 0
    cosine = (got * want).sum(-1) / np.linalg.norm(got, axis=-1)
    assert (cosine / np.linalg.norm(want, axis=-1)).mean() > 0.999


@pytest.mark.slow
def test_bfloat16_trains(tiny_config, tmp_path):
    tiny_config["train"].update(precision="bf16", steps=2)
    state = train(tiny_config, tmp_path)
    leaves = jax.tree.leaves((state.params, state.model_state, state.opt_state))
    assert {str(x.dtype) for x in leaves} == {"float32", "int32"}
    assert read(tmp_path / "metrics.jsonl")[0]["compiles"] == 1


def test_path_of_the_suite_is_the_repository():
    """The subprocesses above run `configs/...` relative to the current folder."""
    assert pathlib.Path("configs/walkers.py").exists()
