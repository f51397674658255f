"""Noise schedules against their tables, their three phases, noise and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.losses.diffusion import (
    add_noise,
    alpha_bars,
    phase_intervals,
    remove_noise,
    sample_steps,
)

SCHEDULES = ("linear", "linear_rescaled", "cosine")


def boundaries(left, small=0.95, large=0.5, **options):
    """The last step of small noise and the first of large."""
    intervals, _ = phase_intervals(left, small, large, **options)
    (first, t_s), middle, (t_l, last) = intervals
    assert (first, last) == (1, len(left))
    assert middle == (t_s + 1, t_l - 1)
    return t_s, t_l


@pytest.mark.parametrize("num_steps", [3, 50, 100, 200, 1000])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_is_left_falls_and_never_to_nothing(schedule, num_steps):
    left = alpha_bars(num_steps, schedule)
    assert left.shape == (num_steps,) and left.dtype == np.float64
    assert (np.diff(left) < 0).all()
    assert left[-1] > 0 and left[0] < 1


def test_schedules_by_their_closed_forms():
    # Ho et al.: 1000 steps of beta from 1e-4 to 0.02; 100 rescaled ones end alike.
    linear = alpha_bars(1000)
    assert linear[0] == pytest.approx(1 - 1e-4)
    assert linear[1] / linear[0] == pytest.approx(1 - 1e-4 - 0.0199 / 999)
    assert linear[-1] / linear[-2] == pytest.approx(0.98)
    np.testing.assert_array_equal(alpha_bars(1000, "linear_rescaled"), linear)
    rescaled = alpha_bars(100, "linear_rescaled")
    assert rescaled[0] == pytest.approx(1 - 1e-3)
    assert rescaled[-1] / rescaled[-2] == pytest.approx(0.8)
    # Nichol and Dhariwal, eq. 17: f(t) / f(0), but for the last step, cut at 0.999.
    t = np.arange(101) / 100
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    cosine = alpha_bars(100, "cosine")
    np.testing.assert_allclose(cosine[:-1], f[1:-1] / f[0], rtol=1e-9)
    assert cosine[-1] / cosine[-2] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "schedule, last, plain, root",
    [
        ("linear", 0.364, (22, 83), (31, 100)),  # root: never, the last step alone
        ("linear_rescaled", 2e-5, (7, 27), (10, 37)),
        ("cosine", 2e-7, (13, 50), (19, 67)),
    ],
)
def test_boundaries_are_those_of_the_table(schedule, last, plain, root):
    left = alpha_bars(100, schedule)
    assert left[-1] == pytest.approx(last, rel=0.3 if last < 1e-3 else 2e-3)
    assert boundaries(left) == plain
    assert boundaries(np.sqrt(left)) == root
    notes = [phase_intervals(x)[1] for x in (left, np.sqrt(left))]
    assert [bool(note) for note in notes] == [False, schedule == "linear"]


def test_thresholds_that_the_paper_varies():
    left = alpha_bars(100)
    assert [boundaries(left, s)[0] for s in (0.90, 0.95, 0.98)] == [32, 22, 14]
    assert [boundaries(left, large=x)[1] for x in (0.4, 0.5, 0.6)] == [96, 83, 72]
    t_s, t_l = boundaries(alpha_bars(200))
    assert 1 < t_s < t_l < 200


def test_a_threshold_is_of_both_sides():
    """Exactly as much as `small` is small noise, exactly `large` is large."""
    left = np.array([0.99, 0.95, 0.8, 0.5, 0.3])
    assert phase_intervals(left)[0] == ((1, 2), (3, 3), (4, 5))


def test_what_is_never_reached_is_the_last_step_with_a_note():
    left = alpha_bars(50)
    intervals, note = phase_intervals(left)
    assert intervals[2] == (50, 50) and intervals[1][1] == 49
    assert note.startswith("50 steps leave 0.603 of the signal, more than 0.5: ")
    assert note.endswith("step 50 alone is large noise")
    with pytest.raises(GaitError, match="50 steps leave 0.603") as refusal:
        phase_intervals(left, strict=True)
    for cure in ("large_noise", "num_steps", "schedule", "strict_phases"):
        assert cure in str(refusal.value)
    # Where all phases have steps of their own there is nothing to be strict about.
    assert phase_intervals(alpha_bars(100), strict=True) == (
        ((1, 22), (23, 82), (83, 100)),
        "",
    )


@pytest.mark.parametrize(
    "left, small, large, message",
    [
        (alpha_bars(100), 0.5, 0.95, "large_noise=0.95 and small_noise=0.5: expected"),
        (alpha_bars(100), 0.5, 0.5, "large_noise < small_noise < 1"),
        (alpha_bars(100), 1.0, 0.5, "small_noise=1.0: expected 0 <"),
        (alpha_bars(100), 0.95, 0.0, "large_noise=0.0 and"),
        (alpha_bars(100), 0.95, -1.0, "large_noise=-1.0 and"),
        (alpha_bars(100), 0.99999, 0.5, "no step of small noise: at most 0.99999"),
        (alpha_bars(3, "cosine"), 0.8, 0.7, "no step of small noise"),
        (np.array([0.96, 0.4, 0.3]), 0.95, 0.5, "no step of middle noise: "),
        (np.array([0.99, 0.98, 0.97]), 0.95, 0.5, "no step of middle noise: "),
    ],
)
def test_wrong_thresholds(left, small, large, message):
    with pytest.raises(GaitError) as refusal:
        phase_intervals(left, small, large)
    said = str(refusal.value)
    assert message in said and "\n" not in said
    assert "method_args." in said


@pytest.mark.parametrize("num_steps", [-1, 0, 2])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_fewer_steps_than_phases(schedule, num_steps):
    with pytest.raises(GaitError) as refusal:
        alpha_bars(num_steps, schedule)
    assert str(refusal.value) == (
        f"method_args.num_steps={num_steps}: three phases need at least 3 steps; the "
        "paper's number is 100"
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_true_noise_gives_the_signal_back(schedule):
    left = alpha_bars(100, schedule)
    left = left[left > 0.01]  # below, float32 has too few digits to divide by
    assert len(left) > 60
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 1, 500)).astype(np.float32)
    left = jnp.asarray(left[:, None], jnp.float32)
    noisy = add_noise(x, noise, left)
    assert noisy.dtype == jnp.float32
    np.testing.assert_allclose(
        remove_noise(noisy, noise, left), jnp.broadcast_to(x, noisy.shape), atol=1e-5
    )
    # Another noise leaves what it differs by, larger by the ratio of the two shares.
    error = remove_noise(noisy, noise + 1, left) - x
    want = jnp.broadcast_to(-jnp.sqrt((1 - left) / left), error.shape)
    np.testing.assert_allclose(error, want, atol=1e-5, rtol=1e-5)


def test_noise_keeps_the_variance_and_leaves_as_much_as_it_says():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 40_000)).astype(np.float32)
    for share in (0.9, 0.364, 0.01):
        noisy = np.asarray(add_noise(x, noise, jnp.float32(share)))
        assert noisy.var() == pytest.approx(1, abs=0.03)
        assert np.corrcoef(noisy, x)[0, 1] ** 2 == pytest.approx(share, abs=0.02)


def test_steps_stay_in_their_intervals_and_reach_both_ends():
    intervals = ((1, 3), (4, 9), (10, 10))
    draw = jax.jit(sample_steps, static_argnums=(1, 2))
    steps = np.asarray(draw(jax.random.key(0), intervals, 3000))
    assert steps.shape == (3000, 3) and steps.dtype == np.int32
    for (first, last), column in zip(intervals, steps.T, strict=True):
        values, counts = np.unique(column, return_counts=True)
        assert values.tolist() == list(range(first, last + 1))
        # Uniform: five standard deviations of a binomial count.
        mean = 3000 / len(values)
        assert abs(counts - mean).max() <= 5 * mean**0.5
    # A draw of its own for every phase and every key.
    assert abs(np.corrcoef(steps[:, 0], steps[:, 1])[0, 1]) < 0.1
    assert not np.array_equal(draw(jax.random.key(1), intervals, 3000), steps)
    np.testing.assert_array_equal(draw(jax.random.key(0), intervals, 3000), steps)
