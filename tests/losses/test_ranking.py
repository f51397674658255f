"""The ranking loss against its formula in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.losses.ranking import ranking

POSITIVE = np.float32([1.0, 3.0, 2.0, 0.0, 5.0])
NEGATIVE = np.float32([2.0, 1.0, 2.0, 4.0, 4.5])


def formula(positive, negative, damping):
    """-log sigmoid(negative - positive), a triplet at a time, in float64."""
    terms = []
    for p, n in zip(np.float64(positive), np.float64(negative), strict=True):
        term = -np.log(1 / (1 + np.exp(p - n)))
        terms.append(damping * term if n >= p else term)
    return np.mean(terms)


@pytest.mark.parametrize("damping", [0.0, 0.1, 1.0])
def test_it_is_the_formula(damping):
    loss, values = ranking(
        jnp.asarray(POSITIVE), jnp.asarray(NEGATIVE), damping=damping
    )
    want = formula(POSITIVE, NEGATIVE, damping)
    np.testing.assert_allclose(float(loss), want, rtol=1e-6)
    assert float(values["loss"]) == float(loss)
    assert float(values["right"]) == pytest.approx(3 / 5)  # a tie is right
    assert loss.dtype == jnp.float32 and loss.shape == ()


def test_gradient_pulls_the_right_one_near_and_damps_what_is_right():
    def loss(positive, negative):
        return ranking(positive, negative, damping=0.1)[0]

    pull, push = jax.grad(loss, (0, 1))(jnp.asarray(POSITIVE), jnp.asarray(NEGATIVE))
    gap = np.float64(POSITIVE - NEGATIVE)
    weight = np.where(NEGATIVE >= POSITIVE, 0.1, 1.0)
    want = weight / (1 + np.exp(-gap)) / 5
    np.testing.assert_allclose(pull, want, rtol=1e-5)
    np.testing.assert_allclose(push, -want, rtol=1e-5)


def test_huge_distances_stay_finite():
    far, near = jnp.float32([1e30, 0.0]), jnp.float32([0.0, 1e30])
    (loss, _), grads = jax.value_and_grad(ranking, (0, 1), has_aux=True)(far, near)
    np.testing.assert_allclose(float(loss), 5e29, rtol=1e-6)
    np.testing.assert_allclose(grads[0], [0.5, 0.0])
    np.testing.assert_allclose(grads[1], [-0.5, 0.0])
