"""Pictures of bodies at known places, and the errors that stand beside them."""

import dataclasses
import functools
import json
import pathlib
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image

from configs import gait3d_meshgait
from gaitjax import walkers
from gaitjax.data.pipeline import make_data
from gaitjax.errors import GaitError
from gaitjax.report import bodies
from gaitjax.walkers import mesh
from tools import show_meshgait

T, SIZE = 3, 64
KEYS = ("joints", "markers", "vertices")


@functools.cache
def made():
    keys = ("sils", *KEYS)
    return walkers.make_sequence(0, 1, "nm", 1, 70.0, T, keys=keys)


def walk(**changes):
    """A walker that is found where it is, with a heat map per joint."""
    labels = {key: made()[key] for key in KEYS}
    joints = bodies.from_pelvis(labels)["joints"]
    voxels = np.floor((joints / bodies.BOX + 0.5) * 16).astype(int)
    maps = np.zeros((T, 16, 16, 16, 24), np.float32)
    for t in range(T):
        for k, (x, y, z) in enumerate(voxels[t]):
            maps[t, z, y, x, k] = 1
    one = bodies.Walk("who", made()["sils"], maps, labels, labels)
    return dataclasses.replace(one, **changes)


def test_errors_are_seen_from_the_pelvis():
    true = walk()
    moved = {key: x + np.float32([1, 2, 3]) for key, x in true.found.items()}
    moved["joints"][:, 5] += (0.0, 0.03, 0.04)  # 50 mm of one joint in 24
    moved["vertices"] += (0.0, 0.0, 0.01)
    wanted = {key: x.copy() for key, x in true.wanted.items()}
    wanted["joints"][1, 7, 0] = np.nan
    found = bodies.errors_mm(walk(found=moved, wanted=wanted))
    np.testing.assert_allclose(found["joints"], [50 / 24, np.nan, 50 / 24], atol=1e-3)
    np.testing.assert_allclose(found["markers"], 0, atol=1e-3)
    np.testing.assert_allclose(found["vertices"], 10, atol=1e-2)
    line = bodies.error_line(walk(found=moved, wanted=wanted))
    assert line == "joints 2 mm, markers 0 mm, vertices 10 mm"
    assert bodies.error_line(walk(wanted={})) == "no labels"


def test_heat_is_seen_from_the_camera_and_from_its_right():
    maps = np.zeros((1, 4, 5, 6, 30), np.float32)
    maps[..., 0] = 1 / 120  # knows nothing
    maps[0, 3, 1, 5, 1] = 0.5
    maps[0, 0, 0, 0, 1] = 0.5 / 120
    maps[..., 24:] = 1  # markers are not drawn
    front, side = bodies.projected_heat(maps + 1e-12)
    assert front.shape == (1, 5, 6) and side.shape == (1, 5, 4)
    assert front[0, 1, 5] == front.max() == side[0, 1, 3] == side.max() > 0.95
    assert max(front[0, 4, 2], side[0, 4, 2]) < 1e-6


def test_what_is_near_hides_what_is_far_and_the_right_is_right():
    """A triangle on the right, near, over one in the middle, far."""
    near = [[0.0, -0.4, -0.5], [0.0, 0.4, -0.5], [0.8, 0.0, -0.5]]
    far = [[-0.4, -0.4, 0.5], [-0.4, 0.4, 0.5], [0.4, 0.0, 0.5]]
    corners = np.array(near + far)
    turn = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    faces = np.arange(6).reshape(2, 3)
    faces = faces if turn[2] < 0 else faces[:, ::-1]  # towards the camera
    seen = bodies.surface(corners, faces, SIZE, False).max(-1)
    assert seen[32, 20] and seen[32, 50] and not seen[32, 10] and not seen[32, 62]
    assert not bodies.surface(corners, faces[:, ::-1], SIZE, False).any()
    assert not bodies.surface(np.full_like(corners, np.nan), faces, SIZE, False).any()
    # From the right, away is on the right; a point on the right is nearest.
    np.testing.assert_allclose(bodies.turned(np.array([[1.0, 2, 3]])), [[3, 2, -1]])


def test_a_drawn_body_fills_its_silhouette():
    """From the camera, mesh and mask are one shape but for scale and perspective."""
    places = bodies.from_pelvis(walk().found)["vertices"][0]
    drawn = bodies.surface(places, mesh.faces(), SIZE, False).max(-1) > 0
    mask = bodies.silhouette(made()["sils"][0], SIZE)[..., 0] > 127
    rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
    box = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    tall = np.asarray(Image.fromarray(box).resize((box.shape[1] * 64 // len(box), 64)))
    left = [
        (mask & np.pad(tall, ((0, 0), (x, SIZE - x - tall.shape[1])))).sum()
        for x in range(SIZE - tall.shape[1])
    ]
    assert max(left) / (mask.sum() + tall.sum() - max(left)) > 0.75
    # A picture that lost ten columns a side gets them back.
    cut = bodies.silhouette(made()["sils"][0][:, 10:-10], SIZE)
    np.testing.assert_array_equal(cut, bodies.silhouette(made()["sils"][0], SIZE))


def test_movie_has_what_there_is():
    whole = bodies.movie([walk(), walk(sils=made()["sils"][:2])], mesh.faces(), SIZE)
    assert whole.dtype == np.uint8 and whole.shape[2:] == (9 * SIZE, 3)
    assert whole.shape[:2] == (T, bodies.CAPTION + 2 * (bodies.CAPTION + SIZE))
    assert (whole[0] != whole[1]).any()  # they walk
    low = whole[:, 2 * bodies.CAPTION + SIZE :]  # the walk of two frames begins again
    np.testing.assert_array_equal(low[2], low[0])

    bare = walk(wanted={key: x * np.nan for key, x in walk().wanted.items()})
    assert bodies.movie([bare], mesh.faces(), SIZE).shape[2] == 7 * SIZE
    only = {"joints": made()["joints"]}
    assert bodies.movie([walk(found=only, wanted={})], None, SIZE).shape[2] == 5 * SIZE
    dots = bodies.surface(walk().found["vertices"][0] - [0, 0, 5], None, SIZE, False)
    assert dots.any()


def test_written_as_png_and_gif(tmp_path):
    frames = np.arange(3 * 6 * 5 * 3, dtype=np.uint8).reshape(3, 6, 5, 3)
    bodies.write(tmp_path, frames)
    with Image.open(tmp_path / "bodies.png") as sheet:
        np.testing.assert_array_equal(np.asarray(sheet), frames[1])
    with Image.open(tmp_path / "bodies.gif") as gif:
        assert gif.n_frames == 3


def test_the_tool_looks_at_test_sequences_and_their_labels(data_dir, monkeypatch):
    config = gait3d_meshgait.get_config("tiny").to_dict()
    config["data"]["args"]["processes"] = 1

    def predict(params, model_state, batch):
        """The truth, but for the pelvis 0.1 m to the right."""
        places = {key: batch[key] - batch["joints"][:, :, :1] for key in KEYS}
        shift = jax.numpy.array([params, 0, 0])
        places["joints"] = places["joints"].at[:, :, 0].add(shift)
        return {"heatmaps": jax.numpy.ones((1, 4, 2, 2, 2, 88)) / 8, **places}

    run = types.SimpleNamespace(
        config=config,
        data=make_data(**config["data"]),
        options=types.SimpleNamespace(precision="float32"),
        method=types.SimpleNamespace(predict=predict),
    )
    state = types.SimpleNamespace(eval_params=0.1, model_state={})
    monkeypatch.setattr(show_meshgait, "restore_model", lambda run: state)
    walks = show_meshgait.look(run, 2, 4)
    assert len({one.name.split("-")[0] for one in walks}) == 2
    for one in walks:
        assert one.sils.shape == (4, 64, 44) and one.wanted["joints"].shape[0] == 4
        found = bodies.errors_mm(one)
        np.testing.assert_allclose(found["joints"], 100 * 23 / 24, rtol=1e-3)
        np.testing.assert_allclose(found["vertices"], 100, rtol=1e-3)
    assert show_meshgait.faces(run) is run.data.topology.faces


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no run"),
        ({"method": "supervised"}, "of the method supervised"),
        ({"method": "meshgait", "weights": {}}, "weights alone, without"),
    ],
)
def test_other_folders_are_refused(content, words, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(GaitError, match=words) as error:
        show_meshgait.opened(tmp_path)
    assert "\n" not in str(error.value)


def test_nothing_is_opened_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    words = ["show_meshgait.py", str(tmp_path), str(tmp_path / "file")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(show_meshgait, "opened", lambda folder: pytest.fail("opened"))
    with pytest.raises(OSError):
        show_meshgait.main()
    monkeypatch.setattr(sys, "argv", [*words, "--frames", "0"])
    with pytest.raises(GaitError, match="--frames"):
        show_meshgait.main()
    assert pathlib.Path(tmp_path / "file").read_bytes() == b""
