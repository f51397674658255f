"""The strip PointNet against loops; what it must not look at."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.layers.pointnet import PointStrips, centred, strip_max

CHANNELS, STRIPS = (5, 7), 4


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def cloud(n=2, t=3, v=30, missing=5):
    """Points [n, t, v, 3] whose last few rows of each frame are none."""
    points = draw(n, t, v, 3)
    points[:, :, v - missing :] = np.nan
    return points, np.ones((n, t), np.float32)


@functools.cache
def network():
    """(variables, jitted embed, jitted train step) with random parameters."""
    model = PointStrips(CHANNELS, STRIPS)
    shapes = jax.eval_shape(
        functools.partial(model.init, train=False), jax.random.key(0), *cloud()
    )
    variables = jax.tree.map(lambda leaf: abs(draw(*leaf.shape)), shapes)
    for i, name in enumerate(("dense1", "dense2")):
        kernel = variables["params"][name]["kernel"]
        variables["params"][name]["kernel"] = draw(*kernel.shape, seed=i)

    @jax.jit
    def train(params, points, mask):
        def loss(params, points):
            out, state = model.apply(
                {**variables, "params": params},
                points,
                mask,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.square(out).sum(), (out, state)

        return jax.grad(loss, (0, 1), has_aux=True)(params, points)

    embed = jax.jit(functools.partial(model.apply, variables, train=False))
    return variables, embed, train


def strips_twin(points, variables):
    """One frame of real points in loops, float64, with running statistics."""
    y = points.astype(np.float64)
    z = y[:, 2]
    height = (z - z.min()) / (z.max() - z.min())
    y = y - y.mean(0)
    for i in (1, 2):
        y = y @ np.float64(variables["params"][f"dense{i}"]["kernel"])
        norm = variables["params"][f"bn{i}"]
        stats = variables["batch_stats"][f"bn{i}"]
        y = (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
        y = np.maximum(y * norm["scale"] + norm["bias"], 0)
    strips = np.zeros((STRIPS, y.shape[1]))
    for value, part in zip(y, height, strict=True):
        strip = min(int((1 - part) * STRIPS), STRIPS - 1)
        strips[strip] = np.maximum(strips[strip], value)
    return strips


def test_equals_its_twin():
    variables, embed, _ = network()
    points, mask = cloud()
    got = embed(points, mask)
    assert got.shape == (2, 3, STRIPS, 1, 7)
    for i in range(2):
        for t in range(3):
            want = strips_twin(points[i, t, :25], variables)
            np.testing.assert_allclose(got[i, t, :, 0], want, rtol=1e-4, atol=1e-4)


def test_height_goes_from_the_lowest_point_to_the_highest():
    """Points at z = 0, 1, 4 m and one that is none; the highest is strip 0."""
    x = np.array([[[[1, 2, 0], [1, 2, 1], [4, 2, 4], [99, 99, 99]]]], np.float32)
    real = np.array([[[True, True, True, False]]])
    moved, height = centred(x, real)
    np.testing.assert_allclose(height[0, 0], [0, 0.25, 1, 0])
    np.testing.assert_allclose(moved[0, 0, :3, 0], [-1, -1, 2])
    np.testing.assert_allclose(moved[0, 0, :3, 1], 0)
    # All at one height, or nothing at all: still numbers.
    for points, there in ((0 * x, real), (x, ~real & False)):
        assert all(np.isfinite(y).all() for y in centred(points, there))


def test_strip_max_by_hand():
    x = np.array([[[[1.0], [5.0], [2.0], [9.0]]]], np.float32)
    strip = np.array([[[0, 2, 2, 0]]], np.int32)
    real = np.array([[[True, True, True, False]]])
    got = strip_max(x, strip, real, 3)
    np.testing.assert_array_equal(got[0, 0, :, 0], [1, 0, 5])  # 9 is no point
    both = jnp.concatenate([x, x + 1], 1)  # frames do not mix
    got = strip_max(both, np.repeat(strip, 2, 1), np.repeat(real, 2, 1), 3)
    np.testing.assert_array_equal(got[0, :, :, 0], [[1, 0, 5], [2, 0, 6]])


@pytest.mark.parametrize("train", [False, True])
def test_order_place_and_rows_without_a_point_do_not_matter(train):
    variables, embed, step = network()
    points, mask = cloud()

    def outcome(points, mask):
        if not train:
            return embed(points, mask)
        return step(variables["params"], points, mask)[1]

    before = outcome(points, mask)
    order = np.random.default_rng(1).permutation(points.shape[2])
    shift = np.float32([3, -2, 1])
    half = points.copy()
    half[:, :, 25:, 1:] = 7  # a row with one NaN is none either
    fewer = points[:, :, :25]
    for changed in (points[:, :, order], points + shift, half, fewer):
        after = outcome(changed, mask)
        for old, new in zip(*map(jax.tree.leaves, (before, after)), strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-4)


def test_masked_frames_are_not_looked_at():
    """Not by the statistics either; without any point a frame gives zeros."""
    variables, embed, step = network()
    points, mask = cloud()
    mask[1, 2] = 0
    other = points.copy()
    other[1, 2] = 100 * draw(30, 3, seed=3)
    nothing = points.copy()
    nothing[1, 2] = np.nan
    assert (embed(other, mask)[1, 2] == 0).all()
    assert (embed(nothing, np.ones_like(mask))[1, 2] == 0).all()
    outcomes = [step(variables["params"], x, mask) for x in (points, other, nothing)]
    for outcome in outcomes[1:]:
        (_, (_, state)), (_, (_, want)) = outcome, outcomes[0]
        jax.tree.map(np.testing.assert_array_equal, state, want)


def test_gradients_are_finite_where_points_are_missing():
    variables, _, step = network()
    points, mask = cloud()
    points[0, 0] = np.nan
    (of_params, of_points), _ = step(variables["params"], points, mask)
    for path, grad in jax.tree_util.tree_leaves_with_path(of_params):
        assert np.isfinite(grad).all(), jax.tree_util.keystr(path)
        assert np.abs(grad).max() > 0, jax.tree_util.keystr(path)
    assert np.isfinite(of_points).all()
    assert (np.asarray(of_points)[np.isnan(points)] == 0).all()
    assert np.abs(of_points).max() > 0
