"""GLN. Its golden is run by tests/interop/test_parity.py."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.gln import CompactBlock, make
from gaitjax.errors import GaitError
from gaitjax.interop.opengait import network_of

SMALL = dict(channels=(2, 3, 4), bins=(2, 1), lateral=4, features=5)


@pytest.fixture
def x():
    """Random frames [6, 4, 16, 8, 1]."""
    return jnp.asarray(np.random.default_rng(0).random((6, 4, 16, 8, 1)), jnp.float32)


def test_config_of_the_reference():
    config = golden.load_json("gln_p2")["model_cfg"]
    second = network_of(config)
    assert second.backbone == "gln"
    assert (second.num_classes, second.num_parts) == (74, 93)
    first = network_of({**config, "Lateral_pretraining": True})
    assert first.num_classes == 0 and first.args == second.args


@pytest.mark.slow
def test_padding_does_not_matter(x):
    model = make(5, jnp.float32, dropout=0.0, **SMALL)
    assert small_networks.padding_error(model, x[:2], (4, 3)) < 1e-5
    assert small_networks.masked_training_error(model, x, 3) < 1e-4


def test_both_phases_embed_alike(x):
    """The second one's logits are one row for all parts."""
    mask = jnp.ones((6, 4))
    first, second = (make(k, jnp.float32, **SMALL) for k in (0, 5))
    variables = small_networks.some_variables(second, x, mask)
    out = jax.jit(functools.partial(second.apply, train=False))(variables, x, mask)
    assert out["embeddings"].shape == (6, 9, 5) and out["logits"].shape == (6, 1, 5)
    params = {k: v for k, v in variables["params"].items() if k != "compact"}
    alone = jax.jit(functools.partial(first.apply, train=False))
    alone = alone({"params": params}, x, mask)
    assert alone.keys() == {"embeddings"}
    np.testing.assert_array_equal(alone["embeddings"], out["embeddings"])


def test_compact_block_in_training():
    """Dropout there only, at its rate; the norms' biases are not learnt."""
    block = CompactBlock(3, features=4, dropout=0.9)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 6, 5)), jnp.float32)
    variables = block.init(jax.random.key(0), x, train=False)

    @jax.jit
    def logits(params, seed):
        out, _ = block.apply(
            {**variables, "params": params},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(seed)},
        )
        return out

    params = variables["params"]
    assert np.abs(logits(params, 0) - logits(params, 1)).max() > 0.1
    plain = block.apply(variables, x, train=False)
    np.testing.assert_array_equal(plain, block.apply(variables, x, train=False))
    grads = jax.grad(lambda params: jnp.square(logits(params, 0)).sum())(params)
    for name in ("bn", "reduce_bn"):
        assert np.abs(grads[name]["bias"]).max() == 0
        assert np.abs(grads[name]["scale"]).max() > 0


def test_half_precision():
    sizes = dict(channels=(4, 6, 8), lateral=8, features=8, num_classes=5)
    assert small_networks.half_precision_cosine(make, **sizes) > 0.999


def test_images_that_cannot_be_halved_twice(x):
    with pytest.raises(GaitError, match="multiples of 4, got 16 x 6"):
        model = make(0, jnp.float32, **SMALL)
        model.init(jax.random.key(0), x[..., :6, :], jnp.ones((6, 4)), train=False)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"channels": (4, 4)}, "channels: expected 3 numbers, got 2"),
        ({"bins": (0,)}, "bins: expected at least 1"),
        ({"lateral": 0}, "lateral: expected at least 1"),
        ({"features": 0}, "features: expected at least 1"),
        ({"dropout": 1.5}, "dropout: expected 0 to 1"),
    ],
)
def test_sizes_that_make_no_network(args, line):
    with pytest.raises(GaitError, match=line):
        make(5, jnp.float32, **args)
