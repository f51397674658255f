"""Bad inputs: each is named in the manifest, and the good sequences beside it stay."""

import json
import os
import pathlib
import pickle
import shutil

import numpy as np
import pytest
from helpers.layouts import put
from PIL import Image

from gaitjax import walkers
from gaitjax.data import topology
from gaitjax.data.builders import common, manifest, opengait
from gaitjax.data.records import open_split
from gaitjax.errors import GaitError
from gaitjax.walkers import mesh

KEYS = ("sils", "ranges", "points", "heatmaps", "smpl", "joints", "vertices")
MARKER = pathlib.Path("/tmp/gaitjax_builder_was_here")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Everything in this process."""
    monkeypatch.setattr(common, "in_processes", lambda fn, tasks, *_: map(fn, tasks))


@pytest.fixture(scope="module")
def good():
    """The modalities of one sequence of four frames."""
    return walkers.make_sequence(0, 1, "nm", 1, 90, 4, keys=KEYS)


@pytest.fixture
def tree(tmp_path, good):
    """write(files) adds them as 001/bad/000; rows(keys) checks the whole tree."""
    root, partition = tmp_path / "tree", tmp_path / "split.json"
    partition.write_text(json.dumps({"TRAIN_SET": ["001"], "TEST_SET": ["002"]}))

    class Tree:
        bad = root / "001" / "bad" / "000"

        def write(self, **files):
            for subject in ("001", "002"):
                for key in files:
                    put(root / subject / "good" / "000" / f"{key}.pkl", good[key])
            for key, value in files.items():
                put(self.bad / f"{key}.pkl", value)

        def builder(self, *keys, **options):
            given = {"source": str(root), "partition": str(partition)}
            given |= {"modalities": keys or ("sils",)}
            return opengait.make_builder(
                tmp_path / "out", "folder", **(given | options)
            )

        def row(self, *keys, **options):
            """The bad one's row; the good ones are kept without a word."""
            rows = {row.path: row for row in self.builder(*keys, **options).check()}
            bad = rows.pop("001/bad/000")
            assert len(rows) == 2
            for row in rows.values():
                assert (row.status, row.frames, row.note) == ("kept", 4, "")
            return bad

    return Tree()


@pytest.fixture
def labels(good):
    """Joints and vertices of the walkers, as files have them."""
    return {key: good[key] for key in ("joints", "vertices")}


@pytest.fixture
def table(tmp_path):
    """The walkers' topology as a file."""
    np.savez(
        tmp_path / "table.npz",
        markers=mesh.marker_indices(),
        mirror_vertices=mesh.mirror_vertices(),
        mirror_markers=mesh.mirror_markers(),
    )
    return str(tmp_path / "table.npz")


class Evil:
    def __reduce__(self):
        return MARKER.touch, ()


def test_code_in_a_pickle_is_refused_and_not_run(tree, good):
    MARKER.unlink(missing_ok=True)
    tree.write(sils=[good["sils"], Evil()])
    row = tree.row()
    assert row.status == "dropped"
    assert row.note.startswith("refused: refusing ") and "numpy arrays" in row.note
    assert not MARKER.exists()


@pytest.mark.parametrize("size", [0, 1, 50, 500])
def test_truncated_pickle(tree, good, size):
    tree.write(sils=good["sils"])
    path = tree.bad / "sils.pkl"
    path.write_bytes(path.read_bytes()[:size])
    row = tree.row()
    assert row.status == "dropped" and row.frames == 0
    assert row.note.startswith("unreadable: cannot read ")
    assert str(path) in row.note and f"{size} bytes; an interrupted copy?" in row.note


def test_bytes_that_are_no_pickle_never_stop_the_others(tree, good):
    """Any damage is a dropped row, whatever the unpickler raises."""
    tree.write(sils=good["sils"])
    path, rng = tree.bad / "sils.pkl", np.random.default_rng(0)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(30):
        damaged = whole.copy()
        damaged[rng.integers(0, 200, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        row = tree.row()
        assert row.status == "dropped" or row.frames > 0


@pytest.mark.parametrize(
    "value, note",
    [
        (np.zeros((0, 64, 64), np.uint8), "no frames: sils is empty"),
        ([], "no frames: sils is empty"),
        (np.zeros((3, 64, 64), np.uint8), "no frames: all silhouettes are empty"),
        ({"a": np.zeros(3)}, "content: sils: expected an array [t, ...] or a list"),
        ("text", "content: sils: expected an array"),
        (["a", "b"], "content: sils: expected frames that are arrays of numbers"),
        (np.zeros((3, 64, 64, 3), np.uint8), "shape: sils: expected [t,h,w]"),
        (np.full((3, 64, 64), np.nan), "NaN: silhouettes hold NaN"),
        (np.full((3, 64, 64), -1.0), "values: sils: expected 0 to 255 or 0 to 1"),
    ],
)
def test_content_that_is_no_silhouettes(tree, value, note):
    tree.write(sils=value)
    row = tree.row()
    assert row.status == "dropped" and row.note.startswith(note)


def test_part_labels_are_no_silhouettes(tree, good):
    tree.write(sils=good["sils"] // 23)  # 0..11
    assert tree.row().note.startswith("values: ")


def test_one_frame_is_kept_and_said(tree, good):
    tree.write(sils=good["sils"][:1])
    row = tree.row()
    assert (row.status, row.frames) == ("kept", 1)
    assert row.note == "1 frame: no gait in it"


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64, np.float64])
def test_masks_of_0_and_1_are_scaled_and_said(tree, good, dtype, tmp_path):
    masks = good["sils"] > 127
    tree.write(sils=masks.astype(dtype))
    builder = tree.builder()
    row = next(r for r in opengait.prepare(builder) if "bad" in r.path)
    assert row.status == "kept"
    assert row.note == "scaled: values are 0 to 1, now 0 to 255"
    train = open_split(builder.folder, "train").with_keys(("sils",))
    stored = train[train.index.condition.tolist().index("bad")]["sils"]
    np.testing.assert_array_equal(stored, 255 * masks.astype(np.uint8))


def test_inverted_masks(tree, good):
    tree.write(sils=255 - good["sils"])
    row = tree.row()
    assert row.status == "dropped"
    assert row.note.startswith("not masks: median foreground ")
    assert "(expected 5-60 %): masks look inverted" in row.note


def test_no_walker_fills_as_much_as_an_inverted_mask():
    """The fullest: cut off by the picture's edge, in a coat, with bag and umbrella."""
    for words in ("cl-tr", "bg-cl-cr-tr-ub", "oc-tr"):
        for view in (0, 90):
            sils = walkers.make_sequence(0, 3, words, 1, view, 4)["sils"]
            assert np.median((sils > 0).mean((1, 2))) < 0.6


@pytest.mark.parametrize("shape", [(64, 44), (128, 88), (128, 128)])
def test_wrong_size_is_named_and_can_be_chosen_or_normalised(tree, good, shape):
    wrong = np.zeros((4, *shape), np.uint8)
    wrong[:, :64, :44] = good["sils"][:, :, 10:54]
    tree.write(sils=wrong)
    row = tree.row()
    assert row.status == "dropped"
    assert row.note.startswith(
        f"size: sils: expected frames 64x64, got {shape[0]}x{shape[1]}; give --size"
    )
    rows = {row.path: row for row in tree.builder(size=shape).check()}
    assert rows["001/bad/000"].status == "kept"
    assert rows["001/good/000"].note.startswith("size: ")
    builder = tree.builder(normalise=True)
    assert all(row.status == "kept" for row in opengait.prepare(builder))
    train = open_split(builder.folder, "train").with_keys(("sils",))
    assert train[0]["sils"].shape == (4, 64, 64) and train[0]["sils"].any()


def test_ragged_frames_are_named_and_can_be_normalised(tree, good):
    ragged = [np.pad(sil, ((0, 0), (2 * i, i))) for i, sil in enumerate(good["sils"])]
    tree.write(sils=ragged)
    row = tree.row()
    assert row.status == "dropped"
    assert row.note.startswith("ragged: sils: expected frames 64x64, got 64x64, 64x67")
    builder = tree.builder(normalise=True)
    assert all(row.status == "kept" for row in opengait.prepare(builder))
    train = open_split(builder.folder, "train").with_keys(("sils",))
    one, other = (train[row]["sils"] for row in (0, 1))
    np.testing.assert_array_equal(one, other)  # padding changes nothing


def test_missing_modality(tree, good):
    tree.write(sils=good["sils"], smpl=good["smpl"])
    (tree.bad / "smpl.pkl").unlink()
    row = tree.row("sils", "smpl")
    assert row.status == "dropped"
    assert row.note.startswith("no file: smpl: expected smpls-*.pkl")
    assert "the folder holds sils.pkl" in row.note


def test_modalities_of_different_length(tree, good):
    tree.write(sils=good["sils"], smpl=good["smpl"][:3])
    row = tree.row("sils", "smpl")
    assert row.status == "dropped"
    assert row.note.startswith("lengths: sils 4 frames, smpl 3 frames; frame i must")


def test_lidar_frames_of_nan_and_without_points(tree, good):
    """NaN points go; frames without any go, from every modality alike."""
    clouds = [cloud[np.isfinite(cloud).all(1)] for cloud in good["points"]]
    clouds[0] = clouds[0].copy()
    clouds[0][:3, 1] = np.nan
    clouds[2] = np.full((5, 3), np.inf)
    tree.write(points=clouds, sils=good["sils"])
    builder = tree.builder("sils", "points")
    row = next(r for r in opengait.prepare(builder) if "bad" in r.path)
    assert (row.status, row.frames) == ("kept", 3)
    total = sum(map(len, clouds))
    assert row.note == (
        f"NaN points: 8 of {total} left out; empty frames: 1 of 4 left out"
    )
    train = open_split(builder.folder, "train").with_keys(("sils", "points"))
    record = train[train.index.condition.tolist().index("bad")]
    np.testing.assert_array_equal(record["sils"], good["sils"][[0, 1, 3]])
    counts = np.isfinite(record["points"]).all(-1).sum(1)
    assert counts.tolist() == [len(clouds[0]) - 3, len(clouds[1]), len(clouds[3])]
    assert record["points"].shape[1] == counts.max()
    np.testing.assert_array_equal(record["points"][0, : counts[0]], clouds[0][3:])


@pytest.mark.parametrize("empty", [np.zeros((0, 3)), np.zeros(0), []])
def test_clouds_of_zero_points(tree, good, empty):
    cloud = good["points"][0][:9]
    tree.write(points=[cloud, empty, cloud, cloud])
    assert (row := tree.row("points")).frames == 3 and "empty frames: 1" in row.note
    tree.write(points=[cloud, empty, empty, empty])
    row = tree.row("points")
    assert row.status == "dropped"
    assert row.note == "empty frames: 3 of 4 have no content"


def test_labels_and_heat_maps_with_nan(tree, good):
    smpl = good["smpl"].copy()
    smpl[1, 5] = np.nan
    tree.write(smpl=smpl)
    row = tree.row("smpl")
    assert row.note == "NaN labels: smpl in 1 of 4 frames, kept as NaN"
    tree.write(smpl=np.full_like(smpl, np.nan))
    assert tree.row("smpl").note == "NaN: smpl has no frame without NaN"
    tree.write(smpl=smpl[:, :72])
    assert (
        tree.row("smpl").note == "shape: smpl: expected float32 tx85, got float32 4x72"
    )


def test_meshes_and_joints_of_another_body(tree, labels, table):
    tree.write(**labels)
    row = tree.row(*labels, topology=table)
    assert (row.status, row.note) == ("kept", "")
    tree.write(vertices=labels["vertices"][:, :900])
    note = "shape: vertices: expected float32 tx928x3, got float32 4x900x3"
    assert tree.row("vertices", topology=table).note == note
    tree.write(joints=labels["joints"][:, :17])
    note = "shape: joints: expected float32 tx24x3, got float32 4x17x3"
    assert tree.row("joints").note == note
    some = labels["vertices"].astype(np.float64)
    some[2, 7, 1] = np.nan
    tree.write(vertices=some)
    note = "NaN labels: vertices in 1 of 4 frames, kept as NaN"
    assert tree.row("vertices", topology=table).note == note
    ragged = [*labels["vertices"][:3], labels["vertices"][3, :5]]
    tree.write(vertices=ragged)
    line = tree.row("vertices", topology=table).note
    assert line == "ragged: vertices has frames of 2 sizes (5x3, 928x3)"
    smpl = {row.note for row in tree.builder("vertices").check()}  # SMPL's by default
    assert any("expected float32 tx6890x3, got float32 4x928x3" in n for n in smpl)


def test_markers_are_the_vertices_that_the_table_says(tree, labels, table):
    tree.write(**labels)
    keys = ("joints", "vertices")
    plain = tree.builder(*keys, topology=table)
    assert opengait.prepare(plain)
    with pytest.raises(GaitError, match="made with another keys"):
        opengait.prepare(tree.builder(*keys, "markers", topology=table))
    shutil.rmtree(plain.folder)
    builder = tree.builder(*keys, "markers", topology=table)
    opengait.prepare(builder)
    split = open_split(builder.folder, "train").with_keys((*keys, "markers"))
    assert split.frame_shapes["vertices"] == (928, 3)
    record = split[0]
    np.testing.assert_array_equal(record["vertices"], labels["vertices"])
    np.testing.assert_array_equal(record["markers"], mesh.markers(record["vertices"]))
    found = topology.of_set(builder.folder)
    np.testing.assert_array_equal(found.mirrors["vertices"], mesh.mirror_vertices())


def test_table_can_be_added_to_a_set_that_is_there(tree, good, table):
    tree.write(sils=good["sils"])
    opengait.prepare(builder := tree.builder())
    assert "num_vertices" not in json.loads(
        (builder.folder / "recipe.json").read_text()
    )
    assert list(topology.of_set(builder.folder).mirrors) == ["joints"]
    opengait.prepare(tree.builder(topology=table))
    assert "vertices" in topology.of_set(builder.folder).mirrors


def test_pose_with_nan_becomes_heat_maps(tree, good):
    poses = np.random.default_rng(0).uniform(20, 90, (4, 17, 3))
    poses[2, 3] = np.nan
    tree.write(heatmaps=poses)
    row = tree.row("heatmaps")
    assert row.status == "kept"
    assert row.note == "NaN joints: in 1 of 4 frames, as not found"


def test_range_views_of_another_kind(tree, good):
    tree.write(ranges=good["ranges"][..., 0])
    assert tree.row("ranges").note.startswith("shape: ranges: expected uint8 tx64x64x3")


def pictures(folder, masks):
    folder.mkdir(parents=True)
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / f"{number:03d}.png")


def test_pictures_of_masks(tree, good):
    tree.write(sils=good["sils"])
    (tree.bad / "sils.pkl").unlink()
    tree.bad.rmdir()
    pictures(tree.bad, np.pad(good["sils"], ((0, 0), (9, 5), (7, 30))))
    row = tree.row()
    assert (row.status, row.frames, row.note) == ("kept", 4, "")
    (tree.bad / "001.png").write_bytes(b"\x89PNG1234")
    row = tree.row()
    assert (row.status, row.frames) == ("damaged", 3)
    assert row.note.startswith(
        "unreadable frames: 1 of 4 left out (first: 001.png, 8 bytes: "
    )
    for path in tree.bad.glob("*.png"):
        path.write_bytes(b"")
    assert tree.row().note.startswith("unreadable: all 4 pictures (first: 000.png, 0 b")


def test_pictures_that_are_tiny_cut_off_or_empty(tree, good):
    tree.write(sils=good["sils"])
    (tree.bad / "sils.pkl").unlink()
    small = np.zeros((4, 40, 40), np.uint8)
    small[:3, 10:25, 0:6] = 255
    tree.bad.rmdir()
    pictures(tree.bad, small)
    row = tree.row()
    assert (row.status, row.frames) == ("kept", 3)
    assert row.note == (
        "tiny: 15 rows tall before resizing; truncated: 3 of 4 frames touch a side; "
        "empty frames: 1 of 4 left out"
    )


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_arrays_of_numpy(tree, good, ending):
    tree.write(sils=good["sils"])
    (tree.bad / "sils.pkl").unlink()
    path = tree.bad / f"any_name.{ending}"
    save = np.save if ending == "npy" else np.savez
    save(path, good["sils"])
    assert tree.row().status == "kept"
    path.write_bytes(path.read_bytes()[:40])
    assert tree.row().note.startswith(f"unreadable: any_name.{ending}: ")
    np.save(tree.bad / "any_name.npy", np.array([{"a": 1}]), allow_pickle=True)
    if ending == "npy":
        assert tree.row().note.startswith("unreadable: any_name.npy: Object arrays")


def test_stray_files_are_ignored_and_counted(tree, good):
    tree.write(sils=good["sils"])
    root = tree.bad.parents[2]
    (root / "__MACOSX").mkdir()
    (root / "notes.txt").write_text("")
    (root / "001" / ".DS_Store").write_text("")
    (tree.bad / ".DS_Store").write_text("")
    (tree.bad / "Thumbs.db").write_text("")
    rows = tree.builder().check()
    ignored = [row.path for row in rows if row.status == "ignored"]
    assert sorted(ignored) == ["001/.DS_Store", "__MACOSX", "notes.txt"]
    assert sum(row.status == "kept" for row in rows) == 3
    assert not manifest.failed(rows)
    lines = list(manifest.summary(rows))
    assert lines[-1].startswith("ignored 3 stray files and folders (")


def test_ids_of_no_split_and_of_no_folder(tree, good, tmp_path):
    tree.write(sils=good["sils"])
    split = tmp_path / "split.json"

    def give(train, test):
        split.write_text(json.dumps({"TRAIN_SET": train, "TEST_SET": test}))

    give(["001"], ["2"])
    with pytest.raises(GaitError, match="test: 1 ids in the split, 0 found; found are"):
        tree.builder()
    give(["001", "003"], ["002"])
    with pytest.raises(GaitError, match="missing 003; check .*--partial to go on"):
        tree.builder()
    assert (
        "train: 2 ids, 1 found, 1 missing (003)"
        in tree.builder(partial=True).plan.report
    )
    put(tree.bad.parents[2] / "009" / "a" / "b" / "sils.pkl", good["sils"])
    give(["001"], ["002"])
    rows = tree.builder().check()
    assert [row.path for row in rows if row.status == "outside"] == ["009/a/b"]
    assert "left out 1 of 1 ids that are in no split" in list(manifest.summary(rows))
    assert not manifest.failed(rows)
    give(["001", "002"], ["002"])
    with pytest.raises(GaitError, match=r"1 ids are in both splits \(002\)"):
        tree.builder()
    give([1], ["002"])
    with pytest.raises(GaitError, match="expected .* with ids in quotes"):
        tree.builder()
    split.write_text('{"TRAIN_SET"')
    with pytest.raises(GaitError, match="cannot read --partition"):
        tree.builder()
    split.write_text(json.dumps(
        {"TRAIN_SET": ["001"], "TEST_SET": ["002"], "PROBE_SET": ["002-x-y"]}
    ))  # fmt: skip
    with pytest.raises(GaitError, match=r"none of the 1 names of PROBE_SET"):
        tree.builder()


def test_split_of_which_nothing_is_usable(tree, good):
    tree.write(sils=good["sils"])
    path = tree.bad.parents[2] / "002" / "good" / "000" / "sils.pkl"
    path.write_bytes(b"")
    builder = tree.builder()
    with pytest.raises(
        GaitError, match=r"test: no sequence is usable \(the first: unr"
    ):
        opengait.prepare(builder)
    assert not common.is_prepared(builder.folder)
    table = manifest.read(builder.folder.parent / "1.0.0.checked.tsv")
    assert [row.status for row in table] == ["kept", "kept", "dropped"]


def test_set_larger_than_the_disk(tree, good, monkeypatch):
    import shutil

    tree.write(sils=good["sils"])
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(GaitError, match=r"folder takes about .* has 0.0 GB free"):
        opengait.prepare(tree.builder())


def test_folder_that_may_not_be_read_or_holds_nothing(tree, good):
    tree.write(sils=good["sils"])
    os.rename(tree.bad / "sils.pkl", tree.bad / "walk.mp4")
    assert "a video, gaitjax needs person masks" in tree.row().note
    (tree.bad / "walk.mp4").unlink()
    assert "the folder holds nothing" in tree.row().note


def test_manifest_survives_what_notes_hold(tmp_path):
    rows = [
        manifest.Row("a/b/c", "train", "kept", 3, 'scaled: "x"\tand, so; tiny: 4'),
        manifest.Row("ä/b/c", "test", "dropped", 0, "unreadable: no"),
    ]
    manifest.write(tmp_path / "m.tsv", rows)
    assert manifest.read(tmp_path / "m.tsv") == rows
    assert rows[0].kinds == ["scaled", "tiny"]


def test_pickle_protocols_of_python_2(tree, good):
    tree.write(sils=good["sils"])
    (tree.bad / "sils.pkl").write_bytes(pickle.dumps(good["sils"], 2))
    assert tree.row().status == "kept"
