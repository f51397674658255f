"""Pairs and errors against loops over every pair and every threshold."""

import dataclasses

import numpy as np
import pytest

from gaitjax.data.index import Index
from gaitjax.retrieval import protocols, search, verification


def _brute(genuine, impostor):
    """(FMR, FNMR) at every threshold, by counting."""
    rates = []
    for t in sorted({*genuine, *impostor}):
        accepted = sum(d <= t for d in impostor) / len(impostor)
        refused = sum(d > t for d in genuine) / len(genuine)
        rates.append((accepted, refused))
    return np.array(rates)


def test_det_counts():
    rng = np.random.default_rng(0)
    genuine = rng.normal(1.0, 1.0, 40).round(1)  # with ties
    impostor = rng.normal(2.0, 1.0, 70).round(1)
    threshold, *rates = verification.det(genuine, impostor)
    np.testing.assert_allclose(np.stack(rates, 1), _brute(genuine, impostor))
    assert threshold.tolist() == sorted({*genuine, *impostor})


def test_equal_error_by_hand():
    # At 2: FMR 0, FNMR 1/2. At 3: FMR 1/2, FNMR 1/2. Equal: 1/2 at 3.
    assert verification.equal_error([1, 2, 5, 6], [3, 3, 7, 8]) == (0.5, 3.0)
    # At 2: 0 and 1/4; at 3: 1/4 and 1/4.
    assert verification.equal_error([1, 1, 2, 9], [3, 4, 5, 6]) == (0.25, 3.0)
    # At 1: FMR 0, FNMR 1; at 2: FMR 1, FNMR 0; equal half way between.
    assert verification.equal_error([2], [2]) == (0.5, 2.0)


def test_equal_error_of_perfect_and_of_reversed_distances():
    assert verification.equal_error([1, 2], [3, 4])[0] == 0
    assert verification.equal_error([3, 4], [1, 2])[0] == 1


def _evaluate(exclude, num_pairs, metric="euclidean", num_subjects=6):
    names = [
        (f"{s}", condition, view)
        for s in range(num_subjects)
        for condition in ("nm-01", "bg-01")
        for view in ("000", "090", "180")
    ]
    columns = [np.array(column) for column in zip(*names, strict=True)]
    index = Index(*columns, np.full(len(names), ""), np.ones(len(names), np.int32))
    index = dataclasses.replace(index, subject=index.subject[::-1].copy())
    embeddings = np.random.default_rng(1).normal(size=(len(names), 2, 4))
    protocol = protocols.Protocol(
        "some",
        {"condition": ("nm-01",)},
        {"BG": {"condition": ("bg-01",)}},
        "list",
        exclude=exclude,
    )
    found = search.evaluate(
        {"sils": embeddings}, index, protocol, metric=metric, num_pairs=num_pairs
    )
    return index, embeddings, found.distances


@pytest.mark.parametrize("exclude", [(), ("view",), ("subject", "view")])
def test_all_pairs_where_there_are_few(exclude):
    index, x, got = _evaluate(exclude, 1000)
    genuine, impostor = [], []
    for a in np.flatnonzero(index.condition == "bg-01"):
        for b in np.flatnonzero(index.condition == "nm-01"):
            values = [getattr(index, field) for field in exclude]
            if exclude and all(value[a] == value[b] for value in values):
                continue
            far = np.linalg.norm(x[a] - x[b], axis=-1).mean()
            right = index.subject[a] == index.subject[b]
            (genuine if right else impostor).append(far)
    np.testing.assert_allclose(sorted(got.genuine), sorted(genuine), rtol=1e-5)
    np.testing.assert_allclose(sorted(got.impostor), sorted(impostor), rtol=1e-5)


def test_a_sample_is_bounded_and_comes_from_everywhere():
    _, _, every = _evaluate((), 1000)
    _, _, some = _evaluate((), 30)
    assert len(some.genuine) == 30 and 15 < len(some.impostor) <= 30
    assert set(some.genuine) < set(every.genuine)
    assert set(some.impostor) < set(every.impostor)
    assert len(set(some.genuine)) == 30  # no pair twice


def test_cosine_lies_between_0_and_2():
    _, _, got = _evaluate((), 100, "cosine")
    assert got.impostor.min() > 0 and got.impostor.max() < 2


def test_nobody_in_common():
    index, x, _ = _evaluate((), 10)
    strangers = dataclasses.replace(
        index, subject=np.char.add(index.subject, index.condition)
    )
    found = search.evaluate(
        {"sils": x}, strangers, protocols.walkers(), ranks=(1,), num_pairs=50
    ).distances
    assert len(found.genuine) == 0 and len(found.impostor)
