"""--mode export: a folder that gives the run's embeddings, and no more than that."""

import json

import jax
import numpy as np
import pytest

from gaitjax import evaluate
from gaitjax.errors import GaitError
from gaitjax.interop import convert
from gaitjax.run import open_run, restore_model, restore_or_init
from gaitjax.runtime import checkpoint, weights
from gaitjax.train import train


@pytest.fixture(scope="module")
def trained(_tiny_config, tmp_path_factory):
    """(config, workdir) of a short run with averaged parameters, exported."""
    config = {**_tiny_config, "train": {**_tiny_config["train"], "steps": 3}}
    workdir = tmp_path_factory.mktemp("run") / "run"
    train(config, workdir, num_devices=1)
    evaluate.export_run(config, workdir, num_devices=1)
    return config, workdir


def embeddings(config, workdir):
    evaluate.extract_run(config, workdir, num_devices=1)
    with np.load(workdir / "embeddings_test.npz") as found:
        return found["embedding_sils"]


def test_exported_embeddings_equal_the_run_s(trained):
    config, workdir = trained
    want = embeddings(config, workdir)
    assert np.ptp(want, axis=0).max() > 0.01  # sequences differ
    np.testing.assert_array_equal(embeddings(config, workdir / "export"), want)


def test_it_holds_averaged_weights_without_classifier_or_optimiser(trained):
    config, workdir = trained
    run = open_run(config, workdir, create=False, num_devices=1)
    state = restore_model(run)
    exported = open_run(config, workdir / "export", create=False, num_devices=1)
    step = exported.checkpoints.latest()
    assert step == 3
    sharding = jax.tree.leaves(run.like.params)[0].sharding
    saved = exported.checkpoints.saved_model(step, sharding)
    assert set(saved) == {"params", "model_state"}
    assert set(state.params) - set(saved["params"]) == {"necks"}
    np.testing.assert_array_equal(
        saved["params"]["fcs"]["kernel"], state.ema["fcs"]["kernel"]
    )
    items = {path.name for path in (workdir / "export/checkpoints/3").iterdir()}
    assert items >= {"model", "side"} and "optim" not in items


def test_config_json_says_what_it_is(trained):
    config, workdir = trained
    about = json.loads((workdir / "export/config.json").read_text())
    assert about["weights"] == {
        "step": 3,
        "shapes": {"sils": [64, 44]},
        "num_classes": 6,
        "source": "run run, step 3",
    }
    assert about["method"] == config["method"]
    assert about["method_args"]["backbone_args"]["features"] == 8


def test_exporting_again_replaces_it(trained):
    config, workdir = trained
    (workdir / "export/stale").touch()
    evaluate.export_run(config, workdir, num_devices=1)
    assert not (workdir / "export/stale").exists()
    assert not (workdir / ".export.partial").exists()


def test_another_method_in_the_config_is_not_used(trained):
    """Data and evaluation are the config's, the network is the export's."""
    config, workdir = trained
    want = embeddings(config, workdir)
    args = {**config["method_args"], "backbone": "gaitset", "backbone_args": {}}
    other = {**config, "method_args": args}
    np.testing.assert_array_equal(embeddings(other, workdir / "export"), want)


def test_init_from_leaves_out_the_classifier(trained, tmp_path, capsys):
    config, workdir = trained
    source = str(workdir / "export")
    config = {**config, "train": {**config["train"], "init_from": source}}
    run = open_run(config, tmp_path / "new", num_devices=1)
    state, _ = restore_or_init(run)
    left_out = capsys.readouterr().out.partition("left out: ")[2]
    lines = left_out.strip().split("; ")
    assert lines and all("absent there" in line for line in lines)
    assert {line.partition("/")[0] for line in lines} == {"necks"}
    first = restore_model(open_run(trained[0], workdir, num_devices=1))
    np.testing.assert_array_equal(
        state.params["fcs"]["kernel"], first.ema["fcs"]["kernel"]
    )


def test_back_to_torch_s_keys_without_the_classifier(trained, tmp_path):
    _, workdir = trained
    convert.convert_back(workdir, tmp_path / "run.npz")
    convert.convert_back(workdir / "export", tmp_path / "export.npz")
    with np.load(tmp_path / "run.npz") as run, np.load(tmp_path / "export.npz") as cut:
        assert {key.partition(".")[0] for key in set(run) - set(cut)} == {"BNNecks"}
        for key in cut.files:
            np.testing.assert_array_equal(run[key], cut[key])


def test_a_network_without_statistics(tiny_config, tmp_path):
    """GaitSet has no batch norm: there is nothing in model_state."""
    args = {"channels": (2, 2, 2), "bins": (2,), "features": 3}
    tiny_config["method_args"] |= {
        "backbone": "gaitset",
        "backbone_args": args,
        "ce_weight": 0.0,
    }
    run = open_run(tiny_config, tmp_path / "run", num_devices=1)
    params = run.init_fn().params
    weights.write(
        tmp_path / "out",
        {"params": params, "model_state": {}},
        {key: tiny_config[key] for key in ("method", "method_args")},
        step=0,
        shapes={"sils": (64, 44)},
        num_classes=0,
        source="a test",
    )
    config = weights.adopt(tiny_config, tmp_path / "out")
    opened = open_run(config, tmp_path / "out", create=False, num_devices=1)
    state = restore_model(opened)
    jax.tree.map(np.testing.assert_array_equal, state.params, params)
    tiny_config["train"]["init_from"] = str(tmp_path / "out")
    state, _ = restore_or_init(open_run(tiny_config, tmp_path / "n", num_devices=1))
    jax.tree.map(np.testing.assert_array_equal, state.params, params)


def test_weights_that_do_not_fit_are_an_error(trained, tmp_path):
    """A config.json that was edited to another network."""
    config, workdir = trained
    run = open_run(config, workdir, create=False, num_devices=1)
    model = {"params": {"fcs": {"kernel": np.zeros((2, 3, 4), np.float32)}}}
    with pytest.raises(GaitError, match=r"does not fit .*params/fcs/kernel \(2x3x4"):
        weights.fill(model, run.like, {"params/fcs/kernel"}, "x")


def test_used_arrays_by_hand():
    """b has no part in the result; c/d only in what is left."""
    model = {"a": np.ones(2), "b": np.ones(2), "c": {"d": np.ones(3), "e": np.ones(3)}}

    def fn(model):
        a, c = model["a"], model["c"]
        logits = c["d"] * c["e"]
        return {"embeddings": a * c["e"][0], "logits": logits}["embeddings"]

    assert weights.used_arrays(fn, model) == {"a", "c/e"}
    assert weights.keep(model, {"a", "c/e"}).keys() == {"a", "c"}
    assert weights.keep(model, {"a", "c/e"})["c"].keys() == {"e"}
    assert checkpoint.names(model) == ["a", "b", "c/d", "c/e"]
