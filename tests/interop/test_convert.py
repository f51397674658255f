"""OpenGait's checkpoints become weights that give torch's embeddings, and go back."""

import dataclasses
import json
import subprocess
import sys

import golden
import jax
import numpy as np
import pytest
from helpers import fixtures

from gaitjax import evaluate
from gaitjax.errors import GaitError
from gaitjax.interop import convert, opengait
from gaitjax.interop.torch_zip import read_state_dict
from gaitjax.methods.supervised import make_backbone
from gaitjax.run import open_run, restore_model, restore_or_init
from gaitjax.runtime import checkpoint
from gaitjax.runtime.mesh import make_mesh, replicated

YAML = fixtures.ROOT / "gaitbase.yaml"
SIZE = (16, 8)


def saved(folder):
    """(config.json, variables) of a folder of weights."""
    checkpoints = checkpoint.open_checkpoints(folder)
    model = checkpoints.saved_model(checkpoints.latest(), replicated(make_mesh(1)))
    checkpoints.close()
    config = json.loads((folder / "config.json").read_text())
    return config, {"params": model["params"], **model["model_state"]}


def embeddings(folder):
    """Of the fixture's frames, [n, d, p] as torch has them."""
    config, variables = saved(folder)
    args = config["method_args"]
    model = make_backbone(args["backbone"], args["backbone_args"], 5, "float32")
    frames = fixtures.arrays()["frames"].astype(np.float32)[..., None]
    out = model.apply(variables, frames, np.ones(frames.shape[:2]), train=False)
    return np.asarray(out["embeddings"]).transpose(0, 2, 1)


@pytest.mark.parametrize(
    ("name", "wanted", "how"),
    [
        ("gaitbase", "embeddings", {"config": YAML}),
        (
            "half",
            "half_embeddings",
            {"model": "gaitbase", "settings": fixtures.SETTINGS},
        ),
    ],
)
def test_converted_checkpoint_gives_torch_embeddings(name, wanted, how, tmp_path):
    path, out = fixtures.ROOT / f"{name}.pt", tmp_path / "out"
    line = convert.convert(path, out, size=SIZE, **how)
    assert "gaitbase" in line and "5 classes" in line
    want = fixtures.arrays()[wanted]
    assert golden.relative_error(embeddings(out), want) < 1e-5
    config, _ = saved(out)
    assert config["weights"]["step"] == (60000 if name == "gaitbase" else 0)
    assert config["weights"]["shapes"] == {"sils": [16, 8]}
    assert config["weights"]["num_classes"] == 5
    report = (out / "keys.txt").read_text().splitlines()
    assert len(report) == len(fixtures.arrays("state/"))
    kind = "float32" if name == "gaitbase" else "float16"
    assert report[0] == (
        f"Backbone.forward_block.conv1.conv.weight [4, 1, 3, 3] {kind} -> "
        "params/backbone/stem/conv/kernel"
    )
    assert config["method_args"]["backbone_args"] == {
        "channels": [4, 8],
        "strides": [1, 2],
        "bins": [4],
        "features": 6,
    }


def test_there_and_back(tmp_path):
    """Every key of the file, the counts of batches included."""
    path = fixtures.ROOT / "gaitbase.pt"
    convert.convert(path, tmp_path / "out", config=YAML, size=SIZE)
    convert.convert_back(tmp_path / "out", tmp_path / "back.npz")
    state, _ = read_state_dict(path)
    with np.load(tmp_path / "back.npz") as back:
        assert set(back.files) == set(state)
        for key, array in state.items():
            np.testing.assert_array_equal(back[key], array, strict=True)


@pytest.mark.parametrize("name", ["swingait", "gaitgl_casiab", "smplgait", "gln_p2"])
def test_keys_and_buffers_are_complete(name):
    """What a strict load in torch wants, for the networks with keys of their own."""
    spec = golden.load_json(name)
    network = opengait.network_of(spec["model_cfg"], spec["dataset_name"])
    shapes = convert.wanted_shapes(network, convert.frame_shapes(network))
    state = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
    state |= convert.buffers_of(state, 0)
    assert {key: [*x.shape] for key, x in state.items()} == {
        key: entry["shape"] for key, entry in spec["state_dict"].items()
    }
    for key, x in state.items():
        assert x.dtype == spec["state_dict"][key]["dtype"]


def test_all_problems_are_reported_at_once():
    state, _ = read_state_dict(fixtures.ROOT / "gaitbase.pt")
    network = dataclasses.replace(convert.read_config(YAML), num_classes=5)
    root = "Backbone.forward_block."
    del state[f"{root}bn1.bias"], state[f"{root}layer1.0.conv2.weight"]
    state["Head.fc_bin"] = state["FCs.fc_bin"]
    state["FCs.fc_bin"] = state["FCs.fc_bin"][:, :-1]
    with pytest.raises(GaitError) as error:
        convert.check_keys(state, network, {"sils": SIZE}, "my.pt")
    assert str(error.value) == (
        "my.pt is not a checkpoint of this gaitbase: 2 missing: "
        f"{root}bn1.bias [4], {root}layer1.0.conv2.weight [4, 4, 3, 3]; "
        "1 unexpected: Head.fc_bin [4, 8, 6]; 1 misshapen: FCs.fc_bin [4, 7, 6] "
        "(wanted [4, 8, 6]); give the config that it was trained with"
    )


def test_the_classifier_is_the_checkpoint_s_own(tmp_path):
    """Whatever class_num the config names: people edit it."""
    text = YAML.read_text().replace("class_num: 5", "class_num: 74")
    (tmp_path / "other.yaml").write_text(text)
    path = fixtures.ROOT / "gaitbase.pt"
    convert.convert(path, tmp_path / "o", config=tmp_path / "other.yaml", size=SIZE)
    _, variables = saved(tmp_path / "o")
    assert variables["params"]["necks"]["kernel"].shape == (4, 6, 5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("model_cfg: {model: GaitFormer}", "unknown model of OpenGait GaitFormer"),
        ("model_cfg: {model: DeepGaitV2}", "no network can be read from it"),
        ("- 1", "no network can be read from it"),
        (
            "model_cfg: {model: Baseline, backbone_cfg: {type: Plain}}",
            "expected backbone_cfg of type ResNet9 .* got type Plain",
        ),
        ("a: [", "is no YAML"),
    ],
)
def test_bad_config(tmp_path, content, said):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(GaitError, match=said):
        convert.read_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["channels"], "expected name=value"),
        (["chanels=4,8"], "unknown key --set.chanels; did you mean --set.channels"),
        (["channels=a,b"], "expected tuple"),
        (["channels=4,8,8", "strides=1,2,1"], "missing: .*layer3.0.conv1.weight"),
    ],
)
def test_bad_settings(tmp_path, settings, said):
    with pytest.raises(GaitError, match=said):
        convert.convert(
            fixtures.ROOT / "gaitbase.pt",
            tmp_path / "out",
            model="gaitbase",
            settings=settings,
        )
    assert not (tmp_path / "out").exists()


def test_settings_in_words_and_numbers():
    state = {
        "Head.fc_bin": np.zeros((16, 4, 8)),
        "Backbone.forward_block.feature.0.conv.weight": np.zeros((4, 1, 5, 5)),
    }
    settings = ["layers=BC-4,M,FC-8-2", "bins=16", "squeeze=2"]
    network = convert.network_of_settings("gaitpart", settings, state)
    assert network.args["layers"] == ("BC-4", "M", "FC-8-2")
    assert (network.args["bins"], network.args["squeeze"]) == ((16,), 2)
    assert (network.num_parts, network.inputs) == (16, ("sils",))
    emb2 = ["mode=2d", "unit_embeddings=true"]
    state["FCs.fc_bin"] = state.pop("Head.fc_bin")
    network = convert.network_of_settings("deepgaitv2", emb2, state)
    assert (network.args["mode"], network.args["unit_embeddings"]) == ("2d", True)


@pytest.fixture(scope="module")
def converted(_tiny_config, tmp_path_factory):
    """The fixture as weights for the walkers' 64 x 44 frames."""
    out = tmp_path_factory.mktemp("weights") / "out"
    convert.convert(fixtures.ROOT / "gaitbase.pt", out, config=YAML)
    return out


def test_evaluate_and_extract_take_it(converted, tiny_config, capsys):
    """The config has another network, another number of people, and an average."""
    assert tiny_config["train"]["ema"]
    evaluate.extract_run(tiny_config, converted, num_devices=1)
    with np.load(converted / "embeddings_test.npz") as found:
        assert found["embedding_sils"].shape[1:] == (4, 6)
    evaluate.evaluate_run(tiny_config, converted, num_devices=1)
    results = json.loads((converted / "results.json").read_text())
    assert results["run"]["step"] == results["run"]["steps"] == 60000
    assert "note: step" not in capsys.readouterr().out


@pytest.mark.slow
def test_init_from_takes_it(converted, tiny_config, tmp_path, capsys):
    tiny_config["train"]["init_from"] = str(converted)
    args = tiny_config["method_args"]
    args["backbone_args"] = dict(channels=(4, 8), strides=(1, 2), bins=(4,), features=6)
    args["downsample"] = 1
    run = open_run(tiny_config, tmp_path / "run", num_devices=1)
    state, _ = restore_or_init(run)
    want, _ = read_state_dict(fixtures.ROOT / "gaitbase.pt")
    np.testing.assert_array_equal(
        state.params["fcs"]["kernel"], want["FCs.fc_bin"], strict=True
    )
    # 6 people in training, 5 classes in the checkpoint.
    assert "left out: necks/kernel (4x6x5 there, 4x6x6 here)" in capsys.readouterr().out


def test_a_folder_of_weights_is_no_run(converted, tiny_config, tmp_path):
    run = open_run(tiny_config, converted, num_devices=1)
    with pytest.raises(GaitError, match=r"weights alone; .* train.init_from="):
        restore_or_init(run)
    with pytest.raises(GaitError, match="weights alone already"):
        evaluate.export_run(tiny_config, converted)
    with pytest.raises(GaitError, match="is not empty"):
        convert.convert(fixtures.ROOT / "gaitbase.pt", converted, config=YAML)


def test_frames_of_another_size_are_an_error(tiny_config, tmp_path):
    out = tmp_path / "out"
    convert.convert(fixtures.ROOT / "gaitbase.pt", out, config=YAML, size=(128, 88))
    with pytest.raises(GaitError, match="want sils of 128 x 88, the data have 64 x 44"):
        evaluate.extract_run(tiny_config, out, num_devices=1)


def test_back_from_something_else(tmp_path):
    with pytest.raises(GaitError, match="holds no checkpoints"):
        convert.convert_back(tmp_path, tmp_path / "x.npz")


def test_the_tool(tmp_path):
    """Both directions by the command line; a mistake is one line and exit code 1."""

    def run(*args):
        command = [sys.executable, "tools/convert_opengait.py", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    path, out = fixtures.ROOT / "half.pt", tmp_path / "out"
    settings = ["--model", "gaitbase", "--set", *fixtures.SETTINGS]
    done = run(path, out, *settings, "--size", 16, 8)
    assert done.returncode == 0, done.stderr
    assert f"--workdir {out}" in done.stdout
    done = run("--back", out, tmp_path / "back.npz")
    assert done.returncode == 0, done.stderr
    done = run(fixtures.ROOT / "legacy.pt", tmp_path / "no", *settings)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_exported_arrays_are_what_embeddings_need(converted, tiny_config):
    """The classifier has no part in them, as the gradient says too."""
    adopted = evaluate.adopt(tiny_config, converted)
    run = open_run(adopted, converted, create=False, num_devices=1)
    state = restore_model(run)
    assert state.ema is None
    needed = evaluate.embedding_arrays(run)
    names = checkpoint.names({"params": state.params, "model_state": state.model_state})
    rest = set(names) - needed
    assert rest == {
        "params/necks/kernel",
        *(f"params/necks/bn/{name}" for name in ("scale", "bias")),
        *(f"model_state/batch_stats/necks/bn/{name}" for name in ("mean", "var")),
    }
    leaves = jax.tree.leaves(state.params)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
