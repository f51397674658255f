"""Optimisers and schedules against loops in numpy that follow torch's definitions."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gaitjax.errors import GaitError
from gaitjax.runtime.optim import make_optimizer

PARAMS = {
    "backbone": {"kernel": jnp.asarray([1.0, -2.0]), "bn": jnp.asarray([0.5])},
    "head": {"kernel": jnp.asarray([3.0])},
}
GRADS = {
    "backbone": {"kernel": jnp.asarray([0.3, 0.1]), "bn": jnp.asarray([-0.2])},
    "head": {"kernel": jnp.asarray([0.7])},
}


def run(steps, **options):
    """Parameters after some steps of the same gradient."""
    tx, _ = make_optimizer(PARAMS, 10, **options)
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        updates, state = tx.update(GRADS, state, params)
        params = optax.apply_updates(params, updates)
    return params


def rates(steps, total=10, **options):
    _, rate = make_optimizer(PARAMS, total, **options)
    return np.array([float(rate(s)) for s in range(steps)])


def test_sgd_decays_everything_inside_the_momentum():
    got = run(
        3, name="sgd", lr=0.1, momentum=0.9, weight_decay=0.05, schedule="constant"
    )
    for group, name in (("backbone", "kernel"), ("backbone", "bn"), ("head", "kernel")):
        w, g = np.array(PARAMS[group][name]), np.array(GRADS[group][name])
        velocity = 0
        for _ in range(3):
            velocity = 0.9 * velocity + (g + 0.05 * w)
            w = w - 0.1 * velocity
        np.testing.assert_allclose(got[group][name], w, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_couples_its_decay_and_adamw_does_not(name):
    got = run(3, name=name, lr=0.1, weight_decay=0.05, schedule="constant")
    w, g = np.array([1.0, -2.0]), np.array([0.3, 0.1])
    m = v = 0
    for t in range(1, 4):
        gradient = g + 0.05 * w if name == "adam" else g
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        decay = 0.05 * w if name == "adamw" else 0
        w = w - 0.1 * (step + decay)
    np.testing.assert_allclose(got["backbone"]["kernel"], w, rtol=1e-5)


def test_groups_scale_rate_and_decay():
    options = dict(name="adamw", lr=0.1, weight_decay=0.5, schedule="constant")
    groups = (("backbone/bn$", 0.1, 0.0), ("backbone", 0.1, 1.0))
    got = run(1, groups=groups, **options)
    # Of two patterns that match, the first counts.
    np.testing.assert_allclose(got["backbone"]["bn"], 0.5 + 0.01, rtol=1e-5)
    np.testing.assert_allclose(
        got["backbone"]["kernel"][0], 1 - 0.01 * (1 + 0.5), rtol=1e-5
    )
    np.testing.assert_allclose(got["head"]["kernel"], 3 - 0.1 * (1 + 0.5 * 3), 1e-5)
    got = run(1, groups=(("bn$", 1.0, 0.0),), **options)
    np.testing.assert_allclose(got["backbone"]["bn"], 0.5 + 0.1, rtol=1e-5)


def test_groups_that_say_nothing_are_errors():
    with pytest.raises(GaitError, match="no parameter matches"):
        make_optimizer(PARAMS, 10, groups=(("neck", 1.0, 1.0),))
    with pytest.raises(GaitError, match="expected .pattern, factor on lr"):
        make_optimizer(PARAMS, 10, groups=(("head", 1.0),))


def test_multistep_falls_at_its_milestones():
    got = rates(8, lr=1.0, schedule="multistep", milestones=(2, 5), gamma=0.1)
    np.testing.assert_allclose(got, [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01], rtol=1e-6)


def test_warmup_shifts_no_milestone():
    got = rates(8, lr=1.0, schedule="multistep", milestones=(5,), gamma=0.1, warmup=3)
    np.testing.assert_allclose(got, [0.25, 0.5, 0.75, 1, 1, 0.1, 0.1, 0.1], rtol=1e-6)


def test_cosine_and_its_stretches():
    got = rates(10, lr=2.0, schedule="cosine", final_lr=0.2)
    want = 0.2 + 1.8 * 0.5 * (1 + np.cos(np.pi * np.arange(10) / 10))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    held = rates(10, lr=2.0, schedule="cosine", final_lr=0.2, hold=4)
    np.testing.assert_allclose(held, want[np.arange(10) // 4 * 4], rtol=1e-5)


def test_cosine_that_ends_before_the_run():
    got = rates(10, lr=2.0, schedule="cosine", final_lr=0.2, decay_steps=5)
    want = 0.2 + 1.8 * 0.5 * (1 + np.cos(np.pi * np.arange(5) / 5))
    np.testing.assert_allclose(got, [*want, *[0.2] * 5], rtol=1e-5)


def test_clip_bounds_the_global_norm():
    norm = np.sqrt(0.3**2 + 0.1**2 + 0.2**2 + 0.7**2)
    options = dict(name="sgd", lr=1.0, momentum=0.0, weight_decay=0.0)
    got = run(1, schedule="constant", clip=0.1, **options)
    moved = 3 - float(got["head"]["kernel"][0])
    assert moved == pytest.approx(0.7 * 0.1 / norm, rel=1e-5)
