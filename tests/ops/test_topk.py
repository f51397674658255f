"""Top-k against sorting everything, for any block size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitjax.ops.topk import topk


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
