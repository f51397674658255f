"""The body's surface: closed, on the capsules of any body, and its own mirror image."""

import dataclasses
import pathlib
import runpy
import sys

import numpy as np
import pytest

from gaitjax.walkers import mesh
from gaitjax.walkers.body import CHEST, NECK, sample_body
from gaitjax.walkers.gait import sample_gait, walk
from gaitjax.walkers.kinematics import rotations_of
from gaitjax.walkers.surface import Capsules, capsules
from gaitjax.walkers.wear import Wear

TOOL = pathlib.Path(__file__).parents[2] / "tools/make_body_mesh.py"
MIRROR = np.array((1.0, -1.0, 1.0))


def walker(seed, wear=None):
    """A body and five moments of about a stride."""
    rng = np.random.default_rng(seed)
    body = sample_body(rng, 1.3)
    return body, walk(rng, body, sample_gait(rng, body, 1.3), 5, 5.0, wear)


def surface(body, motion):
    return mesh.vertices(body, motion.joints, motion.orientations)


def directed_edges():
    faces = mesh.faces()
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def test_every_edge_is_walked_once_each_way():
    edges = {tuple(edge) for edge in directed_edges().tolist()}
    assert len(edges) == len(directed_edges())
    assert edges == {(b, a) for a, b in edges}


def test_the_surface_is_one_sphere():
    num_vertices = len(mesh.mirror_vertices())
    assert 600 <= num_vertices <= 1000
    edges = directed_edges()
    assert num_vertices - len(edges) // 2 + len(mesh.faces()) == 2
    np.testing.assert_array_equal(np.unique(edges), np.arange(num_vertices))
    reached, grown = np.zeros(num_vertices, bool), np.arange(num_vertices) == 0
    while (reached != grown).any():
        reached = grown.copy()
        grown[edges[reached[edges[:, 0]], 1]] = True
    assert reached.all()


def test_faces_around_a_vertex_are_one_fan():
    following = {}  # at each vertex: from one neighbour to the next
    for face in mesh.faces().tolist():
        for a, b, c in (face, face[1:] + face[:1], face[2:] + face[:2]):
            following.setdefault(a, {})[b] = c
    for fan in following.values():
        start = next(iter(fan))
        here, steps = fan[start], 1
        while here != start:
            here, steps = fan[here], steps + 1
        assert steps == len(fan)


def test_faces_look_outwards_in_every_pose():
    for seed in range(3):
        points = surface(*walker(seed)).astype(np.float64)
        a, b, c = np.moveaxis(points[:, mesh.faces()], 2, 0)
        litres = 1e3 * (a * np.cross(b, c)).sum((1, 2)) / 6.0
        assert (litres > 30).all() and (litres < 150).all()


def test_the_tool_makes_the_shipped_mesh(tmp_path, monkeypatch, capsys):
    out = tmp_path / "mesh.npz"
    monkeypatch.setattr(sys, "argv", ["make_body_mesh.py", str(out)])
    runpy.run_path(str(TOOL), run_name="__main__")
    assert "928 vertices" in capsys.readouterr().out
    with np.load(out) as made, np.load(mesh.ASSET) as shipped:
        assert sorted(made) == sorted(shipped)
        for name in shipped:
            np.testing.assert_allclose(made[name], shipped[name], atol=1e-5)
    assert mesh.ASSET.stat().st_size < 200_000


def test_nearest_agrees_with_many_balls():
    rng = np.random.default_rng(0)
    around = Capsules(
        start=rng.normal(size=(1, 8, 3)),
        end=rng.normal(size=(1, 8, 3)),
        start_radius=rng.uniform(0.05, 0.6, 8),
        end_radius=rng.uniform(0.05, 0.6, 8),
    )
    around.end[:, 0] = around.start[:, 0] + 0.01  # one ball holds the other
    around.end[:, 1] = around.start[:, 1]
    points = 2.0 * rng.normal(size=(50, 3))
    _, offset, distance = mesh.nearest(points, around)
    share = np.linspace(0.0, 1.0, 2001)[:, None, None]
    centres = (1 - share) * around.start + share * around.end  # [s, c, 3]
    radii = (1 - share[..., 0]) * around.start_radius + share[
        ..., 0
    ] * around.end_radius
    apart = np.linalg.norm(points[:, None, None] - centres, axis=-1)  # [v, s, c]
    np.testing.assert_allclose(distance, (apart - radii).min(1), atol=1e-4)
    assert (np.linalg.norm(offset, axis=-1) >= distance).all()


@pytest.mark.parametrize("wear", [Wear(), Wear(load="box"), Wear(umbrella=0.3)])
def test_vertices_lie_on_the_capsules(wear):
    bound = mesh._binding()
    far = []
    for seed in range(4):
        body, motion = walker(seed, wear)
        points = surface(body, motion)
        around = capsules(body, motion)
        for frame in range(len(points)):
            _, _, distance = mesh.nearest(points[frame], around, frame)
            far.append(distance.min(1))
            assert far[-1].max() < 0.03
            # In the crook of an arm a vertex is inside, but near one of its own parts.
            own = np.ones_like(distance)
            held = bound.point, bound.part
            own[held] = np.abs(distance[held])
            assert own.min(1).max() < 0.03
    assert np.abs(far).mean() < 0.005


def test_weights_are_shares():
    bound = mesh._binding()
    assert (bound.weight > 0).all() and (bound.share >= 0).all()
    np.testing.assert_allclose(np.bincount(bound.point, bound.weight), 1.0)
    np.testing.assert_allclose(bound.share.sum(0), 1.0)


def test_the_average_body_in_the_pose_of_the_mesh_is_the_mesh():
    body = mesh.average_body()
    points = surface(body, mesh.spread_out(body))
    with np.load(mesh.ASSET) as shipped:
        np.testing.assert_allclose(points[0], shipped["vertices"], atol=1e-5)


def test_a_moment_alone_gives_the_same_vertices():
    body, motion = walker(0)
    points = surface(body, motion)
    assert points.dtype == np.float32
    alone = mesh.vertices(body, motion.joints[3:4], motion.orientations[3:4])
    np.testing.assert_allclose(alone[0], points[3], atol=1e-6)
    assert np.abs(points[3] - points[2]).max() > 0.05


def test_a_rigid_motion_carries_the_vertices_along():
    body, motion = walker(1)
    turn = rotations_of(np.float64(0.3), np.float64(-0.8), np.float64(2.0))
    shift = np.array((1.0, -2.0, 0.5))
    moved = mesh.vertices(
        body, motion.joints @ turn.T + shift, turn @ motion.orientations
    )
    expected = surface(body, motion) @ turn.T + shift
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_a_taller_body_is_a_larger_mesh():
    body = mesh.average_body()
    tall = dataclasses.replace(body, stature=1.1 * body.stature)
    np.testing.assert_allclose(
        surface(tall, mesh.spread_out(tall)),
        1.1 * surface(body, mesh.spread_out(body)),
        atol=1e-5,
    )


def test_a_belly_grows_forwards_and_only_there():
    slim = mesh.average_body()
    stout = dataclasses.replace(slim, belly_girth=1.3)
    pose = mesh.spread_out(slim)
    before, after = surface(slim, pose)[0], surface(stout, pose)[0]
    waist = pose.joints[0, 3]
    belly = np.linalg.norm(before - waist - (0.09, 0.0, 0.05), axis=1) < 0.06
    assert belly.sum() >= 3
    assert (after[belly, 0] - before[belly, 0] > 0.015).all()
    head = before[:, 2] > pose.joints[0, NECK, 2] + 0.05
    arms = np.abs(before[:, 1]) > 0.35
    np.testing.assert_array_equal(after[head | arms], before[head | arms])


def test_a_bent_elbow_turns_the_forearm_and_leaves_the_chest():
    body = mesh.average_body()
    pose = mesh.spread_out(body)
    orientations = pose.orientations.copy()
    orientations[:, 18] = orientations[:, 18] @ rotations_of(0.0, np.float64(-0.5), 0.0)
    moved = np.abs(mesh.vertices(body, pose.joints, orientations) - surface(body, pose))
    near = np.linalg.norm(surface(body, pose)[0] - pose.joints[0, CHEST], axis=1)
    assert moved.max() > 0.01
    assert moved[0, near < 0.2].max() == 0


def test_markers_are_vertices_spread_over_both_sides():
    index = mesh.marker_indices()
    assert index.shape == (64,) and len(set(index.tolist())) == 64
    body = mesh.average_body()
    points = surface(body, mesh.spread_out(body))
    chosen = mesh.markers(points)
    np.testing.assert_array_equal(chosen, points[:, index])
    apart = np.linalg.norm(chosen[0, :, None] - chosen[0], axis=-1) + np.eye(64)
    to_nearest = np.linalg.norm(points[0, :, None] - chosen[0], axis=-1).min(1)
    assert apart.min() > 0.10 and to_nearest.max() < 0.12
    assert (chosen[0, :, 1] > 0.01).sum() == (chosen[0, :, 1] < -0.01).sum()


def test_a_mirrored_pose_gives_mirrored_vertices_and_markers():
    body, motion = walker(2)
    swap = mesh.mirror_joints()
    joints = motion.joints[:, swap] * MIRROR
    orientations = motion.orientations[:, swap] * MIRROR * MIRROR[:, None]
    mirrored = mesh.vertices(body, joints, orientations)
    points = surface(body, motion)
    expected = points[:, mesh.mirror_vertices()] * MIRROR
    np.testing.assert_allclose(mirrored, expected, atol=1e-4)
    expected = mesh.markers(points)[:, mesh.mirror_markers()] * MIRROR
    np.testing.assert_allclose(mesh.markers(mirrored), expected, atol=1e-4)


@pytest.mark.parametrize(
    "image", [mesh.mirror_joints, mesh.mirror_markers, mesh.mirror_vertices]
)
def test_a_mirror_undoes_itself(image):
    there = image()
    np.testing.assert_array_equal(there[there], np.arange(len(there)))
    assert (there != np.arange(len(there))).sum() > 0.7 * len(there)


def test_mixtures_of_joints_and_markers_follow_the_body():
    weights = mesh.marker_weights()
    assert weights.shape == (88, len(mesh.mirror_vertices()))
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(0), 1.0, atol=1e-5)
    points = np.concatenate([mesh.mirror_joints(), 24 + mesh.mirror_markers()])
    image = mesh.mirror_vertices()
    np.testing.assert_allclose(weights[points][:, image], weights, atol=1e-6)
    body, motion = walker(9_999)  # nobody whom they were fitted to
    skin = surface(body, motion)
    both = np.concatenate([motion.joints, mesh.markers(skin)], 1)
    error = np.linalg.norm(np.einsum("mv,tmi->tvi", weights, both) - skin, axis=-1)
    assert error.mean() < 0.02 and np.median(error) < 0.015  # metres
    own = error[:, mesh.marker_indices()]
    assert np.median(own) < 0.002  # a marker is about itself
