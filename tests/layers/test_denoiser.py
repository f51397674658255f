"""The light U-Net: its size, what it takes in, what may mix with what."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.layers.attention import AxialAttention
from gaitjax.layers.denoiser import (
    Denoiser,
    ResBlock,
    SeparableConv,
    depthwise,
    group_norm,
    step_embedding,
)

TINY = dict(features=8, heads=2)

BLOCKS = ["separable", pytest.param("full", marks=pytest.mark.slow)]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def inputs(n=2, h=5, w=3, c=6, d=4):
    return draw(n, h, w, c), jnp.arange(1, n + 1), draw(n, d, seed=1)


def random_variables(model, *args):
    """Without the zeros of an initialisation, through which nothing passes."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *args)
    leaves, structure = jax.tree.flatten(shapes)
    values = [
        draw(*leaf.shape, seed=i) / max(np.prod(leaf.shape[:-1]), 4) ** 0.5
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, [np.float32(value) for value in values])


@functools.cache
def tiny(**options):
    """(jitted apply, inputs) of a small denoiser with random parameters."""
    model, args = Denoiser(**{**TINY, **options}), inputs()
    return functools.partial(jax.jit(model.apply), random_variables(model, *args)), args


def millions(channels=512, **options):
    x = jnp.zeros((1, 16, 16, channels))
    args = x, jnp.ones(1, jnp.int32), jnp.zeros((1, 256 + channels))
    shapes = jax.eval_shape(Denoiser(**options).init, jax.random.key(0), *args)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6


def test_size_is_the_stated_one():
    """2.3 M in training: the U-Net, 512 x 512 of the generative head, the token."""
    assert millions() == pytest.approx(2.069, abs=5e-4)
    branch = millions() + (512 * 512 + 256) / 1e6
    assert branch == pytest.approx(2.33, abs=5e-3)
    heavy = millions(features=512, block="full")
    assert heavy == pytest.approx(26.6, abs=0.05)
    # Table 7: twice the light one is 1.2 times, the heavy one 2.6 times all of ours.
    ours = 12.9 + branch
    assert (ours + millions()) / ours == pytest.approx(1.2, abs=0.07)
    assert (ours - millions() + heavy) / ours == pytest.approx(2.6, abs=0.07)


def test_attention_adds_its_four_projections_and_its_norm():
    attention = 4 * (256 * 256 + 256) + 2 * 256
    assert millions() - millions(axial=False) == pytest.approx(attention / 1e6)


@pytest.mark.parametrize("options", [{}, {"block": "full"}, {"axial": False}])
@pytest.mark.parametrize("size", [(16, 11), (5, 4), (1, 1)])
def test_any_height_and_width(size, options):
    x, steps, condition = jax.tree.map(jnp.asarray, inputs(3, *size))
    model = Denoiser(**TINY, **options)

    def outputs(key):
        return model.init_with_output(key, x, steps, condition)[0]

    noise, bridge = jax.eval_shape(outputs, jax.random.key(0))
    assert noise.shape == x.shape
    assert bridge.shape == (3, -(-size[0] // 2), -(-size[1] // 2), 8)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_input_counts_for_its_own_sample_alone(block):
    apply, (x, steps, condition) = tiny(block=block)
    before = apply(x, steps, condition)
    other = (
        (x + draw(*x.shape, seed=2), steps, condition),
        (x, steps + 40, condition),
        (x, steps, condition + draw(*condition.shape, seed=2)),
    )
    for changed in other:  # in the first row alone
        args = [
            jnp.concatenate([new[:1], old[1:]])
            for new, old in zip(changed, (x, steps, condition), strict=True)
        ]
        for old, new in zip(before, apply(*args), strict=True):
            assert np.isfinite(new).all()
            assert np.abs(new[0] - old[0]).max() > 1e-3
            np.testing.assert_allclose(new[1], old[1], atol=1e-5)


def test_no_parameter_is_idle():
    """But for the attention's key bias, which moves all scores of a row alike."""
    model, args = Denoiser(**TINY), inputs()
    variables = random_variables(model, *args)

    @jax.jit
    @jax.grad
    def gradient(variables):
        noise, bridge = model.apply(variables, *args)
        return jnp.square(noise).sum() + jnp.square(bridge).sum()

    for path, grad in jax.tree_util.tree_leaves_with_path(gradient(variables)):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), name
        if "'key']['bias']" not in name:
            assert np.abs(grad).max() > 1e-4, name


def test_bridge_is_the_bottleneck():
    """The second block's output + the projected condition + attention; and it is
    what the third block goes on with."""
    model, args = Denoiser(**TINY), inputs()

    @jax.jit
    def look_inside(variables):
        went_in = {}

        def listen(next_fn, call_args, kwargs, context):
            went_in[context.module.name] = call_args
            return next_fn(*call_args, **kwargs)

        with nn.intercept_methods(listen):
            _, found = model.apply(variables, *args, capture_intermediates=True)
        found = found["intermediates"]
        names = ("block_b", "condition", "axial", "time2")
        came_out = {name: found[name]["__call__"][0] for name in names}
        (_, bridge) = found["__call__"][0]
        return bridge, came_out, went_in["block_c"][0], went_in["condition"][0]

    variables = random_variables(model, *args)
    bridge, came_out, went_on, condition = look_inside(variables)
    inner = came_out["block_b"] + came_out["condition"][:, None, None]
    want = inner + came_out["axial"]
    assert np.abs(came_out["axial"]).max() > 0.1
    np.testing.assert_allclose(bridge, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(went_on, bridge)
    np.testing.assert_array_equal(condition[:, :256], came_out["time2"])
    np.testing.assert_array_equal(condition[:, 256:], args[2])


@pytest.mark.slow
def test_half_precision_inside_only():
    full, args = tiny()
    with jax.numpy_dtype_promotion("standard"):  # flax's norms promote
        outputs = tiny(dtype=jnp.bfloat16)[0](*args)
    for a, b in zip(full(*args), outputs, strict=True):
        assert a.dtype == b.dtype == jnp.float32
        assert not np.array_equal(a, b)
        np.testing.assert_allclose(b, a, atol=0.1 * np.abs(a).max())


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_starts_as_its_shortcut(block):
    x, time = draw(1, 3, 2, 4), draw(1, 5)
    start = jax.jit(ResBlock(4, block).init_with_output)
    np.testing.assert_array_equal(start(jax.random.key(0), x, time)[0], x)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 4), (5, 11), (1, 1)])
def test_depthwise_is_a_convolution_in_groups(size, stride):
    x, kernel = draw(2, *size, 3), draw(3, 3, 3, seed=1)
    want = jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(depthwise(x, kernel, stride), want, atol=1e-5)


def test_separable_is_each_channel_then_all_of_them():
    """In total the full convolution whose kernel is the product of the two."""
    x, model = draw(1, 5, 4, 3), SeparableConv(7, stride=2)
    variables = random_variables(model, x)
    params = variables["params"]
    assert params["depthwise"].shape == (3, 3, 3)
    kernel = jnp.einsum(
        "ijc,cd->ijcd", params["depthwise"], params["pointwise"]["kernel"]
    )
    want = jax.lax.conv_general_dilated(
        x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    want += params["pointwise"]["bias"]
    got = model.apply(variables, x)
    assert got.shape == (1, 3, 2, 7)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_separable_starts_with_the_variance_that_it_was_given():
    x = draw(8, 12, 12, 64)
    y, _ = jax.jit(SeparableConv(64).init_with_output)(jax.random.key(0), x)
    assert float(y[:, 1:-1, 1:-1].var()) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    "channels, groups",
    [(512, 32), (24, 3), (12, 1), (6, 1), (1, 1)],
)
def test_groups_have_eight_channels_or_all(channels, groups):
    x = 3 + draw(2, 2, 3, channels)

    class Norm(nn.Module):
        @nn.compact
        def __call__(self, x):
            return group_norm(x, "norm", jnp.float32)

    y, _ = Norm().init_with_output(jax.random.key(0), x)
    y = np.asarray(y).reshape(2, 6, groups, -1)
    np.testing.assert_allclose(y.mean((1, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std((1, 3)), 1, atol=1e-2)
    if groups == 1 and channels > 1:  # halves of it are not normal by themselves
        halves = y.reshape(2, 6, 2, -1).mean((1, 3))
        assert np.abs(halves).max() > 1e-2


def test_attention_mixes_the_rows_of_a_column_and_nothing_else():
    model, x = AxialAttention(heads=2), draw(1, 4, 3, 8)
    variables = random_variables(model, x)
    assert model.apply(variables, x).shape == x.shape

    def norms(x):  # [h, w, c] -> [h, w, 2]: enough to see what an output depends on
        return model.apply(variables, x[None])[0, :, :, :2]

    jacobian = np.asarray(jax.jit(jax.jacrev(norms))(x[0]))
    assert jacobian.shape == (4, 3, 2, 4, 3, 8)
    same = np.eye(3, dtype=bool)
    by_column = np.moveaxis(jacobian, (1, 4), (0, 1))  # [w, w', h, c, h', c']
    assert (by_column[~same] == 0).all()
    assert (np.abs(by_column[same]).max((-1, -3)) > 1e-4).all()  # every row, every row


def test_attention_by_hand():
    """One head, identity projections: softmax of scaled products of normed rows."""
    model, x = AxialAttention(heads=1), draw(1, 3, 1, 4)
    variables = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape),
        jax.eval_shape(model.init, jax.random.key(0), x),
    )
    params = variables["params"]
    params["norm"]["scale"] = jnp.ones(4)
    for name in ("query", "key", "value"):
        params["attention"][name]["kernel"] = jnp.eye(4)[:, None]
    params["attention"]["out"]["kernel"] = jnp.eye(4)[None]
    rows = x[0, :, 0].astype(np.float64)
    rows = rows - rows.mean(-1, keepdims=True)
    rows /= np.sqrt(rows.var(-1, keepdims=True) + 1e-6)
    weights = np.exp(rows @ rows.T / 2)
    want = weights / weights.sum(-1, keepdims=True) @ rows
    got = model.apply(variables, x)[0, :, 0]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_step_embedding_by_hand():
    got = step_embedding(jnp.array([0, 1, 100]), 4)
    rates = np.array([1.0, 0.01])  # 10,000 to the power of -0, -1 / 2
    angles = np.array([0, 1, 100])[:, None] * rates
    want = np.concatenate([np.sin(angles), np.cos(angles)], -1)
    np.testing.assert_allclose(got, want, atol=1e-5)
    # Steps of one schedule are told apart.
    every = np.asarray(step_embedding(jnp.arange(1, 101), 256))
    apart = np.linalg.norm(every[:, None] - every, axis=-1) + 100 * np.eye(100)
    assert apart.min() > 1
