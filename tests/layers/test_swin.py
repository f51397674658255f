"""Windows of the video transformer against the reference's steps, one at a time."""

import functools

import flax.linen as nn
import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.layers import swin
from gaitjax.ops.pooling import temporal_max

SIZE = (6, 10)  # two windows each way


class Blocks(nn.Module):
    """A plain block and a shifted one, then what a network makes of them."""

    @nn.compact
    def __call__(self, x, mask, *, train):
        for i in range(2):
            block = swin.SwinBlock(2, shifted=i == 1, name=f"block{i}")
            x = block(x, mask, train=train)
        return {"y": temporal_max(x, mask)}


def test_padded_batch_equals_single_sequences():
    """Every remainder, and sequences short enough to be one window."""
    rng = np.random.default_rng(0)
    lengths = (7, 1, 2, 3, 4, 6)
    x = jnp.asarray(rng.normal(size=(6, 7, *SIZE, 8)), jnp.float32)
    assert small_networks.padding_error(Blocks(), x, lengths) < 1e-5


@pytest.mark.slow
def test_gradients_ignore_padding():
    """A window of padding alone, too, which an infinite mask would turn into NaN."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 7, *SIZE, 8)), jnp.float32)
    mask = jnp.asarray([[1, 1, 1, 1, 0, 0, 0]] * 2, jnp.float32)
    block = swin.SwinBlock(2, shifted=True)
    variables = small_networks.some_variables(block, x, mask)

    @jax.jit
    @jax.grad
    def gradients(variables, x, mask):
        y = block.apply(variables, x, mask, train=False)
        return jnp.square(temporal_max(y, mask)).sum()

    padded = gradients(variables, x, mask)
    plain = gradients(variables, x[:, :4], mask[:, :4])
    errors = jax.tree.leaves(jax.tree.map(golden.relative_error, padded, plain))
    assert max(errors) < 1e-4


def reference_mask(length, shifted):
    """float [windows, tokens, tokens] of a sequence alone, by its own rules."""
    window = (min(length, 3), *swin.WINDOW[1:])
    shift = (0 if length <= 3 else 1, 1, 2) if shifted else (0, 0, 0)
    size = (-(-length // window[0]) * window[0], *SIZE)
    labels = np.zeros(size)
    for label, axis_cuts in enumerate(np.ndindex(3, 3, 3)):
        area = []
        for cut, w, s in zip(axis_cuts, window, shift, strict=True):
            ends = (None, -w, -s, None)
            area.append(slice(ends[cut], ends[cut + 1]) if s else slice(None))
        labels[tuple(area)] = label
    t, h, w = (a // b for a, b in zip(size, window, strict=True))
    masks = []
    for i, j, k in np.ndindex(t, h, w):
        part = labels[
            i * window[0] : (i + 1) * window[0],
            j * window[1] : (j + 1) * window[1],
            k * window[2] : (k + 1) * window[2],
        ].reshape(-1)
        masks.append(np.where(part[:, None] == part[None], 0, -100))
    return np.stack(masks)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 8])
def test_mask_of_a_sequence_alone(length, shifted):
    size = (-(-length // 3) * 3, *SIZE)
    ours = np.asarray(swin.attention_mask(jnp.array([length]), size, shifted))[0]
    tokens = min(length, 3) * 15
    np.testing.assert_array_equal(
        ours[:, :tokens, :tokens], reference_mask(length, shifted)
    )
    assert (ours[:, :, tokens:] < -1e8).all()  # a shrunken window has no more


def test_frames_beyond_what_the_reference_fills_up_to_are_never_seen():
    mask = np.asarray(swin.attention_mask(jnp.array([4, 9]), (9, *SIZE), False))
    seen = (mask > -1e8).reshape(2, 3, 4, 45, 45)  # [n, windows in time, in space]
    # 4 frames are filled up to 6.
    assert seen[0].all((1, 2, 3)).tolist() == [True, True, False]
    assert not seen[0, 2].any() and seen[1].all()


def test_zeros_that_fill_a_sequence_up_are_attended_to():
    """As in the reference: 4 frames do not give what the window's 4th alone gives."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(1, 4, *SIZE, 8)), jnp.float32)
    block = swin.SwinBlock(2, shifted=False)
    variables = small_networks.some_variables(block, x, jnp.ones((1, 4)))
    apply = jax.jit(functools.partial(block.apply, variables, train=False))
    four, last = apply(x, jnp.ones((1, 4))), apply(x[:, 3:], jnp.ones((1, 1)))
    assert float(jnp.abs(four[:, 3:] - last).max()) > 1e-2


def test_relative_positions():
    index = swin.relative_position()
    assert index.shape == (45, 45)
    assert set(index.reshape(-1)) == set(range(225))
    assert set(np.diag(index)) == {112}  # no displacement is in the middle
    np.testing.assert_array_equal(index + index.T, 224)
    assert index[1, 0] == 113  # a column on
    assert index[5, 0] == 112 + 9  # a row on
    assert index[15, 0] == 112 + 45  # a frame on


def test_windows_and_back():
    x = jnp.arange(2 * 6 * 6 * 10 * 2).reshape(2, 6, 6, 10, 2)
    windows = swin.to_windows(x)
    assert windows.shape == (2, 2 * 2 * 2, 45, 2)
    np.testing.assert_array_equal(swin.from_windows(windows, (6, 6, 10)), x)
    np.testing.assert_array_equal(
        windows[1, 1], x[1, :3, :3, 5:].reshape(45, 2)
    )  # columns run fastest


def test_roll_and_back():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, *SIZE, 1)))
    lengths = jnp.array([6, 2])
    there = swin.roll(x, lengths, -1)
    np.testing.assert_array_equal(there[0, 0, 0, 0], x[0, 1, 1, 2])
    np.testing.assert_array_equal(there[1, 0, 0, 0], x[1, 0, 1, 2])
    np.testing.assert_array_equal(swin.roll(there, lengths, 1), x)


def test_stochastic_depth_skips_whole_sequences():
    """Each of the two parts of a block with probability 0.5: a quarter skip both."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(200, 1, 3, 5, 2)), jnp.float32)
    mask = jnp.ones((200, 1))
    block = swin.SwinBlock(1, shifted=False, drop_path=0.5)
    variables = small_networks.some_variables(block, x, mask)
    rngs = {"dropout": jax.random.key(0)}
    y = jax.jit(functools.partial(block.apply, train=True, rngs=rngs))(
        variables, x, mask
    )
    same = np.asarray(y == x).reshape(200, -1)
    assert (same.all(1) | ~same.any(1)).mean() > 0.99
    assert 0.17 < same.all(1).mean() < 0.33  # 0.25 within 2.6 deviations
