"""GaitSet. Its goldens are run by tests/interop/test_parity.py."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.gaitset import make
from gaitjax.errors import GaitError
from gaitjax.interop.opengait import network_of

SMALL = dict(channels=(3, 4, 5), bins=(2, 1), features=6)
GOLDENS = {"gaitset": (32, 64, 128), "gaitset_oumvlp": (64, 128, 256)}


@pytest.fixture
def x():
    """Random frames [4, 5, 8, 8, 1]."""
    return jnp.asarray(np.random.default_rng(0).random((4, 5, 8, 8, 1)), jnp.float32)


@pytest.mark.parametrize("name", GOLDENS)
def test_config_of_the_reference(name):
    network = network_of(golden.load_json(name)["model_cfg"])
    assert network.backbone == "gaitset"
    assert network.args["channels"] == GOLDENS[name]
    assert network.num_classes == 0 and network.num_parts == 62


def test_the_golden_step_is_of_the_golden_network():
    step, network = (golden.load_json(name) for name in ("train/gaitset", "gaitset"))
    assert step["model_cfg"] == network["model_cfg"]


@pytest.mark.slow
def test_padding_does_not_matter(x):
    model = make(0, jnp.float32, **SMALL)
    assert small_networks.padding_error(model, x[:2], (5, 2)) < 1e-5
    assert small_networks.masked_training_error(model, x, 3) < 1e-4


def test_a_set_has_no_order(x):
    model, mask = make(0, jnp.float32, **SMALL), jnp.ones((4, 5))
    variables = small_networks.some_variables(model, x, mask)
    apply = jax.jit(functools.partial(model.apply, variables, train=False))
    there, back = apply(x, mask), apply(x[:, ::-1], mask)
    np.testing.assert_allclose(there["embeddings"], back["embeddings"], atol=1e-6)


def test_parts_are_the_frames_then_the_set(x):
    """With the set branch's convolutions at 0, only what joins from the frames."""
    model, mask = make(0, jnp.float32, **SMALL), jnp.ones((4, 5))
    variables = small_networks.some_variables(model, x, mask)
    params = dict(variables["params"])
    for name in ("global2", "global3"):
        params[name] = jax.tree.map(jnp.zeros_like, params[name])
    kernel = params["fcs"]["kernel"]
    params["fcs"] = {"kernel": np.concatenate([kernel[:3], kernel[:3]])}
    apply = jax.jit(functools.partial(model.apply, train=False))
    out = apply({"params": params}, x, mask)["embeddings"]
    assert out.shape == (4, 6, 6)
    np.testing.assert_allclose(out[:, :3], out[:, 3:], rtol=1e-6)


def test_half_precision():
    cosine = small_networks.half_precision_cosine(
        make, num_classes=0, channels=(4, 6, 8), features=8
    )
    assert cosine > 0.999


@pytest.mark.parametrize(
    ("num_classes", "args", "line"),
    [
        (5, {}, "gaitset has no classifier.*method_args.ce_weight=0.0"),
        (0, {"channels": (4, 4)}, "channels: expected 3 numbers, got 2"),
        (0, {"channels": (4, 0, 4)}, "channels: expected at least 1, got 0"),
        (0, {"bins": ()}, "bins: expected at least 1"),
        (0, {"features": 0}, "features: expected at least 1"),
    ],
)
def test_sizes_that_make_no_network(num_classes, args, line):
    with pytest.raises(GaitError, match=line):
        make(num_classes, jnp.float32, **args)


def test_four_blocks_and_a_neck(x):
    """More channels at the size of the third block; the embeddings stay as they are."""
    mask = jnp.ones((4, 5))
    wide = SMALL | {"channels": (3, 4, 5, 7)}
    plain, neck = (
        make(0, jnp.float32, **wide),
        make(2, jnp.float32, bnneck=True, **wide),
    )
    variables = small_networks.some_variables(neck, x, mask)
    assert variables["params"]["global4"] and variables["params"]["fcs"]
    out = jax.jit(functools.partial(neck.apply, variables, train=False))(x, mask)
    assert out["logits"].shape == (4, 6, 2)
    params = {k: v for k, v in variables["params"].items() if k != "necks"}
    bare = jax.jit(functools.partial(plain.apply, {"params": params}, train=False))
    np.testing.assert_array_equal(out["embeddings"], bare(x, mask)["embeddings"])
