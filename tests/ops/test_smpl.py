"""SMPL on a small made-up model: a numpy twin, hand-checkable poses, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaitjax.data import smpl_file
from gaitjax.errors import GaitError
from gaitjax.ops import smpl

PARENTS = (-1, 0, 0, 1, 3)  # a chain of three beside a stump
FRAMES = 3


def _model(seed=0, parents=PARENTS, num_vertices=40, num_betas=4):
    """Random float64 arrays with SMPL's fields, as `smpl_file.load` gives them."""
    rng = np.random.default_rng(seed)
    j = len(parents)
    regressor = rng.dirichlet(np.full(num_vertices, 0.2), j)
    weights = rng.dirichlet(np.full(j, 0.3), num_vertices)
    return {
        "template": rng.normal(size=(num_vertices, 3)),
        "shape_dirs": 0.1 * rng.normal(size=(num_vertices, 3, num_betas)),
        "pose_dirs": 0.05 * rng.normal(size=(num_vertices, 3, 9 * (j - 1))),
        "joint_regressor": regressor,
        "weights": weights,
        "parents": parents,
    }


def _inputs(seed=1, frames=FRAMES):
    rng = np.random.default_rng(seed)
    pose = rng.normal(size=(frames, len(PARENTS), 3))
    return pose.astype(np.float32), rng.normal(size=(frames, 4)).astype(np.float32)


MODEL = _model()
BODY = smpl.Body(**MODEL)
skin = jax.jit(smpl.skin)


def test_equal_to_the_numpy_twin():
    """`data.smpl_file.skin`: float64, scipy's rotations and 4 x 4 matrices."""
    pose, betas = _inputs()
    joints, vertices = skin(BODY, pose, betas)
    want_joints, want = smpl_file.skin(MODEL, np.float64(pose), np.float64(betas))
    assert want.dtype == np.float64 and vertices.dtype == jnp.float32
    np.testing.assert_allclose(joints, want_joints, atol=3e-6)
    np.testing.assert_allclose(vertices, want, atol=3e-6)


def test_zero_pose_and_betas_give_the_template():
    pose, betas = np.zeros((FRAMES, 5, 3)), np.zeros((FRAMES, 4))
    for make in (skin, lambda _, *inputs: smpl_file.skin(MODEL, *inputs)):
        joints, vertices = make(BODY, pose, betas)
        want = np.broadcast_to(MODEL["template"], vertices.shape)
        np.testing.assert_allclose(vertices, want, atol=1e-6)
        at = MODEL["joint_regressor"] @ MODEL["template"]
        np.testing.assert_allclose(joints, np.broadcast_to(at, joints.shape), atol=1e-6)


def test_an_arm_to_check_by_head():
    """Joints at x 0, 1, 2, skin at x 0.5, 1.5, 2.5; the middle joint bends by 90."""
    x = np.array([0, 1, 2, 0.5, 1.5, 2.5])
    template = np.stack([x, 0 * x, 0 * x], -1)
    weights = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    arm = dict(template=template, weights=weights, joint_regressor=np.eye(3, 6))
    arm |= dict(shape_dirs=np.zeros((6, 3, 1)), pose_dirs=np.zeros((6, 3, 18)))
    arm |= dict(parents=(-1, 0, 1))
    pose = np.zeros((1, 3, 3), np.float32)
    pose[0, 1, 2] = np.pi / 2  # about z: x becomes y
    betas, shift = np.zeros((1, 1), np.float32), np.float32([[0, 0, 7]])
    joints, vertices = smpl.skin(smpl.Body(**arm), pose, betas, shift)
    want = [[0, 0, 7], [1, 0, 7], [1, 1, 7]]
    np.testing.assert_allclose(joints[0], want, atol=1e-6)
    want = [[0.5, 0, 7], [1, 0.5, 7], [1, 1.5, 7]]
    np.testing.assert_allclose(vertices[0, 3:], want, atol=1e-6)
    joints, vertices = smpl_file.skin(arm, pose, betas)
    np.testing.assert_allclose(vertices[0, 3:] + shift, want, atol=1e-6)


def test_a_turn_of_the_root_moves_everything_rigidly_about_the_root():
    pose, betas = _inputs()
    joints, vertices = skin(BODY, pose, betas)
    turn = Rotation.from_rotvec([0.4, -2.0, 0.9])
    turned = pose.copy()
    turned[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    root = joints[:, :1]
    now = skin(BODY, turned, betas)
    for before, after in zip((joints, vertices), now, strict=True):
        want = (before - root) @ turn.as_matrix().T.astype(np.float32) + root
        np.testing.assert_allclose(after, want, atol=5e-6)


@pytest.mark.parametrize("angle", [0, 1e-20, 1e-4, 0.49, 0.51, 3.14, 6.0, 20.0])
def test_rotations(angle):
    axis = np.array([2.0, -1.0, 2.0]) / 3
    got = smpl.rotations_about(np.float32(angle * axis))
    want = Rotation.from_rotvec(np.float32(angle * axis)).as_matrix()
    np.testing.assert_allclose(got, want, atol=1e-6)
    if angle == 0:
        np.testing.assert_array_equal(got, np.eye(3))


@pytest.mark.parametrize("size", [0.0, 1e-6, 0.499, 0.501, 2.0])
def test_derivative_of_a_rotation(size):
    """Against central differences of scipy's in float64; at zero also by head."""
    at = np.float32(size * np.array([2.0, -1.0, 2.0]) / 3)
    got = jax.jacobian(smpl.rotations_about)(at)  # [3, 3, 3]
    step = 1e-5 * np.eye(3)
    ends = [Rotation.from_rotvec(at + s * step).as_matrix() for s in (1, -1)]
    want = np.moveaxis(ends[0] - ends[1], 0, -1) / 2e-5
    np.testing.assert_allclose(got, want, atol=2e-6)
    if size == 0:
        np.testing.assert_array_equal(got[..., 2], [[0, -1, 0], [1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_gradients_against_differences_in_float64(size):
    """Of a random sum of vertices, to pose, betas and translation."""
    pose, betas = (size * x[0] for x in _inputs())
    rng = np.random.default_rng(2)
    mix = rng.normal(size=(40, 3)) / 10

    def total(pose, betas, shift):
        return (smpl.skin(BODY, pose, betas, shift)[1] * jnp.float32(mix)).sum()

    shift = np.zeros(3, np.float32)
    gradient = jax.jit(jax.grad(total, (0, 1, 2)))(pose, betas, shift)
    np.testing.assert_allclose(gradient[2], mix.sum(0), rtol=1e-5)
    assert all(np.isfinite(g).all() for g in gradient)
    for _ in range(3):  # in random directions
        ways = rng.normal(size=pose.shape), rng.normal(size=betas.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = (x + step * way for x, way in zip((pose, betas), ways, strict=True))
            _, vertices = smpl_file.skin(MODEL, *(x[None] for x in moved))
            ends.append((vertices[0] * mix).sum())
        got = sum((np.float64(gradient[i]) * ways[i]).sum() for i in range(2))
        np.testing.assert_allclose(got, (ends[0] - ends[1]) / 2e-5, rtol=1e-4)


def test_a_batch_is_its_rows():
    pose, betas = _inputs(frames=6)
    joints, vertices = skin(BODY, pose.reshape(2, 3, 5, 3), betas.reshape(2, 3, 4))
    assert joints.shape == (2, 3, 5, 3) and vertices.shape == (2, 3, 40, 3)
    for i in range(6):
        one, points = skin(BODY, pose[i], betas[i])
        np.testing.assert_allclose(joints[i // 3, i % 3], one, atol=1e-6)
        np.testing.assert_allclose(vertices[i // 3, i % 3], points, atol=1e-6)


@pytest.fixture(scope="module")
def person():
    """A made-up model with SMPL's joints, and estimates f32[4, 85], one with a NaN."""
    parents = (-1, 0, 0, 0, *range(1, 21))
    model = _model(3, parents, num_vertices=30, num_betas=10)
    estimates = np.random.default_rng(4).normal(size=(4, 85)).astype(np.float32)
    estimates[2, 40] = np.nan
    return model, estimates


def test_labels_are_root_relative_and_the_two_agree(person):
    model, estimates = person
    joints, vertices = smpl_file.labels(model, estimates)
    assert joints.dtype == vertices.dtype == np.float32
    on_device = jax.jit(smpl.labels)(smpl.Body(**model), estimates)
    for got, want in zip(on_device, (joints, vertices), strict=True):
        np.testing.assert_array_equal(np.isnan(want).all((1, 2)), [0, 0, 1, 0])
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_array_equal(joints[[0, 1, 3], 0], 0)
    pose, betas = estimates[:1, 3:75].reshape(1, 24, 3), estimates[:1, 75:]
    plain, _ = smpl_file.skin(model, pose, betas)
    np.testing.assert_allclose(joints[0], plain[0] - plain[0, 0], atol=1e-6)
    none, _ = smpl_file.labels(model, np.full((2, 85), np.nan, np.float32))
    assert none.shape == (2, 24, 3) and np.isnan(none).all()


def test_upright_in_the_camera_after_half_a_turn_about_x(person):
    """The root of an estimate leads to the camera: SMPL's y up becomes y down."""
    model, _ = person
    estimate = np.zeros((1, 85), np.float32)
    estimate[0, 3] = np.pi
    joints, _ = smpl_file.labels(model, estimate)
    rest = model["joint_regressor"] @ model["template"]
    want = (rest - rest[0]) * [1, -1, -1]
    np.testing.assert_allclose(joints[0], want, atol=1e-5)


@pytest.mark.parametrize("make", [smpl.labels, smpl_file.labels])
def test_wrong_width_is_one_line(make):
    with pytest.raises(
        GaitError, match=r"85 .*camera 3, pose 72, betas 10\), got .*82"
    ):
        make(BODY, np.zeros((2, 82), np.float32))
