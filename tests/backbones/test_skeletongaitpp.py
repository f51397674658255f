"""SkeletonGait++; tests/interop/test_parity.py runs its golden."""

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.skeletongaitpp import INPUTS, Fusion, make
from gaitjax.errors import GaitError
from gaitjax.interop import parity_networks

SMALL = dict(channels=(16, 4, 4, 4), features=8)


@pytest.fixture
def x():
    """Random heat maps and silhouettes of 6 sequences, 5 frames of 16 x 8."""
    rng = np.random.default_rng(0)
    return {
        key: jnp.asarray(rng.random((6, 5, 16, 8, channels)), jnp.float32)
        for key, channels in (("heatmaps", 2), ("sils", 1))
    }


def test_config_of_the_reference():
    """Its config gives the network that its weights fit, parameter by parameter."""
    spec = golden.load_json("skeletongaitpp")
    network, model, variables = parity_networks.rebuild(spec)
    assert network.backbone == "skeletongaitpp" and network.inputs == INPUTS
    assert tuple(model.channels) == (64, 128, 256, 512)
    frames = {"heatmaps": np.zeros((1, 2, 64, 44, 2), np.float32)}
    frames["sils"] = frames["heatmaps"][..., :1]
    assert parity_networks.structure(model, variables, frames, np.ones((1, 2))) == []
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == spec["parameters"]


def test_padded_batch_equals_single_sequences(x):
    model = make(5, jnp.float32, bins=(4,), **SMALL)
    three = jax.tree.map(lambda x: x[:3], x)
    assert small_networks.padding_error(model, three, (5, 1, 3)) < 1e-5


@pytest.mark.slow
def test_masked_training_equals_the_same_frames_unpadded(x):
    model = make(5, jnp.float32, bins=(4,), **SMALL)
    assert small_networks.masked_training_error(model, x, 3) < 1e-4


def test_fusion_weighs_its_two_inputs():
    """The weights sum to 1: of a map and the same map comes that map."""
    rng = np.random.default_rng(0)
    a, b = jnp.asarray(rng.random((2, 1, 3, 4, 5, 16)), jnp.float32)
    mask = jnp.ones((1, 3))
    fusion = Fusion()
    variables = fusion.init(jax.random.key(0), a, b, mask, train=False)
    y = fusion.apply(variables, a, a, mask, train=False)
    np.testing.assert_allclose(y, a, rtol=1e-5)
    y = fusion.apply(variables, a, b, mask, train=False)
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    assert bool(((y > low) & (y < high)).all())
    # A bias towards the first half of the last convolution's outputs is one to `a`.
    variables["params"]["mix"]["bn"]["bias"] += 99  # nothing is cut off by the ReLU
    kernel = variables["params"]["expand"]["dense"]["kernel"]
    sides = jnp.repeat(jnp.array([1e3, -1e3]), 16)
    variables["params"]["expand"]["dense"]["kernel"] = kernel * 0 + sides
    y = fusion.apply(variables, a, b, mask, train=False)
    np.testing.assert_allclose(y, a, rtol=1e-5)


def test_half_precision():
    error = small_networks.half_precision_cosine(make, keys=INPUTS, **SMALL)
    assert error > 0.999


def test_channels_too_few_for_the_fusion():
    with pytest.raises(GaitError, match="at least 16 in the first stage, got 8"):
        make(5, jnp.float32, channels=(8, 16, 32, 64))
