"""Blocks over time: what padding does to them, against plain loops over frames."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.small_networks import some_variables

from gaitjax.layers.temporal import FrameConv, Stage, zero_padding


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).random((2, 4, 4, 6, 3)), jnp.float32)


@pytest.mark.parametrize("mode", ["2d", "3d", "p3d"])
def test_masked_training_equals_the_same_frames_unpadded(mode, x):
    """Outputs on real frames, running statistics and gradients."""
    stage = Stage(mode, 4, stride=2)
    variables = some_variables(stage, x, jnp.ones((2, 4)))

    @jax.jit
    def outcome(x, mask):
        def loss(params):
            out, mutated = stage.apply(
                {**variables, "params": params},
                x,
                mask,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.square(out[:, :3]).sum(), (out[:, :3], mutated)

        return jax.grad(loss, has_aux=True)(variables["params"])

    mask = jnp.asarray([[1, 1, 1, 0]] * 2, jnp.float32)
    padded, plain = outcome(x, mask), outcome(x[:, :3], mask[:, :3])
    errors = jax.tree.leaves(jax.tree.map(golden.relative_error, padded, plain))
    assert max(errors) < 1e-5


def test_p3d_adds_a_weighted_sum_of_neighbouring_frames(x):
    """The temporal path by hand: its weights are [3, 1, c, c], its ends see zeros."""
    stage = Stage("p3d", 3)
    mask = jnp.ones((2, 4))
    variables = some_variables(stage, x, mask)
    _, state = stage.apply(
        variables, x, mask, train=False, capture_intermediates=True, mutable=True
    )
    seen = state["intermediates"]["block0"]
    first = np.maximum(np.asarray(seen["bn1"]["__call__"][0]), 0)
    first = first.reshape(x.shape)
    kernel = np.asarray(variables["params"]["block0"]["temporal"]["conv"]["kernel"])
    want = np.zeros_like(first)
    for frame in range(4):
        for k, other in enumerate((frame - 1, frame, frame + 1)):
            if 0 <= other < 4:
                want[:, frame] += first[:, other] @ kernel[k, 0]
    got = np.asarray(seen["temporal"]["__call__"][0]).reshape(x.shape)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_blocks_after_the_first_keep_the_size(x):
    stage = Stage("p3d", 5, stride=2, blocks=3)
    mask = jnp.ones((2, 4))
    init = functools.partial(stage.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), x, mask)
    blocks = variables["params"]
    assert sorted(blocks) == ["block0", "block1", "block2"]
    assert "shortcut" in blocks["block0"] and "shortcut" not in blocks["block1"]
    apply = functools.partial(stage.apply, train=False)
    assert jax.eval_shape(apply, variables, x, mask).shape == (2, 4, 2, 3, 5)


def test_infinities_in_padding_vanish(x):
    """A product with the mask would make them NaN."""
    mask = jnp.asarray([[1, 1, 0, 0], [1, 1, 1, 0]], jnp.float32)
    broken = jnp.where(mask[:, :, None, None, None] > 0, x, jnp.inf)
    np.testing.assert_array_equal(zero_padding(broken, mask), zero_padding(x, mask))
    assert float(jnp.abs(zero_padding(x, mask)[1, 3]).max()) == 0


def test_frame_conv_is_non_negative_and_keeps_the_size(x):
    conv = FrameConv(5)
    variables = some_variables(conv, x, jnp.ones((2, 4)))
    y = conv.apply(variables, x - 5, jnp.ones((2, 4)), train=False)
    assert y.shape == (2, 4, 4, 6, 5)
    assert float(y.min()) == 0 < float(y.max())
