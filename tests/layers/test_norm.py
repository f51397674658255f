"""Batch norm against a float64 twin with torch's definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.layers.norm import BatchNorm


def torch_batch_norm(x, running_mean, running_var, scale, bias):
    """Training mode over all axes but the last: output and new statistics."""
    axes = tuple(range(x.ndim - 1))
    mean, var, n = x.mean(axes), x.var(axes), x[..., 0].size
    y = (x - mean) / np.sqrt(var + 1e-5) * scale + bias
    unbiased = var * n / (n - 1)
    return y, 0.9 * running_mean + 0.1 * mean, 0.9 * running_var + 0.1 * unbiased


def test_training_mode_and_running_statistics():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (4, 3, 5))
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), jnp.asarray(x, jnp.float32), train=False)
    params, stats = variables["params"], variables["batch_stats"]
    y, mutated = norm.apply(
        variables, jnp.asarray(x, jnp.float32), train=True, mutable=["batch_stats"]
    )
    want, mean, var = torch_batch_norm(
        x, np.asarray(stats["mean"]), np.asarray(stats["var"]), **params
    )
    np.testing.assert_allclose(y, want, atol=2e-5)
    np.testing.assert_allclose(mutated["batch_stats"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(mutated["batch_stats"]["var"], var, rtol=1e-5)


def test_variance_survives_a_large_mean():
    """E[x^2] - E[x]^2 gives nonsense here; two passes do not."""
    x = jnp.asarray(100 + 0.01 * np.random.default_rng(0).normal(size=(4096, 1)))
    x = x.astype(jnp.float32)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=False)
    y, _ = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    # epsilon 1e-5 against a variance of 1e-4
    assert float(y.std()) == pytest.approx((1e-4 / 1.1e-4) ** 0.5, rel=0.05)


def test_masked_frames_do_not_count():
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(5, 2, 2, 3)), jnp.float32)
    mask = jnp.asarray([1, 1, 0, 1, 0], jnp.float32).reshape(5, 1, 1, 1)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=False)
    kept = x[np.array([0, 1, 3])]
    y, mutated = norm.apply(variables, x, mask, train=True, mutable=["batch_stats"])
    want, expected = norm.apply(variables, kept, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y[np.array([0, 1, 3])], want, atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(
            mutated["batch_stats"][name], expected["batch_stats"][name], rtol=1e-5
        )


def test_bfloat16_keeps_float32_statistics():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(64, 4)), jnp.bfloat16)
    norm = BatchNorm(dtype=jnp.bfloat16)
    variables = norm.init(jax.random.key(0), x, train=False)
    y, mutated = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    leaves = jax.tree.leaves((variables, mutated))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
