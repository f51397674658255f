"""SMPLGait. Its golden is run by tests/interop/test_parity.py."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.smplgait import Straighten, make
from gaitjax.errors import GaitError
from gaitjax.interop.opengait import network_of

SMALL = dict(layers=("BC-3", "M", "BC-4"), bins=(2, 1), features=5, dropout=0.0)


@pytest.fixture
def x():
    """Random silhouettes [6, 4, 8, 6, 1] and body parameters [6, 4, 85]."""
    rng = np.random.default_rng(0)
    return {
        "sils": jnp.asarray(rng.random((6, 4, 8, 6, 1)), jnp.float32),
        "smpl": jnp.asarray(rng.normal(size=(6, 4, 85)), jnp.float32),
    }


def test_config_of_the_reference():
    network = network_of(golden.load_json("smplgait")["model_cfg"])
    assert network.backbone == "smplgait" and network.inputs == ("sils", "smpl")
    assert (network.num_classes, network.num_parts) == (100, 31)


def test_padding_does_not_matter(x):
    """The norms of what is taken from the parameters see real frames only."""
    model = make(5, jnp.float32, **SMALL)
    two = jax.tree.map(lambda x: x[:2], x)
    assert small_networks.padding_error(model, two, (4, 3)) < 1e-5
    assert small_networks.masked_training_error(model, x, 3) < 1e-4


def test_body_parameters_matter_frame_by_frame(x):
    model, mask = make(0, jnp.float32, **SMALL), jnp.ones((6, 4))
    variables = small_networks.some_variables(model, x, mask)
    apply = jax.jit(functools.partial(model.apply, variables, train=False))

    def embed(sils, smpl):
        return apply({"sils": sils, "smpl": smpl}, mask)["embeddings"]

    plain = embed(x["sils"], x["smpl"])
    both = embed(x["sils"][:, ::-1], x["smpl"][:, ::-1])
    np.testing.assert_allclose(plain, both, rtol=1e-5, atol=1e-6)
    assert np.abs(plain - embed(x["sils"], x["smpl"][:, ::-1])).max() > 1e-3


def test_the_matrix_starts_from_the_identity(x):
    """With a last norm that gives nothing positive, the map stays what it is."""
    model, mask = Straighten(3), jnp.ones((6, 4))
    variables = model.init(jax.random.key(0), x["smpl"], mask, train=False)
    params = dict(variables["params"])
    params["bn3"] = {"scale": jnp.zeros(9), "bias": -jnp.ones(9)}
    out = model.apply({**variables, "params": params}, x["smpl"], mask, train=False)
    np.testing.assert_array_equal(out, np.broadcast_to(np.eye(3), (6, 4, 3, 3)))


def test_half_precision():
    cosine = small_networks.half_precision_cosine(
        make, ("sils", "smpl"), layers=("BC-4", "M", "BC-6", "M", "BC-8"), features=8
    )
    assert cosine > 0.999


def test_wide_images(x):
    x = {**x, "sils": jnp.swapaxes(x["sils"], 2, 3)}
    with pytest.raises(GaitError, match="feature map of 3 x 4"):
        model = make(0, jnp.float32, **SMALL)
        model.init(jax.random.key(0), x, jnp.ones((6, 4)), train=False)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"layers": ("M",)}, "no convolution"),
        ({"bins": ()}, "bins: expected at least 1"),
        ({"features": 0}, "features: expected at least 1"),
        ({"dropout": 1.5}, "dropout: expected 0 to 1"),
    ],
)
def test_sizes_that_make_no_network(args, line):
    with pytest.raises(GaitError, match=line):
        make(5, jnp.float32, **args)
