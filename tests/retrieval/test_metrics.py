"""Metrics against loops over the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gaitjax.retrieval import metrics

MATCHES = hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 12)))


def _positions(row):
    return [place + 1 for place, right in enumerate(row) if right]


@settings(deadline=None, max_examples=200, database=None)
@given(MATCHES)
def test_against_loops(matches):
    for row, matched, first, ap, inp in zip(
        matches,
        metrics.has_match(matches),
        metrics.first_match(matches),
        metrics.average_precision(matches),
        metrics.inverse_negative_penalty(matches),
        strict=True,
    ):
        places = _positions(row)
        assert matched == bool(places)
        if not places:
            assert first == 0 and np.isnan(ap) and np.isnan(inp)
            continue
        assert first == places[0]
        precisions = [(j + 1) / place for j, place in enumerate(places)]
        assert ap == pytest.approx(sum(precisions) / len(places))
        assert inp == pytest.approx(len(places) / places[-1])


@settings(deadline=None, max_examples=200, database=None)
@given(MATCHES, st.integers(1, 15))
def test_cmc_against_loops(matches, num_ranks):
    curve = metrics.cmc(matches, num_ranks)
    for k in range(1, num_ranks + 1):
        hits = [any(place <= k for place in _positions(row)) for row in matches]
        assert curve[k - 1] == pytest.approx(sum(hits) / len(hits))
        assert metrics.rank(matches, k) == curve[k - 1]


def test_answers_to_check_by_hand():
    matches = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
    assert metrics.first_match(matches).tolist() == [1, 4, 0]
    assert metrics.cmc(matches, 4) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3])
    ap = metrics.average_precision(matches)
    assert ap[:2] == pytest.approx([(1 + 2 / 3) / 2, 1 / 4])
    inp = metrics.inverse_negative_penalty(matches)
    assert inp[:2] == pytest.approx([2 / 3, 1 / 4])


def test_nothing_to_count_is_nan_without_a_warning():
    nobody = np.zeros((0, 3), bool)
    assert np.isnan(metrics.cmc(nobody, 2)).all()
    nothing = np.zeros((2, 0), bool)
    assert metrics.first_match(nothing).tolist() == [0, 0]
    assert np.isnan(metrics.inverse_negative_penalty(nothing)).all()
    assert np.isnan(metrics.mean_defined(np.array([np.nan])))
    table = np.array([[1, np.nan, 3], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(metrics.mean_defined(table, 1), [2, np.nan])
