"""Batches: the same from anywhere, several modalities in step, and bad sets."""

import dataclasses
import multiprocessing
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitjax.data import pipeline, schema, topology
from gaitjax.data.augment import Augment
from gaitjax.data.buckets import bucket_lengths, eval_batches
from gaitjax.data.records import open_split
from gaitjax.data.sampler import Clip, PKSampler
from gaitjax.errors import GaitError
from gaitjax.walkers import mesh


def batches(data, start=0, stop=6, seed=0, **changes):
    data = dataclasses.replace(data, **changes)
    sampler = PKSampler(data.labels, data.p, data.k, seed)
    return list(
        pipeline.train_batches(
            data,
            data.train.with_keys(("sils",)),
            sampler,
            data.labels,
            seed=seed,
            start=start,
            stop=stop,
        )
    )


def assert_same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key])


def test_batch_holds_what_the_contract_says(tiny_data):
    (batch,) = batches(tiny_data, stop=1)
    assert batch["sils"].shape == (8, 4, 64, 44) and batch["sils"].dtype == np.uint8
    assert batch["mask"].shape == (8, 4) and (batch["mask"] == 1).all()
    assert batch["label"].dtype == batch["index"].dtype == np.int32
    subjects = tiny_data.train.index.subject[batch["index"]]
    assert [tiny_data.names[i] for i in batch["label"]] == subjects.tolist()


def test_batches_do_not_depend_on_where_one_starts_or_on_threads(tiny_data):
    whole = batches(tiny_data)
    assert_same(whole[4:], batches(tiny_data, start=4))
    assert_same(whole, batches(tiny_data, prefetch=0))
    assert (whole[0]["sils"] != whole[1]["sils"]).any()


def backend_started(step):
    """A sampler that tells, instead of records, whether JAX runs where it is."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    in_worker = multiprocessing.parent_process() is not None
    return np.array([in_worker, bool(bridge and bridge._backends)], np.int64)


def test_worker_processes_make_the_same_batches(tiny_data):
    assert_same(batches(tiny_data), batches(tiny_data, workers=2))


def test_worker_processes_start_no_backend(tiny_data):
    data = dataclasses.replace(tiny_data, workers=1)
    (batch,) = pipeline.train_batches(
        data,
        data.train.with_keys(("sils",)),
        backend_started,
        data.labels,
        seed=0,
        start=0,
        stop=1,
    )
    assert batch["index"].tolist() == [1, 0]


def test_processes_share_a_batch(tiny_data):
    sampler = PKSampler(tiny_data.labels, 4, 2, 0)
    split = tiny_data.train.with_keys(("sils",))
    (whole,) = batches(tiny_data, stop=1)
    halves = [
        next(
            pipeline.train_batches(
                tiny_data,
                split,
                sampler,
                tiny_data.labels,
                seed=0,
                start=0,
                stop=1,
                rows=rows,
            )
        )
        for rows in (slice(0, 4), slice(4, 8))
    ]
    joined = {key: np.concatenate([half[key] for half in halves]) for key in whole}
    assert_same([whole], [joined])


def test_unequal_clips_are_padded_and_masked(tiny_data):
    (batch,) = batches(tiny_data, stop=1, clip=Clip(2, 6))
    assert batch["sils"].shape[:2] == (8, 6)
    lengths = batch["mask"].sum(1)
    assert 2 <= lengths.min() < lengths.max() <= 6
    assert (batch["sils"][batch["mask"] == 0] == 0).all()
    assert (batch["sils"][batch["mask"] == 1].max((1, 2)) > 0).all()


class TwoModalities:
    """Records whose every frame is full of its own number, in two modalities."""

    modalities = keys = ("sils", "joints")

    def __getitem__(self, row):
        numbers = np.arange(12)
        sils = np.broadcast_to(numbers[:, None, None], (12, 64, 64)).astype(np.uint8)
        joints = np.broadcast_to(numbers[:, None, None], (12, 24, 3)).astype(np.float32)
        return {"sils": sils, "joints": joints}


def test_modalities_are_drawn_with_the_same_frames(tiny_data):
    clips = dataclasses.replace(tiny_data, clip=Clip(5, 5, "unordered"))
    (batch,) = pipeline.train_batches(
        clips,
        TwoModalities(),
        lambda step: np.arange(4),
        np.zeros(4, np.int32),
        seed=3,
        start=0,
        stop=1,
        optional=("smpl", "vertices"),
    )
    np.testing.assert_array_equal(
        batch["sils"][:, :, 0, 0], batch["joints"][:, :, 0, 0]
    )
    assert len({tuple(row) for row in batch["joints"][:, :, 0, 0]}) > 1
    assert (batch["has_smpl"] == 0).all() and batch["smpl"].shape == (4, 5, 85)
    assert (batch["has_vertices"] == 0).all()
    assert batch["vertices"].shape == (4, 5, 1, 3) and (batch["vertices"] == 0).all()


def test_image_modalities_share_their_augmentation(tiny_data):
    class Twice:
        keys = ("sils", "heatmaps")

        def __getitem__(self, row):
            sils = tiny_data.train.with_keys(("sils",))[row]["sils"]
            return {"sils": sils, "heatmaps": np.stack([sils, sils], -1)}

    augment = dataclasses.replace(
        tiny_data.augment, flip=0.5, rotate=0.5, perspective=0.5, erase=0.5
    )
    data = dataclasses.replace(tiny_data, augment=augment)
    (batch,) = pipeline.train_batches(
        data,
        Twice(),
        lambda step: np.arange(16),
        np.zeros(16, np.int32),
        seed=0,
        start=0,
        stop=1,
    )
    draws = batch["draw/sils"]
    assert draws.shape == (16, 23) and len(np.unique(draws, axis=0)) > 8
    np.testing.assert_array_equal(draws, batch["draw/heatmaps"])
    # The perspective is of the whole picture, so it is not cut yet.
    assert batch["sils"].shape[-1] == 64


def test_without_a_perspective_the_sides_do_not_travel(tiny_data):
    (batch,) = batches(tiny_data, stop=1, augment=Augment(flip=0.5))
    assert batch["sils"].shape[-1] == 44 and batch["draw/sils"].shape == (8, 23)


class Bodies:
    """Records of a picture, a cloud and every 3D label; frame 0 has no labels."""

    modalities = keys = ("joints", "markers", "vertices", "sils", "points", "smpl")
    sizes = (("joints", 24), ("markers", 64), ("vertices", 928), ("points", 9))

    def __getitem__(self, row):
        rng = np.random.default_rng(row)
        made = {k: rng.normal(size=(6, n, 3)).astype(np.float32) for k, n in self.sizes}
        for key in schema.BODY:
            made[key][0] = np.nan
        made["sils"] = rng.integers(0, 256, (6, 64, 64), np.uint8)
        made["smpl"] = rng.normal(size=(6, 85)).astype(np.float32)
        return {key: made[key] for key in self.keys}


def body_batch(data, split=None, **augment):
    data = dataclasses.replace(
        data, augment=Augment(**augment), clip=Clip(6, 6, "ordered"), points=5
    )
    (batch,) = pipeline.train_batches(
        data,
        split or Bodies(),
        lambda step: np.arange(8),
        np.zeros(8, np.int32),
        seed=0,
        start=0,
        stop=1,
    )
    return batch


def test_labels_share_the_draw_of_the_picture(tiny_data):
    plain = body_batch(tiny_data)
    some = body_batch(tiny_data, flip=0.5)
    flipped = some["draw/sils"][:, 18] == 1
    assert 0 < flipped.sum() < 8
    mirrors = {
        "joints": mesh.mirror_joints(),
        "markers": mesh.mirror_markers(),
        "vertices": mesh.mirror_vertices(),
    }
    for key, image in mirrors.items():
        want = plain[key].copy()
        want[flipped] = want[flipped][:, :, image] * np.float32((-1, 1, 1))
        np.testing.assert_array_equal(some[key], want)
    turned = body_batch(tiny_data, rotate=1.0, erase=1.0)
    for key in mirrors:
        assert np.isnan(turned[key][:, 0]).all()
        before, after = plain[key][:, 1:], turned[key][:, 1:]
        assert (before[..., 0] != after[..., 0]).all()
        for measure in (lambda x: np.linalg.norm(x, axis=-1), lambda x: x[..., 2]):
            np.testing.assert_allclose(measure(after), measure(before), rtol=1e-5)
    assert (turned["smpl"] != plain["smpl"]).any(-1).all()
    np.testing.assert_array_equal(turned["smpl"][..., 6:], plain["smpl"][..., 6:])


def test_labels_that_cannot_follow_are_refused_before_anything_is_read(tiny_data):
    with pytest.raises(GaitError, match="perspective=0.2: .* joints, markers, vertice"):
        body_batch(tiny_data, perspective=0.2)
    joints_only = topology.Topology({"joints": mesh.mirror_joints()})
    data = dataclasses.replace(tiny_data, topology=joints_only)
    line = r"data.flip with markers, vertices: .* no table .*mirror_markers"
    with pytest.raises(GaitError, match=line):
        body_batch(data, flip=0.2)
    assert body_batch(data, rotate=1.0)["vertices"].shape == (8, 6, 928, 3)
    split = Bodies()
    split.keys = ("sils", "joints")
    assert body_batch(data, split, flip=0.2)["joints"].shape == (8, 6, 24, 3)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=60),
    st.integers(1, 6),
    st.integers(1, 20),
)
def test_buckets_hold_every_sequence_once(lengths, count, batch):
    lengths = np.array(lengths)
    sizes = bucket_lengths(lengths, 720, count)
    assert len(sizes) <= count and sizes == sorted(sizes)
    named = []
    for size, rows in eval_batches(lengths, sizes, batch):
        assert 0 < len(rows) <= batch
        assert (np.minimum(lengths[rows], 720) <= size).all()
        named += rows.tolist()
    assert sorted(named) == list(range(len(lengths)))


def test_validation_identities_are_the_last_ones_and_not_trained_on(tiny_config):
    tiny_config["data"]["val"] = 0.34
    data = pipeline.make_data(**tiny_config["data"])
    held = set(data.train.index.subject[data.val_rows])
    assert held == {"005", "006"}
    assert data.names == ["001", "002", "003", "004"]
    assert (data.labels[data.val_rows] == -1).all()


def test_labels_by_view_and_without_any(tiny_config):
    data = pipeline.make_data(**tiny_config["data"] | {"label": "frontal"})
    assert data.names == ["other", "frontal"]
    frontal = np.isin(data.train.index.view, ["000", "180"])
    np.testing.assert_array_equal(data.labels, frontal)
    assert 0 < frontal.sum() < len(frontal)
    data = pipeline.make_data(**tiny_config["data"] | {"label": "none"})
    assert data.names == [] and set(data.labels) == {-1}
    assert len(data.train_rows) == len(data.train)
    with pytest.raises(GaitError, match="data.label=none knows none"):
        pipeline.make_data(**tiny_config["data"] | {"label": "none", "val": 0.2})
    with pytest.raises(GaitError, match="views in degrees, such as 090, got left"):
        pipeline.is_frontal("left")


def test_index_agrees_with_the_records(tiny_data):
    split = tiny_data.test.with_keys(("sils",))
    assert len(split) == 4 * 5 * 11
    assert split.index.names[12] == "161-nm-02-018"
    assert all(len(split[i]["sils"]) == split.index.num_frames[i] for i in (0, 57, 219))


def copy_of(data, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(data.train.folder, folder)
    return folder


def test_truncated_shard_is_named(tiny_data, tmp_path):
    folder = copy_of(tiny_data, tmp_path)
    shard = folder / next(iter(tiny_data.train.shards))
    os.truncate(shard, shard.stat().st_size // 2)
    with pytest.raises(
        GaitError, match=rf"{shard.name} is damaged: expected \d+ bytes"
    ):
        open_split(folder, "train")


def test_corrupt_shard_is_named(tiny_data, tmp_path):
    folder = copy_of(tiny_data, tmp_path)
    shard = folder / next(iter(tiny_data.train.shards))
    content = bytearray(shard.read_bytes())
    content[len(content) // 8 :: 97] = b"\x55" * len(content[len(content) // 8 :: 97])
    shard.write_bytes(content)
    split = open_split(folder, "train").with_keys(("sils",))
    with pytest.raises(GaitError, match=f"cannot read .*{shard.name}"):
        for row in range(len(split)):
            split[row]


def test_half_prepared_set_and_missing_shard(tiny_data, tmp_path):
    folder = copy_of(tiny_data, tmp_path)
    shard = next(iter(tiny_data.train.shards))
    (folder / shard).unlink()
    with pytest.raises(GaitError, match=f"{shard} is missing"):
        open_split(folder, "train")
    (folder / "index_train.npz").unlink()
    with pytest.raises(GaitError, match="not prepared to the end"):
        open_split(folder, "train")


def test_missing_modality_is_named(tiny_data):
    with pytest.raises(GaitError, match="ranges wanted, but .* has sils"):
        tiny_data.train.with_keys(("sils", "ranges"))


def test_unprepared_set_names_both_ways_on(tmp_path):
    with pytest.raises(GaitError, match=r"prepare_dataset.py casia_b .*:walkers"):
        pipeline.find("casia_b", str(tmp_path), {})


def test_loading_data_never_imports_jax():
    code = (
        "import sys; import gaitjax.data.pipeline, gaitjax.walkers\n"
        "from gaitjax.data.builders import walkers\n"
        "import jax._src.xla_bridge as bridge\n"
        "sys.exit(bool(bridge._backends))"
    )
    # Grain imports jax itself; what must not happen is that a backend starts.
    subprocess.run([sys.executable, "-c", code], check=True)


def test_script_without_a_main_guard_fails_instead_of_hanging(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from gaitjax.data.pipeline import find\n"
        f"find('walkers', {str(tmp_path)!r}, {{'num_train': 2, 'processes': 2}})\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "GaitError: making walkers (train): a worker process died" in done.stderr
