"""Pairs and errors against loops over every pair and every threshold."""

import dataclasses

import numpy as np
import pytest

from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.retrieval import breakdowns, protocols, search, verification


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


def brute_dir(known, right, stranger, far):
    """The best DIR of all thresholds that answer few enough strangers, by counting."""
    best = 0.0
    for t in [-1.0, *known, *stranger, np.inf]:
        if sum(d <= t for d in stranger) <= far * len(stranger) + 1e-9:
            found = sum(d <= t and r for d, r in zip(known, right, strict=True))
            best = max(best, found / len(known))
    return best


@pytest.mark.parametrize("far", [0.0, 0.01, 0.1, 0.29, 1.0])
def test_dir_at_far_counts(far):
    rng = np.random.default_rng(0)
    known = rng.normal(1.0, 0.5, 60).round(1).astype(np.float32)  # with ties
    right = rng.random(60) < 0.8
    stranger = rng.normal(1.5, 0.3, 100).round(1).astype(np.float32)
    rate, threshold, share = verification.dir_at_far(known, right, stranger, far)
    assert rate == pytest.approx(brute_dir(known, right, stranger, far))
    assert share == np.mean(stranger <= np.float32(threshold)) <= far
    # No larger one would do: the next stranger's distance is just above it.
    assert far == 1 or np.mean(stranger <= np.nextafter(threshold, 9)) >= share


def test_dir_at_far_by_hand():
    known, right, stranger = [1, 2, 3, 9], np.array([1, 0, 1, 1], bool), [4, 2.5]
    assert verification.dir_at_far(known, right, stranger, 0)[0] == 1 / 4
    rate, threshold, share = verification.dir_at_far(known, right, stranger, 0.5)
    assert (rate, share) == (2 / 4, 1 / 2) and 3.9 < threshold < 4
    assert verification.dir_at_far(known, right, stranger, 1) == (3 / 4, np.inf, 1)
    with pytest.raises(GaitError, match="got 4 and 0; take more people"):
        verification.dir_at_far(known, right, [], 0.1)


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
    return index, embeddings, found


@pytest.mark.parametrize("exclude", [(), ("view",), ("subject", "view")])
def test_all_pairs_where_there_are_few(exclude):
    index, x, found = _evaluate(exclude, 1000)
    got = found.distances
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


@pytest.mark.parametrize("exclude", [(), ("view",), ("subject", "view")])
def test_open_set_against_loops(exclude):
    index, x, evaluation = _evaluate(exclude, 10)
    known, right, stranger = [], [], []
    items = np.flatnonzero(index.condition == "nm-01")
    for a in np.flatnonzero(index.condition == "bg-01"):
        fields = [getattr(index, field) for field in exclude]
        away = [bool(exclude) and all(v[a] == v[b] for v in fields) for b in items]
        far = np.linalg.norm(x[a] - x[items], axis=-1).mean(-1)
        far = np.where(away, np.inf, far)
        own = index.subject[items] == index.subject[a]
        stranger.append(far[~own].min())
        if np.isfinite(far[own].min()):
            known.append(far.min())
            right.append(own[far.argmin()])
    got = evaluation.open_set
    np.testing.assert_allclose(got.known, known, rtol=1e-5)
    np.testing.assert_allclose(got.stranger, stranger, rtol=1e-5)
    assert got.right.tolist() == right and 0 < sum(right) < len(right)
    assert (got.num_items, got.num_people) == (18, 6)


def test_open_set_of_a_sample():
    index, x, every = _evaluate((), 10)
    items, probes = (
        np.flatnonzero(index.condition == name) for name in ("nm-01", "bg-01")
    )
    task = breakdowns.Task(
        subject=index.subject.astype(int),
        exclude=(),
        group=index.view,
        group_name="view",
        conditions={"BG": probes},
        probes=probes,
        items=items,
        misses=False,
        per_view=False,
        probe_embeddings=x,
        gallery_embeddings=x,
        metric="euclidean",
        ranks=[1],
        rounded=False,
        block=4,
    )
    some = verification.open_set([task, task], 10)
    assert len(some.known) == len(some.stranger) == 10  # five of each gallery
    assert set(some.known) <= set(every.open_set.known)
    strangers = dataclasses.replace(
        task, subject=task.subject + 100 * (index.condition == "bg-01")
    )
    nobody = verification.open_set([strangers], 100)
    assert len(nobody.known) == 0 and len(nobody.stranger) == len(probes)


def test_a_sample_is_bounded_and_comes_from_everywhere():
    every = _evaluate((), 1000)[2].distances
    some = _evaluate((), 30)[2].distances
    assert len(some.genuine) == 30 and 15 < len(some.impostor) <= 30
    assert set(some.genuine) < set(every.genuine)
    assert set(some.impostor) < set(every.impostor)
    assert len(set(some.genuine)) == 30  # no pair twice


def test_cosine_lies_between_0_and_2():
    got = _evaluate((), 100, "cosine")[2].distances
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
