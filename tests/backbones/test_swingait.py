"""SwinGait; tests/interop/test_parity.py runs its golden."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.swingait import make, resize
from gaitjax.errors import GaitError
from gaitjax.interop import parity_networks

SMALL = dict(channels=(4, 6, 8, 12), heads=(2, 3), layers=(1, 1, 2, 1), features=8)


@pytest.fixture
def x():
    """Random frames [2, 7, 12, 8, 1]."""
    return jnp.asarray(np.random.default_rng(0).random((2, 7, 12, 8, 1)), jnp.float32)


def test_config_of_the_reference():
    """Its config gives the network that its weights fit, parameter by parameter."""
    spec = golden.load_json("swingait")
    network, model, variables = parity_networks.rebuild(spec)
    assert network.backbone == "swingait" and network.inputs == ("sils",)
    assert network.num_parts == 16
    frames = np.zeros((1, 4, 64, 44, 1), np.float32)
    assert parity_networks.structure(model, variables, frames, np.ones((1, 4))) == []
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == spec["parameters"]


def test_padded_batch_equals_single_sequences(x):
    """Here the whole network; tests/layers/test_swin.py has every kind of length."""
    model = make(5, jnp.float32, **SMALL)
    assert small_networks.padding_error(model, x[:1], (2,)) < 1e-5


def test_the_part_too_many_is_not_given(x):
    model = make(5, jnp.float32, **SMALL)
    init = functools.partial(model.init, train=False)
    mask = jnp.ones(x.shape[:2])
    variables = jax.eval_shape(init, jax.random.key(0), x, mask)
    assert variables["params"]["fcs"]["kernel"].shape == (16, 12, 8)
    apply = functools.partial(model.apply, train=False)
    out = jax.eval_shape(apply, variables, x, mask)
    assert out["embeddings"].shape == (2, 15, 8)
    assert out["logits"].shape == (2, 15, 5)


def test_resize_keeps_corners_and_straight_lines():
    rows, columns = jnp.meshgrid(jnp.linspace(0, 1, 8), jnp.linspace(0, 1, 5))
    x = jnp.stack([rows.T, columns.T], -1)[None, None]  # [1, 1, 8, 5, 2]
    y = np.asarray(resize(x, (13, 4)))[0, 0]
    np.testing.assert_allclose(y[:, 0, 0], np.linspace(0, 1, 13), atol=1e-6)
    np.testing.assert_allclose(y[0, :, 1], np.linspace(0, 1, 4), atol=1e-6)
    assert y[-1, -1].tolist() == [1, 1]


def test_half_precision():
    assert small_networks.half_precision_cosine(make, **SMALL) > 0.999


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"heads": (16,)}, "heads: expected 2 numbers, got 1"),
        ({"heads": (16, 24)}, "512 channels do not divide into 24 heads"),
        ({"layers": (1, 1, 2)}, "layers: expected 4 numbers"),
        ({"drop_path": 1.0}, "drop_path: expected 0 to 0.99"),
    ],
)
def test_sizes_that_make_no_network(args, line):
    with pytest.raises(GaitError, match=line):
        make(5, jnp.float32, **args)
