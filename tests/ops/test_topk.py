"""Top-k against sorting everything, for any block size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.exact_twin import twin_distances
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitjax.ops import topk as topk_module
from gaitjax.ops.topk import exact_topk, topk


def _whole_numbers(q, g, seed=0):
    """Embeddings on a small grid: distances are exact and full of ties."""
    rng = np.random.default_rng(seed)
    probe = rng.integers(0, 3, (q, 1, 2)).astype(np.float32)
    gallery = rng.integers(0, 3, (g, 1, 2)).astype(np.float32)
    return probe, gallery


def _by_sorting(probe, gallery, k, exclude=None):
    """Float64; ties lower index first; missing places inf and -1."""
    difference = np.float64(probe)[:, None] - np.float64(gallery)[None]
    far = np.linalg.norm(difference, axis=-1).mean(-1)
    if exclude is not None:
        far = np.where(exclude, np.inf, far)
    order = np.argsort(far, 1, kind="stable")[:, :k]
    far = np.take_along_axis(far, order, 1)
    return far, np.where(np.isinf(far), -1, order)


@settings(deadline=None, max_examples=15, database=None)
@given(
    g=st.integers(1, 23),
    k=st.integers(1, 23),
    block=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.3, 0.9]),
    seed=st.integers(0, 99),
)
def test_any_block_equals_sorting_everything(g, k, block, share, seed):
    k = min(k, g)
    probe, gallery = _whole_numbers(5, g, seed)
    exclude = np.random.default_rng(seed).random((5, g)) < share
    got = topk(probe, gallery, k, block=block, exclude=exclude)
    want = _by_sorting(probe, gallery, k, exclude)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6)
    np.testing.assert_array_equal(got[1], want[1])


def test_ties_come_lower_index_first():
    probe, gallery = np.zeros((1, 1, 2)), np.ones((9, 1, 2))
    for block in (1, 2, 4, 9, 100):
        _, index = topk(probe, gallery, 5, block=block)
        assert index.tolist() == [[0, 1, 2, 3, 4]]


def test_exclusion_by_gallery_item_alone():
    probe, gallery = _whole_numbers(4, 11)
    hidden = np.arange(11)[None] >= 6
    got = topk(probe, gallery, 6, block=4, exclude=hidden)
    want = _by_sorting(probe, gallery[:6], 6)
    np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_under_jit_with_parts(metric):
    rng = np.random.default_rng(0)
    probe = rng.normal(size=(6, 3, 8)).astype(np.float32)
    gallery = rng.normal(size=(37, 3, 8)).astype(np.float32)
    find = jax.jit(
        functools.partial(topk, metric=metric), static_argnames=("k", "block")
    )
    far, index = find(probe, gallery, k=7, block=10)
    assert far.dtype == jnp.float32 and index.dtype == jnp.int32
    one_block = find(probe, gallery, k=7, block=64)
    np.testing.assert_array_equal(index, one_block[1])
    np.testing.assert_allclose(far, one_block[0], rtol=1e-6)
    assert (np.diff(far, axis=1) >= 0).all()


def test_k_beyond_the_gallery():
    with pytest.raises(ValueError, match=r"k=4 and a gallery of 3; lower k"):
        topk(jnp.zeros((1, 1, 2)), jnp.zeros((3, 1, 2)), 4)


def near_ties(q=3, g=101, d=16, metric="euclidean"):
    """Items of a few clusters, each within a few last places, and many duplicates."""
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(2, 3, d)).astype(np.float32)
    gallery = centre[rng.integers(0, 2, g)]
    steps = rng.integers(0, 4, (g, 3, 1)) * rng.integers(0, 2, (g, 1, d))
    gallery = gallery + np.spacing(gallery) * steps.astype(np.float32)
    probe = centre[rng.integers(0, 2, q)] + np.float32(0.1)
    return probe.astype(np.float32), gallery.astype(np.float32)


def by_twin(probe, gallery, k, metric, exclude=None):
    """Sorted by (the distance's bits, index): numpy, everything with everything."""
    far = twin_distances(probe, gallery, metric)
    if exclude is not None:
        far = np.where(exclude, np.float32(np.inf), far)
    order = np.argsort(far, 1, kind="stable")[:, :k]
    far = np.take_along_axis(far, order, 1)
    return far, np.where(np.isinf(far), -1, order)


def first_devices(number):
    devices = jax.devices()[:number]
    return jax.sharding.Mesh(np.array(devices), ("data",))


def assert_same_bits(got, want):
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_array_equal(
        np.asarray(got[0]).view(np.int32), want[0].view(np.int32)
    )


@pytest.mark.parametrize(
    "number, metric, block",
    [
        (1, "euclidean", 7),
        (1, "cosine", 4096),
        (2, "euclidean", 4096),
        (4, "euclidean", 7),
        (4, "cosine", 10),
    ],
)
def test_the_same_bits_on_any_number_of_devices(number, metric, block):
    probe, gallery = near_ties()
    want = by_twin(probe, gallery, 13, metric)
    assert 3 <= len(np.unique(want[0])) <= 10  # near ties, and equal ones
    mesh = first_devices(number)
    got = exact_topk(probe, gallery, 13, metric=metric, block=block, mesh=mesh)
    assert_same_bits(got, want)


def test_products_alone_would_order_near_ties_otherwise():
    """What the exact comparison is for: `topk` is not wrong, only undecided."""
    probe, gallery = near_ties()
    want = by_twin(probe, gallery, 13, "euclidean")
    got = topk(probe, gallery, 13)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    assert (np.asarray(got[1]) != want[1]).any()


@pytest.mark.parametrize("g, k, number", [(3, 3, 4), (21, 21, 1), (21, 23, 4)])
def test_the_whole_gallery_and_beyond(g, k, number):
    probe, gallery = near_ties(g=g)
    far, index = exact_topk(probe, gallery, k, mesh=first_devices(number))
    want = by_twin(probe, gallery, g, "euclidean")
    assert_same_bits((far[:, :g], index[:, :g]), want)
    assert (index[:, g:] == -1).all() and np.isinf(far[:, g:]).all()


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_exclusion_of_pairs_over_devices(number, share):
    probe, gallery = near_ties(g=50)
    away = np.random.default_rng(1).random((3, 50)) < share
    want = by_twin(probe, gallery, 9, "euclidean", away)
    got = exact_topk(probe, gallery, 9, exclude=away, mesh=first_devices(number))
    assert_same_bits(got, want)
    assert share < 0.9 or -1 in want[1]


def test_equal_items_come_lower_index_first_over_devices():
    probe, gallery = np.zeros((1, 1, 2), np.float32), np.ones((90, 1, 2), np.float32)
    for number in (1, 4):
        _, index = exact_topk(probe, gallery, 50, mesh=first_devices(number), block=8)
        assert index.tolist() == [list(range(50))]


def test_chunks_one_after_the_other():
    probe, gallery = near_ties()
    best = None
    for start in (0, 40, 80):
        chunk = gallery[start : start + 40]
        best = exact_topk(probe, chunk, 13, best=best, start=start)
    assert_same_bits(best, by_twin(probe, gallery, 13, "euclidean"))


def test_clear_neighbours_are_settled_by_bounds():
    """The slow comparison with everything is for near ties alone."""
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(200, 2, 8)).astype(np.float32)
    probe = gallery[:50] + np.float32(0.01)
    hidden, start = np.zeros((1, 200), bool), np.zeros(1, np.int32)
    find = functools.partial(
        topk_module._compare_candidates, k=5, metric="euclidean", block=64
    )
    far, _, left = jax.jit(find)(probe, gallery, hidden, start)
    assert (far[:, -1:] < left).all()
