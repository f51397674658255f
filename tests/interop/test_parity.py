"""Every golden by the functions behind check_parity.py, and that those can fail."""

import json
import shutil
import subprocess
import sys

import golden
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.interop import goldens, parity, parity_networks

NETWORKS = (
    "deepgaitv2_2d",
    "deepgaitv2_3d",
    "deepgaitv2_p3d",
    "deepgaitv2_p3d_b1441",
    "deepgaitv2_p3d_emb2",
    "gaitbase",
    "gaitgl_casiab",
    "gaitgl_grew_bnneck",
    "gaitgl_oumvlp",
    "gaitpart",
    "gaitpart_oumvlp",
    "gaitset",
    "gaitset_oumvlp",
    "gln_p2",
    "lidargait",
    "skeletongait",
    "skeletongaitpp",
    "smplgait",
    "swingait",
)
STEPS = (
    "train/deepgaitv2_p3d",
    "train/gaitbase",
    "train/gaitgl_casiab",
    "train/gaitpart",
    "train/gaitset",
)
TINY = {
    "model": "Baseline",
    "backbone_cfg": {"type": "ResNet9", "channels": [4, 8], "strides": [1, 2]},
    "SeparateFCs": {"in_channels": 8, "out_channels": 6, "parts_num": 4},
    "SeparateBNNecks": {"class_num": 5, "in_channels": 6, "parts_num": 4},
    "bin_num": [4],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_golden(name):
    rows = parity.check_item(golden.ROOT, name)
    assert [row for row in rows if not row.ok] == []
    outputs = {"embeddings", "logits", "var_embeddings", "var_logits"}
    outputs = (outputs | {"packed_embeddings"}) & golden.load(name).keys()
    assert {row.what for row in rows} == {"parameters", "feature map", *outputs}


# Compiling the others' steps takes a quarter of a minute each.
QUICK = ("train/gaitbase", "train/gaitset")


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in STEPS],
)
def test_training_step_equals_golden(name):
    rows = parity.check_item(golden.ROOT, name)
    assert [row for row in rows if not row.ok] == []
    assert {row.what for row in rows} >= {
        "embeddings",
        "triplet/loss",
        "total_step1",
        "total_step2",
        "gradient norms",
        "gradient values",
        "weights after the step",
    }


def test_the_lists_are_complete():
    items = parity.items(golden.ROOT)
    assert {*NETWORKS, *STEPS} == {
        name for name in items if name.partition("/")[0] not in ("losses", "eval")
    }


def test_protocols_equal_goldens():
    """tests/retrieval/test_reference.py looks closer."""
    rows = parity.check(golden.ROOT, ["eval/*"])
    assert [row for row in rows if not row.ok] == []
    assert len({row.item for row in rows}) == 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A golden of a network small enough to make here, by our own outputs."""
    path = tmp_path_factory.mktemp("goldens")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 2, (6, 4, 16, 8)).astype(np.uint8)
    lengths = np.array([4, 2, 1, 3])
    np.savez(
        path / "inputs.npz", sil=frames[:2], var_sil=frames[2:], var_lengths=lengths
    )
    spec = {"model_cfg": TINY, "input": "sil", "state_dict": tiny_state_dict()}
    _, model, variables = parity_networks.rebuild(spec)
    spec["parameters"] = sum(
        np.prod(entry["shape"])
        for key, entry in spec["state_dict"].items()
        if "running" not in key
    ).item()
    (path / "tiny.json").write_text(json.dumps(spec))
    kinds, mask, _ = parity_networks.batch_of(goldens.load(path, "inputs"), "sil")
    out = model.apply(variables, kinds["sils"], mask, train=False)
    out = {key: np.asarray(x).transpose(0, 2, 1) for key, x in out.items()}
    np.savez(
        path / "tiny.npz",
        backbone_shape=np.array([2, 8, 4, 99, 99]),  # nobody's
        **{key: x[:2] for key, x in out.items()},
        **{f"var_{key}": x[2:] for key, x in out.items()},
    )
    return path


def tiny_state_dict():
    shapes = {"conv1.conv.weight": (4, 1, 3, 3)}
    for stage, (before, after) in enumerate(((4, 4), (4, 8)), 1):
        layer = f"layer{stage}.0"
        shapes[f"{layer}.conv1.weight"] = (after, before, 3, 3)
        shapes[f"{layer}.conv2.weight"] = (after, after, 3, 3)
    shapes["layer2.0.downsample.0.weight"] = (8, 4, 1, 1)
    norms = {"bn1": 4, "layer2.0.downsample.1": 8}
    norms |= {f"layer{i}.0.bn{j}": 4 * i for i in (1, 2) for j in (1, 2)}
    shapes = {f"Backbone.forward_block.{key}": shape for key, shape in shapes.items()}
    norms = {f"Backbone.forward_block.{key}": size for key, size in norms.items()}
    norms["BNNecks.bn1d"] = 24
    for key, size in norms.items():
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{name}"] = (size,)
    shapes |= {"FCs.fc_bin": (4, 8, 6), "BNNecks.fc_bin": (4, 6, 5)}
    return {key: {"shape": shape, "dtype": "float32"} for key, shape in shapes.items()}


def change(folder, tmp_path, **arrays):
    """A copy of the tiny golden with other arrays; its failed rows."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    np.savez(tmp_path / "tiny.npz", **{**goldens.load(folder, "tiny"), **arrays})
    rows = parity.check_item(tmp_path, "tiny")
    return {row.what: row for row in rows if not row.ok}


def test_an_equal_network_passes(folder):
    assert [row.what for row in parity.check(folder) if row.ok] == [
        *("parameters", "embeddings", "logits", "var_embeddings", "var_logits")
    ]


def test_a_value_past_the_tolerance_fails_its_row_only(folder, tmp_path):
    x = goldens.load(folder, "tiny")["var_logits"].copy()
    x[1, 2, 3] += 3e-5 * np.abs(x).max()
    failed = change(folder, tmp_path, var_logits=x)
    assert set(failed) == {"var_logits"}
    assert failed["var_logits"].error == pytest.approx(3e-5, rel=0.1)


def test_nan_and_another_shape_fail(folder, tmp_path):
    want = goldens.load(folder, "tiny")
    failed = change(
        folder,
        tmp_path,
        embeddings=want["embeddings"] * np.nan,
        logits=want["logits"][:, :-1],
    )
    assert set(failed) == {"embeddings", "logits"}
    assert "[2, 5, 4], expected [2, 4, 4]" in failed["logits"].note


def spoil(folder, tmp_path, **changes):
    """The row of the tiny golden with another JSON."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    spec = goldens.load_json(folder, "tiny") | changes
    (tmp_path / "tiny.json").write_text(json.dumps(spec))
    (row,) = parity.check_item(tmp_path, "tiny")
    assert not row.ok
    return row.note


def test_what_cannot_be_rebuilt_says_so(folder, tmp_path):
    keys = goldens.load_json(folder, "tiny")["state_dict"]
    note = spoil(folder, tmp_path, model_cfg={"model": "GaitFormer"})
    assert "unknown model of OpenGait GaitFormer" in note
    fewer = {key: entry for key, entry in keys.items() if key != "FCs.fc_bin"}
    assert "params/fcs/kernel" in spoil(folder, tmp_path, state_dict=fewer)
    more = {**keys, "Head.weight": keys["FCs.fc_bin"]}
    assert "Head.weight" in spoil(folder, tmp_path, state_dict=more)
    wrong = {**keys, "FCs.fc_bin": {**keys["FCs.fc_bin"], "crc32": 1}}
    assert "check sum 1" in spoil(folder, tmp_path, state_dict=wrong)


def test_items_are_chosen_by_pattern(folder):
    assert parity.items(golden.ROOT, ["train/gaitb*", "gaitset"]) == [
        *("gaitset", "train/gaitbase")
    ]
    with pytest.raises(GaitError, match="has no gaitbose; there are tiny"):
        parity.items(folder, ["gaitbose"])
    with pytest.raises(GaitError, match="holds no goldens"):
        parity.items(folder / "train")


@pytest.mark.slow
def test_the_tool_exits_1_past_a_tolerance(folder, tmp_path):
    """A row per item; 2 where there is nothing to compare."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    shutil.copytree(golden.ROOT / "losses", tmp_path / "losses")
    loss = golden.load("losses/ce_default")
    spoilt = {**loss, "total": loss["total"] * 1.001}
    np.savez(tmp_path / "losses/ce_default.npz", **spoilt)

    def run(*args):
        command = [sys.executable, "tools/check_parity.py", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    bad = run(tmp_path, "--only", "tiny", "losses/ce_default")
    lines = bad.stdout.splitlines()
    assert bad.returncode == 1, bad.stderr
    assert [line.split()[0] for line in lines[1:3]] == ["tiny", "losses/ce_default"]
    assert "total" in lines[2] and "FAILED" in lines[2]
    assert lines[-1] == "1 of 2 items agree"
    good = run(folder, "--all")
    assert good.returncode == 0, good.stderr
    assert "var_logits" in good.stdout
    nothing = run(tmp_path / "eval")
    assert nothing.returncode == 2 and nothing.stderr.startswith("error: ")
