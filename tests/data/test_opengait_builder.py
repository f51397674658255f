"""Layouts as their data sets have them, prepared: names, variants, splits, resuming."""

import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import layouts as trees

from gaitjax import walkers
from gaitjax.data.builders import common, layouts, manifest, opengait, parts, source
from gaitjax.data.builders.modalities import read
from gaitjax.data.pipeline import embed_batches, make_data, train_batches
from gaitjax.data.records import open_split
from gaitjax.errors import GaitError
from gaitjax.walkers import pose

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Everything in this process; the command line's test starts workers."""
    monkeypatch.setattr(common, "in_processes", lambda fn, tasks, *_: map(fn, tasks))


@pytest.fixture(scope="module")
def gait3d(tmp_path_factory):
    """Merged with SMPL, as `make_builder` wants it."""
    return trees.write_tree(tmp_path_factory.mktemp("a") / "tree", "gait3d")


@pytest.fixture(scope="module")
def sustech1k(tmp_path_factory):
    """One training and one test identity, one view of each take."""
    root = tmp_path_factory.mktemp("b") / "tree"
    made = trees.write_tree(root, "sustech1k", num_train=1, num_test=1, frames=2)
    for folder in root.glob("*/*/*"):
        if folder.name != "090-near":
            shutil.rmtree(folder)
    return made


def prepared(tmp_path, name, tree, **options):
    builder = opengait.make_builder(tmp_path, name, **{**tree, **options})
    return builder, opengait.prepare(builder)


def test_casia_b_becomes_a_set_that_training_opens(tmp_path):
    tree = tmp_path / "tree"
    for number in (1, 74, 75):
        for condition in ("nm", "cl"):
            for view in (0, 90):
                made = walkers.make_sequence(0, number, condition, 1, view, 5)
                folder = tree / f"{number:03d}" / f"{condition}-01" / f"{view:03d}"
                trees.put(folder / f"{view:03d}.pkl", made["sils"])
    (tree / ".DS_Store").write_text("stray")
    options = {"source": str(tree), "partial": True}
    builder, rows = prepared(tmp_path, "casia_b", options)
    assert builder.folder == tmp_path / "casia_b" / "1.0.0"
    assert builder.plan.report[0] == (
        "train: 74 ids, 2 found, 72 missing (002, 003, 004, ...)"
    )
    data = make_data(name="casia_b", dir=str(tmp_path), p=2, k=2)
    assert data.names == ["001", "074"]
    assert data.train.index.names[1] == "001-cl-01-090"
    assert set(data.train.index.take) == {"01"}
    want = walkers.make_sequence(0, 75, "nm", 1, 90, 5)["sils"]
    row = data.test.index.names.tolist().index("075-nm-01-090")
    np.testing.assert_array_equal(data.test.with_keys(("sils",))[row]["sils"], want)
    assert [row.status for row in rows].count("kept") == 12
    assert rows[-1].path == ".DS_Store" and rows[-1].status == "ignored"
    assert not manifest.failed(rows)
    with pytest.raises(GaitError, match=r"74 ids in the split, 2 found.*--partial"):
        opengait.make_builder(tmp_path, "casia_b", source=str(tree))


def test_modalities_by_name_make_variants_beside_one_another(tmp_path, gait3d):
    both, _ = prepared(tmp_path, "gait3d", gait3d, modalities=["smpl", "sils"])
    with pytest.raises(GaitError, match=r"gait3d is not prepared .*but for sils\+smpl"):
        make_data(name="gait3d", dir=str(tmp_path))
    plain, _ = prepared(tmp_path, "gait3d", gait3d)
    assert both.folder == tmp_path / "gait3d" / "sils+smpl" / "1.0.0"
    test = open_split(both.folder, "test")
    assert set(test.modalities) == {"sils", "smpl"} and len(test) == 12
    assert test.with_keys(("smpl",))[0]["smpl"].shape == (3, 85)
    assert open_split(plain.folder, "test").modalities == ("sils",)
    assert len(test.index.lists["probe"] & set(test.index.names)) == 2
    assert len(make_data(name="gait3d/sils+smpl", dir=str(tmp_path)).test) == 12


def test_modality_in_a_tree_of_its_own(tmp_path, gait3d):
    """SMPL not merged: the same folders elsewhere, one file in each."""
    apart = tmp_path / "smpl"
    shutil.copytree(gait3d["source"], tmp_path / "sils")
    for path in (tmp_path / "sils").glob("*/*/*/smpls-*"):
        target = apart / path.relative_to(tmp_path / "sils").parent
        target.mkdir(parents=True)
        path.rename(target / f"{target.name}.pkl")
    tree = gait3d | {"source": str(tmp_path / "sils"), "beside": {"smpl": str(apart)}}
    _, rows = prepared(tmp_path, "gait3d/sils+smpl", tree)
    assert [row.status for row in rows] == ["kept"] * 24


@pytest.mark.parametrize(
    "variant, options, keys, frames",
    [
        ("", {}, ("sils", "ranges"), 2),
        ("/native-sils", {}, ("sils",), 6),
        (
            "/native-ranges",
            {"rate": "native", "modalities": ["ranges"]},
            ("ranges",),
            2,
        ),
        ("/points", {"modalities": ["points"]}, ("points",), 2),
    ],
)
def test_sustech1k_by_rate_and_name(
    tmp_path, sustech1k, variant, options, keys, frames
):
    builder, _ = prepared(tmp_path, "sustech1k" + ("" if options else variant),
                          sustech1k, **options)  # fmt: skip
    assert builder.folder == tmp_path / f"sustech1k{variant}" / "1.0.0"
    split = open_split(builder.folder, "train")
    assert set(split.modalities) == set(keys)
    assert set(split.index.num_frames) == {frames}
    assert sorted(split.index.take) == [f"0{take}" for take in range(5)]
    number = "08-sync" if "native" not in variant else "00"
    name, key = f"{number}-090-near-LiDAR-PCDs", keys[-1]
    folder = pathlib.Path(sustech1k["source"], "0000", "00-nm", "090-near")
    record = split.with_keys(keys)[0]
    if key == "ranges":
        name = name.replace("08", "09").replace("00-090", "01-090") + "_depths"
        stored = pickle.loads((folder / f"{name}.pkl").read_bytes())
        np.testing.assert_array_equal(record[key], stored.transpose(0, 2, 3, 1))
    if key == "points":
        for frame, cloud in zip(
            record[key],
            pickle.loads((folder / f"{name}.pkl").read_bytes()),
            strict=True,
        ):
            np.testing.assert_array_equal(frame[: len(cloud)], np.float32(cloud))
            assert np.isnan(frame[len(cloud) :]).all()


def test_native_rates_of_two_sensors_do_not_go_together(tmp_path, sustech1k):
    builder = opengait.make_builder(tmp_path, "sustech1k", rate="native", **sustech1k)
    row = builder.check()[0]
    assert row.status == "dropped"
    assert row.note == (
        "lengths: sils 6 frames, ranges 2 frames; take the synchronised files with "
        "--rate sync"
    )


def test_a_pattern_names_another_file(tmp_path, sustech1k):
    options = {"modalities": ["sils=08-sync*"]}
    builder = opengait.make_builder(tmp_path, "sustech1k", **sustech1k, **options)
    note = builder.check()[0].note
    assert note.startswith(("size: sils", "ragged: sils", "shape: sils"))  # clouds
    options = {"modalities": ["sils=*Sils_*"]}
    builder = opengait.make_builder(tmp_path, "sustech1k", **sustech1k, **options)
    assert builder.check()[0].note.startswith("several files: ")


def test_grew_probes_without_their_type_folder(tmp_path):
    tree = tmp_path / "tree"
    sils = walkers.make_sequence(0, 1, "nm", 1, 90, 2)["sils"]
    for path in ("00001train/00/aaaa", "00001/01/bbbb", "probe/cccc", "probe/03/dddd"):
        trees.put(tree / path / f"{path[-4:]}.pkl", sils)
    options = {"source": str(tree), "partial": True}
    builder, _ = prepared(tmp_path, "grew", options)
    names = open_split(builder.folder, "test").index.names
    assert names.tolist() == ["00001-01-bbbb", "probe-03-dddd", "probe-03-cccc"]


def test_splits_that_are_rules():
    sizes = {
        name: tuple(map(len, layout.split()))
        for name, layout in layouts.layouts().items()
        if layout.split
    }
    assert sizes == {
        "casia_b": (74, 50),
        "oumvlp": (5153, 5154),
        "grew": (20000, 6001),
        "ccpg": (100, 100),
    }
    for name in sizes:
        train, test = layouts.find(name).split()
        assert not set(train) & set(test)
        assert len(set(train + test)) == len(train + test)


def test_poses_become_heat_maps(gait3d):
    poses = np.random.default_rng(0).uniform(20, 80, (3, 18, 3))
    poses[..., 2] = 0.9
    coco = poses[:, list(pose.FROM_OPENPOSE)]
    want = pose.heat_maps(coco)
    np.testing.assert_array_equal(read("heatmaps", poses).array, want)
    np.testing.assert_array_equal(read("heatmaps", coco).array, want)
    rows = np.concatenate([np.zeros((3, 2)), coco.reshape(3, -1)], 1)  # GREW's
    np.testing.assert_array_equal(read("heatmaps", rows).array, want)
    maps = want.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(read("heatmaps", maps).array, want)
    with pytest.raises(
        GaitError, match=r"expected \[t,17,3\] or \[t,18,3\], got 3x16x3"
    ):
        read("heatmaps", coco[:, :16])


def test_interrupted_preparation_goes_on(tmp_path, gait3d, monkeypatch, capfd):
    """Whole parts are kept, one that lost a sequence is made again."""
    monkeypatch.setattr(parts, "SMALLEST_PART", 4)
    tree = tmp_path / "tree"
    shutil.copytree(gait3d["source"], tree)
    bad = min(tree.glob("0001/*/*/sils-*"))  # in the second part of the three
    content = bad.read_bytes()
    bad.write_bytes(content[:100])
    one = opengait.make_builder(tmp_path, "gait3d", **(gait3d | {"source": str(tree)}))
    convert = opengait.convert_part

    def stop(part, **kwargs):
        if part.split == "test":
            raise KeyboardInterrupt
        return convert(part, **kwargs)

    monkeypatch.setattr(opengait, "convert_part", stop)
    with pytest.raises(KeyboardInterrupt):
        opengait.prepare(one)
    marks = {p.name: p.stat().st_mtime_ns for p in one.parts.glob("*.shard")}
    assert len(marks) == 3 and not common.is_prepared(one.folder)
    bad.write_bytes(content)
    monkeypatch.setattr(opengait, "convert_part", convert)
    kept = {}
    link = opengait._link

    def look(path, target):
        kept[path.name] = path.stat().st_mtime_ns
        link(path, target)

    monkeypatch.setattr(opengait, "_link", look)
    again = opengait.make_builder(
        tmp_path, "gait3d", **(gait3d | {"source": str(tree)})
    )
    rows = opengait.prepare(again)
    assert "going on after 2 of 6 parts" in capfd.readouterr().err
    assert {name for name in marks if kept[name] == marks[name]} == {
        "train-00000.shard",
        "train-00002.shard",
    }
    assert [row.status for row in rows] == ["kept"] * 24
    assert len(open_split(again.folder, "train")) == 12
    assert not again.parts.exists()


def test_other_options_on_a_prepared_set_are_refused(tmp_path, gait3d):
    prepared(tmp_path, "gait3d", gait3d)
    other = opengait.make_builder(
        tmp_path, "gait3d", **gait3d, modalities=["sils=sils-*"]
    )
    with pytest.raises(GaitError, match=r"was made with another files .*delete it"):
        opengait.prepare(other)


@pytest.mark.parametrize(
    "name, options, line",
    [
        ("gait3", {}, "unknown data set gait3; did you mean gait3d?"),
        ("gait3d", {"modalities": ["sil"]}, "unknown modality of files sil; did you"),
        ("gait3d", {"rate": "sync"}, "--rate sync: gait3d has no rates"),
        ("sustech1k/nativ", {}, "sustech1k/nativ: nativ is no variant; expected a"),
        ("gait3d", {"partition": None}, "the split of gait3d is not a rule: give its"),
        ("gait3d", {"source": "nowhere"}, "--source nowhere is not a folder"),
        ("gait3d", {"beside": {"smpl": "x"}}, "--beside smpl=x is not a folder"),
        ("gait3d", {"size": (64, 44), "normalise": True}, "makes square pictures"),
    ],
)
def test_mistakes_in_the_options(tmp_path, gait3d, name, options, line):
    with pytest.raises(GaitError) as error:
        opengait.make_builder(tmp_path, name, **(gait3d | options))
    assert line in str(error.value) and "\n" not in str(error.value)


def test_trees_that_hold_no_sequences(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(GaitError, match="holds no sequences, expected <id>/<type>"):
        source.scan(tmp_path / "one", layouts.Layout())
    (tmp_path / "one" / "walk.mp4").write_bytes(b"")
    with pytest.raises(GaitError, match="holds videos, gaitjax needs person masks"):
        source.scan(tmp_path / "one", layouts.Layout())


def test_command_line_says_what_it_did(tmp_path, gait3d):
    """Workers of its own; exit codes 0, 3 and 1; the set that is there is not made."""
    tree = tmp_path / "tree"
    shutil.copytree(gait3d["source"], tree)
    max(tree.glob("3001/*/*/sils-*")).write_bytes(b"\x80")
    line = [sys.executable, str(ROOT / "tools/prepare_dataset.py"), "gait3d"]
    line += ["--dir", str(tmp_path / "out"), "--processes", "1"]
    line += ["--partition", gait3d["partition"], "--source"]

    def call(*words):
        return subprocess.run([*line, *words], capture_output=True, text=True)

    made = call(str(tree))
    assert made.returncode == 3, made.stderr
    assert "train: 2 ids, 2 found, 0 missing" in made.stdout
    assert "kept 23 of 24 sequences (train 12, test 11)" in made.stdout
    assert "dropped 1: unreadable 1" in made.stdout
    table = tmp_path / "out" / "gait3d" / "1.0.0" / "manifest.tsv"
    assert str(table) in made.stdout and len(manifest.read(table)) == 24
    assert "error" not in made.stderr
    again = call(str(tree), "--keep-going")  # it is there, nothing is read again
    assert (
        again.returncode == 0
        and again.stdout.splitlines()[-3:] == (made.stdout.splitlines()[-3:])
    )
    wrong = call(str(tree / "0000"))
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr
    recipe = json.loads((table.parent / "recipe.json").read_text())
    assert recipe["size"] == [64, 64] and recipe["keys"] == ["sils"]


@pytest.mark.slow
def test_command_line_verifies_and_goes_on(tmp_path, gait3d):
    line = [sys.executable, str(ROOT / "tools/prepare_dataset.py"), "gait3d"]
    line += ["--dir", str(tmp_path), "--processes", "1", "--source", gait3d["source"]]
    line += ["--partition", gait3d["partition"]]
    done = subprocess.run([*line, "--verify-only"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"1.0.0.checked.tsv"}


def test_ragged_clouds_become_batches_of_one_shape(tmp_path, sustech1k):
    """Every record has its own number of points; the batch has data.points."""
    prepared(tmp_path, "sustech1k/points", sustech1k)
    data = make_data(
        name="sustech1k/points", dir=str(tmp_path), p=1, k=4, frames=2, points=100
    )
    assert data.shapes(("points",)) == {"points": (100, 3)}
    split = data.train.with_keys(("points",))
    assert len({split[row]["points"].shape for row in range(len(split))}) > 1
    rows = np.arange(4)
    (batch,) = train_batches(
        data, split, lambda step: rows, data.labels, seed=0, start=0, stop=1
    )
    assert batch["points"].shape == (4, 2, 100, 3)
    for row, frames in zip(rows, batch["points"], strict=True):
        stored = {tuple(p) for frame in split[row]["points"] for p in frame.tolist()}
        drawn = frames[np.isfinite(frames).all(-1)].tolist()
        assert {tuple(point) for point in drawn} <= stored and drawn
    again = [
        batch["points"]
        for _ in range(2)
        for _, batch in embed_batches(data, split, rows, batch=4, buckets=1)
    ]
    assert again[0].shape == (4, 2, 100, 3)
    np.testing.assert_array_equal(again[0], again[1])
