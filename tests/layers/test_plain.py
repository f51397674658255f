"""Plain backbones: strips, focal convolutions, the words that describe them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.layers.plain import Plain, from_strips, leaky_relu, parse, to_strips


def test_strips_there_and_back():
    x = jnp.arange(2 * 3 * 8 * 2 * 1.0).reshape(2, 3, 8, 2, 1)
    strips = to_strips(x, 4)
    assert strips.shape == (8, 3, 2, 2, 1)
    np.testing.assert_array_equal(strips[1], x[0, :, 2:4])  # second strip of the first
    np.testing.assert_array_equal(strips[4], x[1, :, :2])
    np.testing.assert_array_equal(from_strips(strips, 4), x)
    np.testing.assert_array_equal(from_strips(to_strips(x[0], 2), 2), x[0])


def test_focal_convolution_is_one_convolution_of_each_strip_alone():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 6, 1)), jnp.float32)
    focal, plain = Plain(("FC-3-1",)), Plain(("BC-3",))
    variables = plain.init(jax.random.key(0), x)
    top, bottom = (plain.apply(variables, half) for half in (x[:, :4], x[:, 4:]))
    got = focal.apply(variables, x)
    np.testing.assert_allclose(got, jnp.concatenate([top, bottom], 1), atol=1e-6)
    assert np.abs(got - plain.apply(variables, x)).max() > 0.1  # across the border


def test_frames_are_independent_and_only_the_first_kernel_is_large():
    x = jnp.ones((2, 3, 8, 4, 2))
    model = Plain(("BC-3", "M", "BC-4"))
    variables = model.init(jax.random.key(0), x)
    shapes = jax.tree.map(jnp.shape, variables["params"])
    assert shapes == {
        "conv0": {"conv": {"kernel": (5, 5, 2, 3)}},
        "conv2": {"conv": {"kernel": (3, 3, 3, 4)}},
    }
    out = model.apply(variables, x)
    assert out.shape == (2, 3, 4, 2, 4)
    np.testing.assert_allclose(out[1, 2], model.apply(variables, x[1])[2], rtol=1e-6)


def test_leaky_relu_has_torch_slopes():
    slopes = [float(jax.grad(leaky_relu)(x)) for x in (-2.0, 0.0, 2.0)]
    assert slopes == pytest.approx([0.01, 0.01, 1.0])


def test_words():
    assert parse(("BC-64", "M", "FC-8-3")) == [(64, 1), None, (8, 8)]


@pytest.mark.parametrize("word", ["BC64", "FC-8", "BC-0", "MM", "FC-8-x", ""])
def test_unknown_words(word):
    with pytest.raises(GaitError, match="expected BC-<channels>"):
        parse(("BC-4", word))


def test_poolings_alone_are_no_backbone():
    with pytest.raises(GaitError, match="no convolution"):
        parse(("M",))


def test_strips_that_do_not_divide():
    with pytest.raises(GaitError, match="6 rows cannot be cut into 4 equal strips"):
        to_strips(jnp.ones((1, 6, 2, 1)), 4)
