"""Cross-modal methods on sets of files: maps of width 11, the export, sets without
pairs. All through the loop, as a user meets it."""

import json

import jax
import numpy as np
import pytest
from helpers.layouts import put

from configs import sustech1k
from gaitjax import evaluate, walkers
from gaitjax.data.builders import common, manifest, opengait, parts, reading
from gaitjax.data.pipeline import make_data
from gaitjax.errors import GaitError
from gaitjax.run import open_run, restore_model
from gaitjax.runtime.metrics_log import read
from gaitjax.train import train

KEYS = ("sils", "ranges")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """What `make_builder` needs to read two people to train on and two for the test,
    each of two sequences of three frames of silhouettes and range views."""
    root = tmp_path_factory.mktemp("tree")
    for subject in (1, 2, 3, 4):
        for take in (1, 2):
            arrays = walkers.make_sequence(0, subject, "nm", take, 90, 3, keys=KEYS)
            for key, frames in arrays.items():
                put(root / f"00{subject}/nm-0{take}/090/{key}.pkl", frames)
    partition = root.parent / "pairs.json"
    ids = {"TRAIN_SET": ["001", "002"], "TEST_SET": ["003", "004"]}
    partition.write_text(json.dumps(ids))
    return {"source": str(root), "partition": str(partition)}


def prepare(tree, folder, keys=KEYS, read_sequence=None):
    """The set "folder/pairs"; read_sequence: in place of the builder's, which pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "in_processes", lambda fn, tasks, *_: map(fn, tasks))
        if read_sequence:
            patch.setattr(parts, "read_sequence", read_sequence)
        builder = opengait.make_builder(folder, "folder/pairs", modalities=keys, **tree)
        return opengait.prepare(builder)


def make_config(folder, **data):
    """configs/sustech1k.py:tiny on that set: frames of 64 x 44 as maps of 16 x 11."""
    config = sustech1k.get_config("tiny").to_dict()
    config["data"].update(name="folder/pairs", dir=str(folder), args={})
    config["data"].update(p=2, k=2, frames=2, cut=KEYS, **data)
    config["method_args"].update(channels=(2, 4), strides=(2, 1), bins=(4,), features=3)
    config["method_args"].update(denoiser_features=4, denoiser_heads=2)
    config["train"].update(steps=2, ema=None)
    config["log"].update(tensorboard=False, every=1)
    config["eval"].update(lists=0, batch=4, buckets=1)
    config["optim"]["warmup"] = 0
    return config


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    """(config, workdir) of two steps, exported."""
    folder = tmp_path_factory.mktemp("set")
    rows = prepare(tree, folder)
    assert {(row.status, row.note) for row in rows} == {("kept", "")}
    config, workdir = make_config(folder), folder / "run"
    train(config, workdir, num_devices=1)
    evaluate.export_run(config, workdir, num_devices=1)
    return config, workdir


def test_maps_of_width_11_train_and_are_evaluated(trained):
    config, workdir = trained
    run = open_run(config, workdir, num_devices=1)
    assert run.data.shapes(KEYS) == {"sils": (64, 44), "ranges": (64, 44, 3)}
    lines = read(workdir / "metrics.jsonl")[:-1]
    assert [line["compiles"] for line in lines] == [1, 1]
    names = {name for name in lines[0] if name.startswith("phase")}
    assert {"phase1_id/loss", "phase2_rec/loss", "phase3_mid/loss"} <= names
    assert all(np.isfinite(line[name]) for line in lines for name in names)
    rows = json.loads((workdir / "results.json").read_text())["rows"]
    assert {(row["probe"], row["gallery"]) for row in rows} == {
        (probe, gallery) for probe in KEYS for gallery in KEYS
    }


def test_exported_and_full_checkpoints_embed_alike(trained):
    found = []
    for workdir in (trained[1], trained[1] / "export"):
        evaluate.extract_run(trained[0], workdir, num_devices=1)
        with np.load(workdir / "embeddings_test.npz") as arrays:
            found.append({key: arrays[f"embedding_{key}"] for key in KEYS})
    full, exported = found
    for key in KEYS:
        assert full[key].shape == (4, 4, 3)
        assert np.ptp(full[key], axis=0).max() > 1e-3  # sequences differ
        np.testing.assert_array_equal(exported[key], full[key])


def test_nothing_of_the_diffusion_is_exported(trained):
    config, workdir = trained
    run = open_run(config, workdir / "export", create=False, num_devices=1)
    sharding = jax.tree.leaves(run.like.params)[0].sharding
    saved = run.checkpoints.saved_model(2, sharding)["params"]
    full = restore_model(open_run(config, workdir, create=False, num_devices=1)).params
    assert set(full) - set(saved) == {"gen", "token", "unets_0"}
    assert set(saved) == {"encoders", "dis_sils", "dis_ranges", "head"}
    assert set(saved["head"]) == {"fcs"}


def test_set_without_one_of_the_two_is_refused(tree, tmp_path):
    prepare(tree, tmp_path, keys=("sils",))
    for method in ("diffcrossgait", "crossmodal"):
        config = make_config(tmp_path)
        config["method"] = method
        if method == "crossmodal":
            config["method_args"] = {}
        config["data"]["cut"] = ("sils",)
        with pytest.raises(GaitError) as refusal:
            train(config, tmp_path / "run", num_devices=1)
        assert str(refusal.value) == (
            "method_args.inputs=ranges, but the data has sils; expected sils and "
            "ranges of every sequence: prepare the set with both, or name two that it "
            "has"
        )


def test_sequences_that_are_no_pairs_are_dropped_and_counted(tree, tmp_path):
    """In preparing: one lacks its range views, one has a frame less of them."""
    root = tmp_path / "tree"
    for subject in ("001", "002", "003"):
        for take in ("nm-01", "nm-02"):
            for key in KEYS:
                put(
                    root / subject / take / "090" / f"{key}.pkl", read_pickle(tree, key)
                )
    (root / "001/nm-01/090/ranges.pkl").unlink()
    put(root / "001/nm-02/090/ranges.pkl", read_pickle(tree, "ranges")[:2])
    partition = tmp_path / "split.json"
    partition.write_text('{"TRAIN_SET": ["001", "002"], "TEST_SET": ["003"]}')
    rows = prepare({"source": str(root), "partition": str(partition)}, tmp_path)
    dropped = {row.path: row.note for row in rows if row.status == "dropped"}
    assert set(dropped) == {"001/nm-01/090", "001/nm-02/090"}
    assert dropped["001/nm-01/090"].startswith("no file: ranges: expected ")
    assert dropped["001/nm-02/090"] == (
        "lengths: sils 3 frames, ranges 2 frames; frame i must be the same moment in "
        "all, prepare them apart"
    )
    lines = "\n".join(manifest.summary(rows))
    assert "kept 4 of 6 sequences" in lines
    assert "dropped 2: no file 1, lengths 1" in lines
    data = make_data(name="folder/pairs", dir=str(tmp_path), p=1, k=2)
    assert data.train.index.names.tolist() == ["002-nm-01-090", "002-nm-02-090"]


def read_pickle(tree, key):
    path = f"{tree['source']}/001/nm-01/090/{key}.pkl"
    return np.load(path, allow_pickle=True)


UNPAIRED = {
    "shorter": ": expected 3 frames of each modality, got sils 3, ranges 2; frame i "
    "must be the same moment in all: prepare the set again, or leave the sequence out",
    "missing": " has no ranges; prepare the set again, or leave the sequence out",
}


@pytest.mark.parametrize("case", UNPAIRED)
def test_unpaired_records_stop_training_in_one_line(tree, tmp_path, case):
    """In a set that something else prepared."""

    def read_sequence(path, recipe):
        arrays, notes = reading.read_sequence(path, recipe)
        if path == "002/nm-02/090":
            arrays["ranges"] = arrays["ranges"][: 2 if case == "shorter" else 0]
        return arrays, notes

    prepare(tree, tmp_path, read_sequence=read_sequence)
    config = make_config(tmp_path)
    config["method_args"]["phases"] = ()
    with pytest.raises(GaitError) as refusal:
        train(config, tmp_path / "run", num_devices=1)
    folder = make_data(name="folder/pairs", dir=str(tmp_path)).train.folder
    assert str(refusal.value) == f"record 002-nm-02-090 of {folder}{UNPAIRED[case]}"
