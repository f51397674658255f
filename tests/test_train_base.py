"""A method on a frozen base, from the base's training to the report."""

import copy
import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import gait3d_cargait, walkers
from gaitjax import evaluate
from gaitjax import train as loop
from gaitjax.errors import GaitError
from gaitjax.run import init_from, open_run, restore_or_init
from gaitjax.runtime import base, checkpoint
from gaitjax.train import train


@pytest.fixture(scope="module")
def made(data_dir, tmp_path_factory):
    """A recipe on a narrow GaitBase, cut down to two steps of that and four of its own;
    where the base is, the config says."""
    frozen = walkers.get_config("tiny")
    config = gait3d_cargait.recipe("walkers", frozen, "tiny").to_dict()
    config["method_args"]["base"]["config"]["train"]["steps"] = 2
    for one in (config, config["method_args"]["base"]["config"]):
        one["data"]["args"]["processes"] = 1
        one["log"]["tensorboard"] = False
        one["eval"]["batch"] = 16
    config["train"]["steps"] = 4
    config["ckpt"]["every"] = 2
    config["optim"]["lr"] = 0.03  # four steps are to be seen
    place = tmp_path_factory.mktemp("cargait")
    config["method_args"]["base"]["workdir"] = str(place / "base")
    return config, place


@pytest.fixture(scope="module")
def finished(made):
    """(config, workdir, state) of a run whose base was not there."""
    config, place = made
    assert not (place / "base").exists()
    state = train(config, place / "run", num_devices=1)
    return config, place / "run", state


@pytest.fixture
def config(finished):
    """To be changed at will; the base is there."""
    return copy.deepcopy(finished[0])


def assert_equal_bits(a, b):
    a, b = jax.device_get((a, b))
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def rows(workdir):
    return json.loads((workdir / "results.json").read_text())["rows"]


def failure(config, workdir):
    with pytest.raises(GaitError) as error:
        train(config, workdir, num_devices=1)
    assert "\n" not in str(error.value)
    return str(error.value)


def saved(workdir, step, config):
    opened = open_run(config, workdir, num_devices=1)
    return opened.checkpoints.restore(step, opened.like)


def test_a_missing_base_comes_first(finished):
    _, workdir, state = finished
    place = workdir.parent / "base"
    assert json.loads((place / "finished").read_text())
    assert sorted(path.name for path in (place / "checkpoints").iterdir()) == ["2"]
    about = json.loads((place / "bank/about.json").read_text())
    assert about["weights"] == base.digest(state.model_state["bases"]["base"])
    stages = [row["stage"] for row in rows(workdir)]
    assert set(stages) == {"initial", "cargait"}
    assert stages.count("initial") == stages.count("cargait") > 0
    page = (workdir / "report.html").read_text()
    assert "initial, then cargait" in page


def test_the_initial_stage_is_the_base_s_own_evaluation(finished):
    _, workdir, _ = finished
    initial = [row for row in rows(workdir) if row["stage"] == "initial"]
    own = rows(workdir.parent / "base")
    own = [row for row in own if row["distance"] == initial[0]["distance"]]
    assert initial == own


def test_resumed_run_equals_an_uninterrupted_one_on_the_same_base(
    finished, config, tmp_path, capsys
):
    _, workdir, state = finished
    bank = workdir.parent / "base/bank/about.json"
    made = bank.stat().st_mtime_ns
    shutil.copytree(workdir, tmp_path / "again")
    shutil.rmtree(tmp_path / "again/checkpoints/4")
    for name in ("finished", "results.json"):
        (tmp_path / "again" / name).unlink()
    again = train(config, tmp_path / "again", num_devices=1)
    out = capsys.readouterr().out
    assert "at step 2 of 4" in out and "comes first" not in out
    assert bank.stat().st_mtime_ns == made
    assert_equal_bits(again, state)
    both = [saved(one, 4, config) for one in (tmp_path / "again", workdir)]
    assert_equal_bits(*both)
    assert rows(tmp_path / "again") == rows(workdir)
    start = saved(workdir, 2, config).params
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), start, again.params)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_the_base_is_frozen(finished, config):
    """Its averaged parameters, without classifier; no optimiser knows of them."""
    _, workdir, state = finished
    opened = checkpoint.open_checkpoints(workdir.parent / "base")
    sharding = jax.tree.leaves(state.params)[0].sharding
    theirs = opened.saved_model(2, sharding)
    opened.close()
    for kept in (state, saved(workdir, 2, config), saved(workdir, 4, config)):
        ours = kept.model_state["bases"]["base"]
        want = {"params": theirs["ema"], "model_state": theirs["model_state"]}
        names = checkpoint.names(ours)
        assert names and not any("necks" in name for name in names)
        wanted = dict(zip(checkpoint.names(want), jax.tree.leaves(want), strict=True))
        for name, leaf in zip(names, jax.tree.leaves(ours), strict=True):
            np.testing.assert_array_equal(leaf, wanted[name])
    sizes = {np.shape(leaf) for leaf in jax.tree.leaves(state.params)}
    assert {np.shape(x) for x in jax.tree.leaves(state.opt_state)} <= {*sizes, ()}
    assert sorted(state.params) == ["attention", "classifier"]


def test_what_is_shown_is_the_best(finished, config):
    """Results are those of `ckpt.best`, the lowest, whatever came after it."""
    _, workdir, _ = finished
    opened = open_run(config, workdir, num_devices=1).checkpoints
    scores = {step: opened.score(step) for step in (2, 4)}
    assert opened.best_step() == min(scores, key=scores.get)
    about = json.loads((workdir / "results.json").read_text())["run"]
    assert about["step"] == opened.best_step()


def test_an_export_has_the_same_results(finished, config, tmp_path):
    _, workdir, _ = finished
    shutil.copytree(workdir, tmp_path / "run")
    evaluate.export_run(config, tmp_path / "run", num_devices=1)
    export = tmp_path / "run/export"
    # What it holds is enough, but for what says how the base is built.
    config["method_args"]["base"]["workdir"] = str(tmp_path / "gone")
    path = export / "config.json"
    about = json.loads(path.read_text())
    about["method_args"]["base"]["workdir"] = str(tmp_path / "gone")
    path.write_text(json.dumps(about))
    evaluate.evaluate_run(config, export, num_devices=1)
    assert rows(export) == rows(workdir)
    held = checkpoint.open_checkpoints(export)
    names = checkpoint.names(held.saved_model(held.latest(), None))
    held.close()
    assert any(name.startswith("model_state/bases/base/params") for name in names)
    assert not any("classifier" in name for name in names)


def test_the_lowest_loss_is_kept(config, tmp_path):
    """Of three checkpoints of which the last one alone would stay."""
    config["ckpt"]["keep"] = 1
    run = open_run(config, tmp_path, num_devices=1)
    state = loop.TrainState(
        step=jnp.int32(0), params={"x": jnp.ones(2)}, model_state={}, opt_state={}
    )
    for step, value in ((1, 0.5), (2, 0.25), (3, 0.75)):
        one = dataclasses.replace(state, step=jnp.int32(step))
        run.checkpoints.save(step, one, {}, {"val/ranking/loss": value})
    run.checkpoints.wait()
    assert run.checkpoints.best_step() == 2
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["2", "3"]
    run.checkpoints.close()


def test_other_weights_do_not_bring_their_base(finished, config, tmp_path):
    """train.init_from takes the re-ranker of a run, and this config's base."""
    _, workdir, state = finished
    run = open_run(config, tmp_path, num_devices=1)
    fresh, _ = restore_or_init(run)
    other = jax.tree.map(lambda x: x + 1, fresh.model_state)
    fresh = fresh.replace(model_state=other)
    begun = init_from(run, fresh, str(workdir))
    assert_equal_bits(begun.params, state.params)
    assert_equal_bits(begun.model_state, other)


def test_a_bank_of_another_base_is_refused(finished, config, tmp_path):
    _, workdir, _ = finished
    shutil.copytree(workdir.parent / "base", tmp_path / "base")
    config["method_args"]["base"]["workdir"] = str(tmp_path / "base")
    path = tmp_path / "base/bank/about.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "weights": "0123456789abcdef"}))
    line = failure(config, tmp_path / "run")
    assert "is of another weights" in line and str(tmp_path / "base/bank") in line


def test_mistakes_on_the_way_are_one_line(finished, config, tmp_path):
    config["ckpt"]["best"] = "val/ranking/los"
    assert "val/ranking/loss" in failure(config, tmp_path / "best")
    config["ckpt"]["best"] = "val/ranking/loss"
    config["data"]["cut"] = ()
    line = failure(config, tmp_path / "cut")
    assert "was trained with data.cut" in line and "method_args.base" in line
    config["data"]["cut"] = ("sils", "heatmaps")
    config["method_args"]["base"]["workdirs"] = "x"
    assert "method_args.base.workdirs" in failure(config, tmp_path / "key")
    del config["method_args"]["base"]["workdirs"]
    config["method_args"]["base"] = {}
    assert "set method_args.base.workdir" in failure(config, tmp_path / "none")


def test_a_missing_base_of_a_real_set_is_one_line(config, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "train", lambda *args: pytest.fail("it was trained"))
    argument = config["method_args"]["base"]
    argument["workdir"] = str(tmp_path / "base")
    loop.train_bases({**config, "data": {**config["data"], "name": "gait3d"}})
    run = open_run(config, tmp_path / "run", num_devices=1)
    with pytest.raises(GaitError, match="holds no checkpoints; train it") as error:
        restore_or_init(run)
    assert "\n" not in str(error.value)
    del argument["config"]
    with pytest.raises(GaitError, match="holds no run and no weights") as error:
        open_run(config, tmp_path / "other", num_devices=1)
    assert "\n" not in str(error.value)


def test_when_a_base_is_trained(config, tmp_path):
    argument = config["method_args"]["base"]
    assert base.is_there(argument) and not base.must_train(argument)
    assert not base.must_train({**argument, "config": None})
    folder = tmp_path / "base"
    argument["workdir"] = str(folder)
    assert base.must_train(argument)  # nothing there
    (folder / "checkpoints").mkdir(parents=True)
    assert base.must_train(argument)  # it stopped before its first word
    path = folder / "config.json"
    path.write_text(json.dumps(argument["config"]))
    assert base.must_train(argument)  # unfinished
    other = {**argument["config"], "method": "other"}
    path.write_text(json.dumps(other))
    assert not base.must_train(argument)  # another run: it is taken as it is
    path.write_text(json.dumps({**argument["config"], "weights": {}}))
    assert not base.must_train(argument)
    path.write_text(json.dumps(argument["config"]))
    (folder / "finished").touch()
    assert not base.must_train(argument)
    path.write_text("{")
    with pytest.raises(GaitError, match=r"cannot read .*config\.json"):
        base.must_train(argument)


def test_home_is_spelt_out():
    folder = base.base_folder({"workdir": "~/runs/base"})
    assert folder.is_absolute() and "~" not in str(folder)
    assert base.base_folder({"workdir": None}) is None


def test_what_a_run_starts_from_comes_first(monkeypatch, tmp_path):
    """Before the bases; and not at all on real data, or where it is there."""
    config = gait3d_cargait.get_config("tiny").to_dict()
    config["method_args"]["base"]["workdir"] = str(tmp_path / "base")
    start = walkers.get_config("tiny").to_dict()
    config["train"].update(init_from=str(tmp_path / "start"), init_config=start)
    trained = []
    monkeypatch.setattr(loop, "train", lambda *args, **_: trained.append(args))
    loop.train_bases(config)
    base_config = config["method_args"]["base"]["config"]
    want = [(start, str(tmp_path / "start")), (base_config, str(tmp_path / "base"))]
    assert trained == want
    (tmp_path / "start" / "checkpoints").mkdir(parents=True)
    (tmp_path / "start" / "config.json").write_text(json.dumps(start))
    (tmp_path / "start" / "finished").touch()
    loop.train_bases(config)
    assert trained == [*want, want[1]]
    config["data"]["name"] = "gait3d"
    loop.train_bases(config)
    assert len(trained) == 3
