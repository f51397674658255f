"""Pairs of camera and LiDAR frames, against the rule read aloud."""

import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.walkers.rates import pair, paired_moments


def test_the_rule_on_a_hand_made_case():
    """A LiDAR frame meets the walker 50 ms after its stamp."""
    camera = np.array([0.0, 0.033, 0.067, 0.100, 0.200])
    stamps = np.array([0.0, 0.03, 0.1])
    # Moments 0.05 (17 ms from both), 0.08 (13 ms from 0.067), 0.15 (50 ms off).
    seen, swept = pair(camera, stamps, 10.0)
    assert swept.tolist() == [0, 1]
    assert seen.tolist() == [1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_pairs_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    camera = np.sort(rng.uniform(0, 4, 90))
    stamps = np.arange(0, 4, 0.1)
    expected = []
    for number, stamp in enumerate(stamps):
        gaps = [abs(time - (stamp + 0.05)) for time in camera]
        if min(gaps) <= 0.020:
            expected.append((gaps.index(min(gaps)), number))
    seen, swept = pair(camera, stamps, 10.0)
    assert list(zip(seen, swept, strict=True)) == expected
    assert 0 < len(expected) < len(stamps)


@pytest.mark.parametrize("seed", range(5))
def test_paired_moments_are_10_hz_and_within_20_ms(seed):
    rate, seen, swept = paired_moments(np.random.default_rng(seed), 12, 30, 10)
    assert len(seen) == len(swept) == 12
    assert np.abs(seen - swept).max() / rate <= 0.020 + 1e-9
    steps = np.diff(swept)  # a multiple of the period: a lost camera frame skips one
    assert (steps > 0).all() and (steps % (rate // 10) == 0).all()
    assert (seen % (rate // 30) == 0).all()


def test_rates_that_share_nothing_are_explained():
    with pytest.raises(GaitError, match="share only .* faster camera"):
        paired_moments(np.random.default_rng(0), 40, 2, 10)
    with pytest.raises(GaitError, match="whole rates in Hz"):
        paired_moments(np.random.default_rng(0), 4, 29.97, 10)
