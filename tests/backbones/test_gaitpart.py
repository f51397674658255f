"""GaitPart. Its goldens are run by tests/interop/test_parity.py."""

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.gaitpart import MicroMotion, PartConv1D, make
from gaitjax.errors import GaitError
from gaitjax.interop.opengait import network_of

SMALL = dict(layers=("BC-3", "M", "FC-4-1"), bins=(4,), features=6)
GOLDENS = {"gaitpart": 128, "gaitpart_oumvlp": 256}


@pytest.fixture
def x():
    """Random frames [4, 6, 16, 8, 1]."""
    return jnp.asarray(np.random.default_rng(0).random((4, 6, 16, 8, 1)), jnp.float32)


@pytest.mark.parametrize("name", GOLDENS)
def test_config_of_the_reference(name):
    network = network_of(golden.load_json(name)["model_cfg"])
    assert network.backbone == "gaitpart"
    assert network.args["features"] == GOLDENS[name]
    assert network.args["layers"][-1] == f"FC-{GOLDENS[name]}-3"
    assert network.num_classes == 0 and network.num_parts == 16


def test_the_golden_step_is_of_the_golden_network():
    step, network = (golden.load_json(name) for name in ("train/gaitpart", "gaitpart"))
    assert step["model_cfg"] == network["model_cfg"]


@pytest.mark.slow
def test_padding_does_not_matter(x):
    model = make(0, jnp.float32, **SMALL)
    assert small_networks.padding_error(model, x[:2], (6, 3)) < 1e-5
    assert small_networks.masked_training_error(model, x, 3) < 1e-4


def test_convolution_over_time_of_each_part():
    """Against a loop over frames, parts and taps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 3, 5)).astype(np.float32)
    model = PartConv1D(2, 3)
    params = model.init(jax.random.key(0), jnp.asarray(x))["params"]
    got = model.apply({"params": params}, jnp.asarray(x))
    want = np.zeros((2, 4, 3, 2))
    for t in range(4):
        for part in range(3):
            for tap in range(3):
                if 0 <= t + tap - 1 < 4:
                    kernel = np.asarray(params[f"part{part}"])[tap]
                    want[:, t, part] += x[:, t + tap - 1, part] @ kernel
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_attention_of_a_half_by_hand():
    """Kernels of 0 make every attention 1/2; one channel, one part, one bump."""
    x = jnp.asarray([0.0, 0, 3, 0, 0, 1])[None, :, None, None]
    mask = jnp.asarray([[1.0, 1, 1, 1, 1, 0]])
    model = MicroMotion(squeeze=1)
    variables = model.init(jax.random.key(0), x, mask)
    variables = jax.tree.map(jnp.zeros_like, variables)
    # At the bump: (1/2)(3/3 + 3) + (1/2)(3/5 + 3); the padded 1 counts nowhere.
    assert float(model.apply(variables, x, mask)[0, 0, 0]) == pytest.approx(3.8)


def test_half_precision():
    cosine = small_networks.half_precision_cosine(
        make, num_classes=0, layers=("BC-4", "M", "FC-8-2", "M", "FC-8-3"), features=8
    )
    assert cosine > 0.999


@pytest.mark.parametrize(
    ("num_classes", "args", "line"),
    [
        (5, {}, "gaitpart has no classifier.*method_args.ce_weight=0.0"),
        (0, {"layers": ("BC4",)}, "unknown layer 'BC4'"),
        (0, {"bins": ()}, "bins: expected at least 1"),
        (0, {"features": 0}, "features: expected at least 1"),
        (0, {"squeeze": 0}, "squeeze: expected at least 1"),
    ],
)
def test_sizes_that_make_no_network(num_classes, args, line):
    with pytest.raises(GaitError, match=line):
        make(num_classes, jnp.float32, **args)
