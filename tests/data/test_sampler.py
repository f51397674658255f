"""The order of the data: reproducible, balanced, and as the reference draws it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitjax.data.sampler import Clip, PKSampler
from gaitjax.errors import GaitError

LABELS = np.repeat(np.arange(5), [4, 2, 7, 3, 4]).astype(np.int32)


def test_batch_is_p_identities_with_k_sequences_each():
    sampler = PKSampler(LABELS, p=3, k=3, seed=1)
    for step in range(50):
        drawn = LABELS[sampler(step)].reshape(3, 3)
        assert (drawn == drawn[:, :1]).all()
        assert len(set(drawn[:, 0])) == 3


def test_replacement_only_where_an_identity_is_short():
    sampler = PKSampler(LABELS, p=5, k=3, seed=0)
    repeats = 0
    for step in range(40):
        for rows in sampler(step).reshape(5, 3):
            if LABELS[rows[0]] == 1:  # it has two sequences
                repeats += len(set(rows)) < 3
            else:
                assert len(set(rows)) == 3
    assert repeats == 40


def test_pure_function_of_seed_round_and_step():
    first = PKSampler(LABELS, 2, 2, seed=7)
    again = PKSampler(LABELS, 2, 2, seed=7)
    order = [again(s) for s in reversed(range(20))][::-1]
    np.testing.assert_array_equal([first(s) for s in range(20)], order)
    for other in (PKSampler(LABELS, 2, 2, 8), PKSampler(LABELS, 2, 2, 7, round_=1)):
        assert any((other(s) != first(s)).any() for s in range(20))


def test_every_record_is_drawn_and_unlabelled_ones_never():
    labels = LABELS.copy()
    labels[[0, 9]] = -1
    sampler = PKSampler(labels, 4, 2, seed=0)
    seen = set(np.concatenate([sampler(s) for s in range(300)]))
    assert seen == set(np.flatnonzero(labels >= 0))


def test_too_few_identities():
    with pytest.raises(GaitError, match="wants 6 identities, the training set has 5"):
        PKSampler(LABELS, p=6, k=1, seed=0)
    with pytest.raises(GaitError, match="wants 6 clusters, round 4 has 5; lower data."):
        PKSampler(LABELS, p=6, k=1, seed=0, round_=4, clusters=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 9), st.integers(0, 99))
def test_ordered_clip_is_a_window_in_order(length, frames, skip, seed):
    drawn = Clip(frames, frames, "ordered", skip).draw(
        np.random.default_rng(seed), length
    )
    assert len(drawn) == frames
    # Unroll the repetitions of a short sequence: each wrap adds its length.
    wraps = np.concatenate([[0], np.cumsum(np.diff(drawn) <= 0)])
    track = drawn + wraps * length
    assert (np.diff(track) > 0).all()
    assert track[-1] - track[0] < frames + skip
    if length >= frames + skip:
        assert wraps[-1] == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 99))
def test_unordered_clip_repeats_only_when_it_must(length, frames, seed):
    drawn = Clip(frames, frames).draw(np.random.default_rng(seed), length)
    assert len(drawn) == frames and drawn.min() >= 0 and drawn.max() < length
    assert (len(set(drawn)) == frames) or length < frames


def test_unfixed_clip_takes_every_length_in_its_range():
    clip = Clip(3, 6)
    rng = np.random.default_rng(0)
    assert {len(clip.draw(rng, 20)) for _ in range(200)} == {3, 4, 5, 6}
