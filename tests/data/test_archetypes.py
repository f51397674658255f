"""Archetypal analysis on bodies whose corners are known."""

import pathlib
import runpy
import sys

import numpy as np
import pytest
from scipy.optimize import minimize

from gaitjax.data import archetypes, topology
from gaitjax.errors import GaitError

TOOL = pathlib.Path(__file__).parents[2] / "tools/make_markers.py"
CORNERS = np.array([0, 3, 4, 9])
MIRROR = np.array([3, 2, 1, 0, 4, 6, 5, 8, 7, 9])


def blob(frames=6):
    """Four corners that move freely, 0 and 3 each other's image, 4 and 9 their own, and
    six vertices between them: meshes f[s, 10, 3] and their mixtures f[4, 10]."""
    rng = np.random.default_rng(0)
    shares = np.zeros((4, 10))
    shares[:, CORNERS] = np.eye(4)
    inner = rng.dirichlet(np.ones(4), 3).T
    shares[:, [1, 5, 7]] = inner
    shares[:, [2, 6, 8]] = inner[[1, 0, 2, 3]]  # 0 and 3 change places
    corners = rng.normal(size=(frames, 4, 3))
    return np.einsum("kv,ski->svi", shares, corners), shares


@pytest.mark.parametrize("mirror", [None, MIRROR])
@pytest.mark.parametrize("seed", [0, 1])
def test_corners_of_a_polytope_are_found_and_explain_everything(mirror, seed):
    meshes, shares = blob()
    chosen = archetypes.markers(meshes, 4, mirror, seed)
    assert sorted(chosen.tolist()) == CORNERS.tolist()
    images = None
    if mirror is not None:
        images = (np.array([chosen.tolist().index(MIRROR[v]) for v in chosen]), MIRROR)
    weights = archetypes.interpolation(meshes, meshes[:, chosen], images)
    order = np.argsort(chosen)
    np.testing.assert_allclose(weights[order], shares, atol=1e-5)
    assert archetypes.errors(weights, meshes[:, chosen], meshes).max() < 1e-5


def test_frames_without_labels_are_left_out():
    meshes, _ = blob()
    holed = np.insert(meshes, 2, np.nan, axis=0)
    again = archetypes.markers(holed, 4)
    np.testing.assert_array_equal(again, archetypes.markers(meshes, 4))
    weights = archetypes.interpolation(holed, holed[:, CORNERS])
    want = archetypes.interpolation(meshes, meshes[:, CORNERS])
    np.testing.assert_array_equal(weights, want)


def test_mixtures_equal_a_general_solver_outside_the_hull():
    rng = np.random.default_rng(1)
    points, paths = rng.normal(size=(7, 3)), 2 * rng.normal(size=(7, 4))
    got = archetypes.simplex(points, paths)
    np.testing.assert_allclose(got.sum(0), 1)
    for column, share in zip(paths.T, got.T, strict=True):
        best = minimize(
            lambda a, column=column: ((points @ a - column) ** 2).sum(),
            np.full(3, 1 / 3),
            method="SLSQP",
            bounds=[(0, 1)] * 3,
            constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
            options={"ftol": 1e-12},
        )
        size = ((points @ share - column) ** 2).sum()
        assert size == pytest.approx(best.fun, rel=1e-4)
        np.testing.assert_allclose(share, best.x, atol=1e-3)


def test_choice_is_its_own_mirror_image_and_weights_too():
    rng = np.random.default_rng(2)
    half = rng.normal(size=(5, 8, 3)) + (1, 0, 0)
    meshes = np.concatenate([half, half * (-1, 1, 1)], 1)
    meshes += 0.1 * rng.normal(size=meshes.shape)
    mirror = np.roll(np.arange(16), 8)
    chosen = archetypes.markers(meshes, 6, mirror)
    assert len(set(chosen.tolist())) == 6
    assert set(mirror[chosen].tolist()) == set(chosen.tolist())
    place = np.array([chosen.tolist().index(mirror[v]) for v in chosen])
    weights = archetypes.interpolation(meshes, meshes[:, chosen], (place, mirror))
    np.testing.assert_allclose(weights[place][:, mirror], weights, atol=1e-7)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize("image", [[0, 2, 1], [0, 1, 2], [0, 2, 1, 3], [1, 0, 3, 2]])
def test_any_number_of_markers_that_pairs_allow(image):
    image = np.array(image)
    alone = (image == np.arange(len(image))).any()
    for k in range(1, len(image) + 1):
        if k % 2 and not alone:
            continue
        for seed in range(8):
            paths = np.random.default_rng(seed).normal(size=(5, len(image)))
            rng = np.random.default_rng(seed)
            found = archetypes.farthest(paths, k, image, rng)
            assert len(found) == len(set(found)) == k
            assert set(image[found]) == set(found)


def test_compressed_paths_keep_their_distances():
    paths = np.random.default_rng(3).normal(size=(30, 12))
    small = archetypes.compress(paths)
    assert len(small) <= 12
    np.testing.assert_allclose(small.T @ small, paths.T @ paths, rtol=1e-3, atol=1e-3)


def test_mirror_of_a_symmetric_pose():
    rng = np.random.default_rng(4)
    half = rng.uniform(0.1, 1.0, (5, 3))
    template = np.concatenate([half, half * (-1, 1, 1), [[0.0, 5.0, 0.0]]]) + 7
    image = archetypes.mirror_of(template)
    assert image.tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 10]
    with pytest.raises(GaitError, match="no pairing of 0..10"):
        archetypes.mirror_of(rng.normal(size=(11, 3)))


def test_bad_input_is_named():
    meshes, _ = blob()
    with pytest.raises(GaitError, match=r"expected a mesh sequence \[s, v, 3\]"):
        archetypes.markers(meshes[0], 4)
    with pytest.raises(GaitError, match="11 markers of 10 vertices"):
        archetypes.markers(meshes, 11)
    pairs = np.roll(np.arange(10), 5)
    with pytest.raises(GaitError, match="3 markers of 10 vertices, 0 of them"):
        archetypes.markers(meshes, 3, pairs)
    with pytest.raises(GaitError, match="no frame of the meshes"):
        archetypes.markers(meshes * np.nan, 2)
    with pytest.raises(GaitError, match="mirror table of the vertices"):
        archetypes.markers(meshes, 2, np.arange(9))


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name="__main__")


def test_tool_measures_any_number_of_markers(tmp_path, monkeypatch, capsys):
    meshes, _ = blob(10)
    np.savez(tmp_path / "in.npz", vertices=meshes, mirror=MIRROR)
    run_tool(monkeypatch, tmp_path / "in.npz", "--markers", 4)
    assert "kept back: 2 frames, error mean 0.0" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]


@pytest.mark.parametrize("with_joints", [True, False])
def test_tool_writes_what_a_set_reads(with_joints, tmp_path, monkeypatch, capsys):
    """Markers, their images and the mixtures; without joints no mixtures."""
    rng = np.random.default_rng(5)
    half = rng.normal(size=(6, 40, 3))
    meshes = np.concatenate([half, half * (-1, 1, 1)], 1)
    joints = {"joints": meshes[:, :24] / 2} if with_joints else {}
    np.savez(tmp_path / "in.npz", vertices=meshes, template=meshes[0], **joints)
    run_tool(monkeypatch, tmp_path / "in.npz", tmp_path / "out.npz")
    made = topology.read(tmp_path / "out.npz")
    mirror, image = (made.mirrors[key] for key in ("vertices", "markers"))
    np.testing.assert_array_equal(mirror, np.roll(np.arange(80), 40))
    np.testing.assert_array_equal(made.markers[image], mirror[made.markers])
    said = capsys.readouterr().out
    assert ("no weights are written" in said) is not with_joints
    if with_joints:
        assert made.weights.shape == (88, 80)
    else:
        assert made.weights is None


def test_tool_says_what_is_wrong_in_one_line(tmp_path, monkeypatch):
    np.savez(tmp_path / "in.npz", meshes=np.zeros((2, 5, 3)))
    with pytest.raises(SystemExit, match="expected vertices .* it holds meshes"):
        run_tool(monkeypatch, tmp_path / "in.npz", tmp_path / "out.npz")
    np.save(tmp_path / "in.npy", np.zeros((2, 5, 3)))
    with pytest.raises(SystemExit, match="6 markers of 5 vertices"):
        run_tool(monkeypatch, tmp_path / "in.npy", "--markers", 6)
    with pytest.raises(SystemExit, match="a set's markers are 64, got --markers 6"):
        run_tool(monkeypatch, tmp_path / "in.npy", "out.npz", "--markers", 6)
    meshes = np.zeros((2, 5, 3))
    np.savez(tmp_path / "in.npz", vertices=meshes, joints=np.zeros((3, 24, 3)))
    with pytest.raises(SystemExit, match=r"joints are .*, expected \[2, 24, 3\]"):
        run_tool(monkeypatch, tmp_path / "in.npz", "out.npz")
    (tmp_path / "in.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(SystemExit, match=r"in.npz: .*; give .npy or .npz"):
        run_tool(monkeypatch, tmp_path / "in.npz", "out.npz")
