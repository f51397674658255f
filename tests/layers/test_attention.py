"""Cross-attention between parts, against loops in numpy; axial attention is tested in
test_denoiser."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.layers.attention import CrossAttention

HEADS, FEATURES, PARTS, DIMS = 2, 4, 3, 6  # other dims than features


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer(**options):
    return CrossAttention(
        **{"heads": HEADS, "features": FEATURES, "zero_init": False, **options}
    )


def weights(module, x, seed=0):
    """All of them random, biases too."""
    like = jax.eval_shape(module.init, jax.random.key(0), x, x)
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), like
    )


@functools.partial(jax.jit, static_argnums=0)
def apply(module, variables, x, y):
    return module.apply(variables, x, y)


def twin(params, x, y, norm=None):
    """x, y [p, d] -> [p, d], a head and a part at a time, in float64."""
    x, y = np.float64(x), np.float64(y)
    if norm:
        x, y = (normed(z, norm) for z in (x, y))
    total = np.zeros_like(x) + params["out"]["bias"]
    for head in range(HEADS):

        def project(name, z, head=head):
            kernel, bias = (params[name][key] for key in ("kernel", "bias"))
            return z @ np.float64(kernel[:, head]) + bias[head]

        query, key, value = project("query", x), project("key", y), project("value", y)
        for part in range(len(x)):
            logits = key @ query[part] / np.sqrt(FEATURES / HEADS)
            shares = np.exp(logits) / np.exp(logits).sum()
            total[part] += shares @ value @ np.float64(params["out"]["kernel"][head])
    return total


def normed(z, norm):
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6)
    return z * norm["scale"] + norm["bias"]


@pytest.mark.parametrize("pre_norm", [False, True])
def test_it_equals_loops(pre_norm):
    x, y = draw(5, DIMS), draw(PARTS, DIMS, seed=1)  # as many keys as y has parts
    module = layer(pre_norm=pre_norm)
    variables = weights(module, x)
    params = variables["params"]
    assert ("norm" in params) == pre_norm
    assert params["query"]["kernel"].shape == (DIMS, HEADS, FEATURES // HEADS)
    assert params["out"]["kernel"].shape == (HEADS, FEATURES // HEADS, DIMS)
    want = twin(params, x, y, params.get("norm"))
    got = apply(module, variables, x, y)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert got.dtype == jnp.float32


def test_one_probe_and_its_candidates_are_all_pairs():
    probe, candidates = draw(2, 1, PARTS, DIMS), draw(2, 4, PARTS, DIMS, seed=1)
    module = layer()
    variables = weights(module, probe)
    there = np.asarray(apply(module, variables, probe, candidates))
    back = np.asarray(apply(module, variables, candidates, probe))
    assert there.shape == back.shape == (2, 4, PARTS, DIMS)
    for b in range(2):
        for k in range(4):
            pair = probe[b, 0], candidates[b, k]
            want = twin(variables["params"], *pair)
            np.testing.assert_allclose(there[b, k], want, rtol=1e-4, atol=1e-5)
            want = twin(variables["params"], *pair[::-1])
            np.testing.assert_allclose(back[b, k], want, rtol=1e-4, atol=1e-5)


def test_zero_init_adds_nothing_and_yet_learns():
    x, y = draw(2, PARTS, DIMS), draw(2, PARTS, DIMS, seed=1)
    module = layer(zero_init=True)
    variables = module.init(jax.random.key(0), x, y)
    assert np.abs(variables["params"]["value"]["kernel"]).max() > 0
    np.testing.assert_array_equal(apply(module, variables, x, y), 0)
    other = layer().init(jax.random.key(0), x, y)
    assert np.abs(apply(module, other, x, y)).max() > 0.01
    grad = jax.grad(lambda v: (module.apply(v, x, y) * x).sum())(variables)["params"]
    assert np.abs(grad["out"]["kernel"]).max() > 0


def test_half_precision_is_near():
    x, y = draw(2, PARTS, DIMS), draw(2, PARTS, DIMS, seed=1)
    variables = layer().init(jax.random.key(0), x, y)
    want = np.asarray(apply(layer(), variables, x, y))
    got = apply(layer(dtype=jnp.bfloat16), variables, x, y)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(got), want, atol=0.03)


def test_heads_must_divide_the_features():
    x = jnp.zeros((PARTS, DIMS))
    with pytest.raises(GaitError, match="3 heads do not divide 4 features") as error:
        jax.eval_shape(layer(heads=3).init, jax.random.key(0), x, x)
    assert "\n" not in str(error.value)
