"""The 3D branch: its shapes, and what its parts do with maps made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.layers import volume

RNG = np.random.default_rng(0)


def variables_of(module, *args, **kwargs):
    return jax.tree.map(
        lambda x: jnp.asarray(RNG.normal(size=x.shape), x.dtype),
        jax.eval_shape(lambda: module.init(jax.random.key(0), *args, **kwargs)),
    )


@pytest.mark.parametrize(("side", "pixels"), [(16, 64), (8, 64), (32, 64), (16, 32)])
def test_heat_maps_are_cubes_of_the_wanted_side(side, pixels):
    """Any side, whatever a quarter of the picture is."""
    maps = volume.HeatMaps(5, side, width=4, stem=4, modules=(1,), blocks=1)
    x, mask = jnp.zeros((2, pixels, pixels, 1)), jnp.ones((2, 1, 1, 1))
    out, _ = jax.eval_shape(
        lambda: maps.init_with_output(jax.random.key(0), x, mask, train=False)
    )
    assert out.shape == (2, side, side, side, 5)


@pytest.mark.parametrize("depth", [16, 8, 5, 1])
def test_volume_features_leave_no_depth(depth):
    net = volume.VolumeFeatures((4, 6, 7))
    x, mask = jnp.zeros((3, depth, 4, 5, 2)), jnp.ones((3, 1, 1, 1))
    out, _ = jax.eval_shape(
        lambda: net.init_with_output(jax.random.key(0), x, mask, train=True)
    )
    assert out.shape == (3, 4, 5, 7)


def test_slices_side_by_side_make_a_convolution_over_three_axes():
    x = jnp.asarray(RNG.normal(size=(2, 5, 4, 6, 3)), jnp.float32)
    kernel = jnp.asarray(RNG.normal(size=(3, 3, 3, 3, 2)), jnp.float32)  # d, h, w
    want = jax.lax.conv_general_dilated(
        x,
        kernel,
        (2, 1, 1),
        [(1, 1)] * 3,
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )
    slices = volume.halved(x)
    flat = kernel.transpose(1, 2, 0, 3, 4).reshape(3, 3, 9, 2)
    found = jax.lax.conv_general_dilated(
        slices.reshape(-1, *slices.shape[2:]),
        flat,
        (1, 1),
        [(1, 1)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(found.reshape(want.shape), want, rtol=1e-4, atol=1e-4)


def test_mesh_is_a_weighted_sum_of_places():
    """At first of the given weights alone; then a correction by the confidence."""
    weights = RNG.dirichlet(np.ones(4), 7).T.astype(np.float32)  # [k, v]
    decoder = volume.MeshDecoder(7, rank=2, weights=weights)
    points = RNG.normal(size=(2, 3, 4, 3)).astype(np.float32)
    confidence = RNG.uniform(size=(2, 3, 4)).astype(np.float32)
    params = decoder.init(jax.random.key(0), points, confidence)
    run = jax.jit(decoder.apply)
    base = np.einsum("kv,ntkc->ntvc", weights, points)
    np.testing.assert_allclose(run(params, points, confidence), base, atol=1e-6)

    params = variables_of(decoder, points, confidence)
    inner = params["params"]
    turn = confidence @ inner["turn"]["kernel"] + inner["turn"]["bias"]  # [n, t, r]
    adapted = np.einsum("rk,ntr,rv->ntkv", inner["into"], turn, inner["out"])
    want = np.einsum("ntkv,ntkc->ntvc", inner["weights"] + adapted, points)
    found = run(params, points, confidence)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)


def gaussian(at, size):
    """Logits of maps with a bump one voxel wide at each place of a box."""
    centres = (np.arange(size) + 0.5) / size - 0.5
    z, y, x = np.meshgrid(centres, centres, centres, indexing="ij")
    grid = np.stack([x, y, z], -1)[..., None, :]  # [d, h, w, 1, 3]
    away = (grid - np.asarray(at)[..., None, None, None, :, :]) * size
    return jnp.float32(-0.5 * (away**2).sum(-1))


@pytest.mark.parametrize("detach", [False, True])
def test_body_of_gaussians_is_where_they_are(detach):
    at = RNG.uniform(-0.3, 0.3, (1, 2, 6, 3)).astype(np.float32)
    logits = gaussian(at, 16)
    weights = np.eye(6, 4, dtype=np.float32)
    body = volume.BodyDecoder(2, 4, 0, weights, alpha=1.0, detach=detach)
    params = body.init(jax.random.key(0), logits)
    found = body.apply(params, logits)
    np.testing.assert_allclose(found["joints"], at[..., :2, :], atol=2e-3)
    np.testing.assert_allclose(found["markers"], at[..., 2:, :], atol=2e-3)
    np.testing.assert_allclose(found["vertices"], at[..., :4, :], atol=2e-3)
    taught = jax.grad(lambda x: body.apply(params, x)["vertices"].sum())(logits)
    assert bool((taught == 0).all()) is detach


def test_sides_are_put_back_and_taken_away():
    x = jnp.arange(2 * 6 * 4.0).reshape(1, 2, 6, 4, 1)
    wide = volume.squared(x)
    assert wide.shape == (1, 2, 6, 6, 1)
    np.testing.assert_array_equal(volume.middle(wide, 4), x)
    assert not wide[..., 0, :].any() and not wide[..., 5, :].any()
    assert volume.squared(wide) is not None and volume.squared(wide).shape == wide.shape
