"""DeepGaitV2 and SkeletonGait; tests/interop/test_parity.py runs their goldens."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.deepgaitv2 import Trunk, make
from gaitjax.errors import GaitError
from gaitjax.interop import parity_networks

GOLDENS = {
    "deepgaitv2_2d": "2d",
    "deepgaitv2_3d": "3d",
    "deepgaitv2_p3d": "p3d",
    "deepgaitv2_p3d_b1441": "p3d",
    "deepgaitv2_p3d_emb2": "p3d",
    "skeletongait": "p3d",
}
SMALL = dict(channels=(4, 6, 8, 8), bins=(4,), features=8)
MODES = pytest.mark.parametrize("mode", ["2d", "3d", "p3d"])


@pytest.fixture
def x():
    """Random frames [6, 5, 16, 8, 1]."""
    return jnp.asarray(np.random.default_rng(0).random((6, 5, 16, 8, 1)), jnp.float32)


@pytest.mark.parametrize("name", GOLDENS)
def test_config_of_the_reference(name):
    """Its config gives the network that its weights fit, parameter by parameter."""
    spec = golden.load_json(name)
    network, model, variables = parity_networks.rebuild(spec)
    assert network.backbone == "deepgaitv2"
    assert model.mode == GOLDENS[name]
    assert model.unit_embeddings == name.endswith("emb2")
    assert sum(model.layers) == (10 if name.endswith("b1441") else 4)
    maps = spec["input"] == "heat"
    assert network.inputs == (("heatmaps",) if maps else ("sils",))
    frames = np.zeros((1, 2, 64, 44, 2 if maps else 1), np.float32)
    assert parity_networks.structure(model, variables, frames, np.ones((1, 2))) == []
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == spec["parameters"]


@pytest.mark.parametrize("mode", ["3d", "p3d"])
def test_padded_batch_equals_single_sequences(mode, x):
    model = make(5, jnp.float32, mode=mode, **SMALL)
    assert small_networks.padding_error(model, x[:3], (5, 1, 3)) < 1e-5


@pytest.mark.slow
def test_masked_training_equals_the_same_frames_unpadded(x):
    """p3d; tests/layers/test_temporal.py has the other blocks."""
    model = make(5, jnp.float32, **SMALL)
    assert small_networks.masked_training_error(model, x, 3) < 1e-4


@MODES
def test_only_2d_ignores_the_order_of_frames(mode, x):
    model = make(0, jnp.float32, mode=mode, **SMALL)
    mask = jnp.ones((2, 5))
    variables = small_networks.some_variables(model, x[:2], mask)
    apply = jax.jit(functools.partial(model.apply, variables, train=False))
    shuffled = x[:2, jnp.array([2, 0, 4, 1, 3])]
    a, b = (apply(frames, mask)["embeddings"] for frames in (x[:2], shuffled))
    error = golden.relative_error(a, b)
    assert error < 1e-5 if mode == "2d" else error > 1e-3


def test_time_is_seen_as_far_as_the_convolutions_reach(x):
    """One p3d block per stage: each widens what a frame depends on by one frame."""
    model = make(0, jnp.float32, **SMALL)
    x = jnp.concatenate([x[:1], x[1:2]], 1)  # 10 frames
    variables = small_networks.some_variables(model, x, jnp.ones((1, 10)))

    @jax.jit
    def last_maps(x):
        _, state = model.apply(
            variables,
            x,
            jnp.ones((1, 10)),
            train=False,
            capture_intermediates=lambda module, _: module.name == "layer4",
        )
        return state["intermediates"]["layer4"]["__call__"][0]

    change = jnp.abs(last_maps(x.at[:, 5].set(9)) - last_maps(x)).max((0, 2, 3, 4))
    assert np.flatnonzero(change > 1e-6).tolist() == [2, 3, 4, 5, 6, 7, 8]


def test_unit_embeddings(x):
    """What the classifier sees, in evaluation only: the triplet loss wants the rest."""
    mask = jnp.ones(x.shape[:2])
    plain, unit = (
        make(5, jnp.float32, unit_embeddings=on, **SMALL) for on in (False, True)
    )
    variables = small_networks.some_variables(plain, x, mask)
    a, b = (
        jax.jit(functools.partial(model.apply, variables, train=False))(x, mask)
        for model in (plain, unit)
    )
    np.testing.assert_array_equal(a["logits"], b["logits"])
    np.testing.assert_allclose(jnp.linalg.norm(b["embeddings"], axis=-1), 1, rtol=1e-5)
    kernel = variables["params"]["necks"]["kernel"]
    kernel /= jnp.linalg.norm(kernel, axis=1, keepdims=True)
    logits = jnp.einsum("npd,pdk->npk", b["embeddings"], kernel)
    np.testing.assert_allclose(logits, b["logits"], atol=1e-6)
    train = {"train": True, "mutable": ["batch_stats"]}
    (a, _), (b, _) = (
        jax.jit(functools.partial(model.apply, variables, **train))(x, mask)
        for model in (plain, unit)
    )
    np.testing.assert_array_equal(a["embeddings"], b["embeddings"])


@MODES
def test_half_precision(mode):
    sizes = dict(mode=mode, channels=(4, 6, 8, 8), features=8)
    assert small_networks.half_precision_cosine(make, **sizes) > 0.999


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"mode": "p3"}, "p3; did you mean p3d"),
        ({"layers": (1, 4, 4)}, "layers: expected 4 numbers, got 3"),
        ({"layers": (1, 4, 0, 1)}, "layers: expected at least 1, got 0"),
        ({"channels": (8, 8)}, "channels: expected 4 numbers"),
        ({"bins": ()}, "bins: expected at least 1"),
        ({"features": 0}, "features: expected at least 1"),
    ],
)
def test_sizes_that_make_no_network(args, line):
    with pytest.raises(GaitError, match=line):
        make(5, jnp.float32, **args)


def test_unit_embeddings_need_a_classifier():
    with pytest.raises(GaitError, match="ce_weight"):
        make(0, jnp.float32, unit_embeddings=True)


def test_remat_changes_nothing():
    """The same parameters; outputs and gradients up to rounding."""
    x = jnp.asarray(np.random.default_rng(0).random((2, 3, 8, 4, 1)), jnp.float32)
    mask = jnp.ones((2, 3))
    plain, remat = (Trunk("2d", (1, 1), (2, 3), (1, 2), remat=r) for r in (False, True))
    variables = small_networks.some_variables(plain, x, mask)

    def loss(net, params):
        out = {**variables, "params": params}
        y, _ = net.apply(out, x, mask, train=True, mutable="batch_stats")
        return jnp.square(y).sum()

    step = {
        net.remat: jax.value_and_grad(functools.partial(loss, net))
        for net in (plain, remat)
    }
    params = variables["params"]
    assert "remat" in str(jax.make_jaxpr(step[True])(params))
    (a, ours), (b, theirs) = (jax.jit(step[r])(params) for r in (False, True))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
