"""k-reciprocal re-ranking against its definition, dense, and the reference's golden."""

import tracemalloc

import golden
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.retrieval import kreciprocal


def _dense(probe, gallery, metric="euclidean"):
    """All distances in float64: [n,n]."""
    x = np.concatenate([probe, gallery]).astype(np.float64)
    if metric == "cosine":
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        return 1 - np.einsum("npd,mpd->nm", x, x) / x.shape[1]
    return np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1)).mean(-1)


def _twin(far, q, k1=20, k2=6, weight=0.3, power=2):
    """The definition, a set at a time: f64[n,n] -> f64[q,g]."""
    num = len(far)
    d = (far / np.maximum(far.max(1, keepdims=True), 1e-30)) ** power
    # Nearest first, each row before all others, ties by number.
    near = [sorted(range(num), key=lambda j: (j != i, far[i, j])) for i in range(num)]

    def reciprocal(i, k):
        return {j for j in near[i][: k + 1] if i in near[j][: k + 1]}

    weights = np.zeros((num, num))
    for i in range(num):
        core = reciprocal(i, k1)
        extra = [reciprocal(c, round(k1 / 2)) for c in core]
        extra = [one for one in extra if len(one & core) * 3 > 2 * len(one)]
        members = list(core.union(*extra))
        weights[i, members] = np.exp(-d[i, members])
    weights /= weights.sum(1, keepdims=True)
    weights = np.stack([weights[near[i][:k2]].mean(0) for i in range(num)])
    least = np.minimum(weights[:q, None], weights[None, q:]).sum(-1)
    most = np.maximum(weights[:q, None], weights[None, q:]).sum(-1)
    return (1 - weight) * (1 - least / most) + weight * d[:q, q:]


def _clusters(seed, q=7, g=24, parts=3, dims=4, people=6):
    """Probes and gallery around a few centres: f32[q,p,d], f32[g,p,d]."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(people, parts, dims))
    who = rng.integers(people, size=q + g)
    x = centre[who] + 0.4 * rng.normal(size=(q + g, parts, dims))
    return np.float32(x[:q]), np.float32(x[q:])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("k1", "k2", "metric"),
    [(4, 2, "euclidean"), (7, 3, "euclidean"), (5, 1, "cosine"), (1, 1, "euclidean")],
)
def test_equals_definition(seed, k1, k2, metric):
    probe, gallery = _clusters(seed)
    got = kreciprocal.k_reciprocal(probe, gallery, k1=k1, k2=k2, metric=metric, block=8)
    want = _twin(_dense(probe, gallery, metric), len(probe), k1, k2)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=2e-6)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_weight(weight):
    probe, gallery = _clusters(3)
    got = kreciprocal.k_reciprocal(probe, gallery, k1=4, weight=weight, block=8)
    want = _twin(_dense(probe, gallery), len(probe), 4, weight=weight)
    np.testing.assert_allclose(got, want, atol=2e-6)


@pytest.mark.parametrize("seed", range(3))
def test_ties(seed):
    """Whole numbers on a 3 x 3 grid: equal rows and equal distances everywhere."""
    rng = np.random.default_rng(seed)
    probe, gallery = (np.float32(rng.integers(3, size=(n, 1, 2))) for n in (6, 18))
    far = _dense(probe, gallery)
    assert len(np.unique(far)) <= 6
    for k1, k2 in ((3, 2), (6, 4)):
        got = kreciprocal.k_reciprocal(probe, gallery, k1=k1, k2=k2, block=8)
        np.testing.assert_allclose(got, _twin(far, 6, k1, k2), atol=2e-6)


def test_all_alike():
    rows = np.ones((3, 2, 4), np.float32)
    got = kreciprocal.k_reciprocal(rows, rows, k1=2, k2=2, block=8)
    want = _twin(np.zeros((6, 6)), 3, 2, 2)
    np.testing.assert_allclose(got, want, atol=2e-6)


def test_k_beyond_the_rows():
    """Everything is everybody's neighbour; the definition's slices end with the set."""
    probe, gallery = _clusters(0, q=2, g=5)
    got = kreciprocal.k_reciprocal(probe, gallery, k1=50, k2=30, block=8)
    want = _twin(_dense(probe, gallery), 2, 50, 30)
    np.testing.assert_allclose(got, want, atol=2e-6)
    assert np.isfinite(got).all()


@pytest.mark.parametrize("block", [1, 5, 1000])
def test_any_block(block):
    probe, gallery = _clusters(4)
    want = kreciprocal.k_reciprocal(probe, gallery, k1=6, k2=3, block=8)
    got = kreciprocal.k_reciprocal(probe, gallery, k1=6, k2=3, block=block)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_blocks_of_rows():
    probe, gallery = _clusters(5)
    blocks = list(kreciprocal.k_reciprocal_blocks(probe, gallery, k1=4, block=3))
    assert [rows.tolist() for rows, _ in blocks] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [far.shape for _, far in blocks] == [(3, 24), (3, 24), (1, 24)]


def test_a_row_does_not_use_up_a_neighbour():
    """FR#446: with k1 = 1 mutual nearest pairs find each other, and only those."""
    position = np.float32([0, 1, 2.1, 10, 10.5, 14]).reshape(-1, 1, 1)
    probe, gallery = position[[0, 3]], position[[1, 2, 4, 5]]
    got = kreciprocal.k_reciprocal(probe, gallery, k1=1, k2=1, weight=0, block=8)
    assert (got < 0.2).tolist() == [[True, False, False, False]] + [
        [False, False, True, False]
    ]
    assert (got[got >= 0.2] == 1).all()


def test_probe_without_a_match():
    """Nobody's neighbour shares nothing: Jaccard 1, and the base distance decides."""
    probe, gallery = _clusters(6)
    probe[2] = 50
    far = _dense(probe, gallery)
    got = kreciprocal.k_reciprocal(probe, gallery, k1=3, k2=1, block=8)[2]
    want = 0.7 + 0.3 * (far[2, 7:] / far[2].max()) ** 2
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(6, 6, 0.3), (20, 6, 0.3), (6, 1, 0.3), (6, 6, 0.0)]
)
def test_golden(k1, k2, weight):
    """To 3e-3: the reference keeps weights and sums in half precision."""
    arrays = golden.load("eval/re_ranking")
    setting = f"k1_{k1}_k2_{k2}_lambda_{weight}"
    q = int(arrays["query_num"])
    x = arrays["embeddings"].transpose(0, 2, 1)
    options = {"k1": k1, "k2": k2, "weight": weight, "block": 64}
    got = kreciprocal.k_reciprocal(x[:q], x[q:], variant="opengait", **options)
    want = arrays[f"final_{setting}"]
    np.testing.assert_allclose(got, want, atol=3e-3)
    paper = kreciprocal.k_reciprocal(x[:q], x[q:], **options)
    assert np.abs(paper - want).max() > 0.015
    labels = arrays["labels"]
    first = labels[q:][got.argmin(1)] == labels[:q]
    figures = golden.load_json("eval/results")["re_ranking"]
    assert 100 * first.mean() == pytest.approx(figures[setting]["rank1"])


def test_never_dense():
    """Peak on the host: below the prediction and a fraction of n x n."""
    probe, gallery = _clusters(7, q=900, g=1100, parts=1, dims=8, people=300)
    sizes = (900, 1100, 4, 2, 1, 8, 128)
    tracemalloc.start()
    try:
        blocks = kreciprocal.k_reciprocal_blocks(probe, gallery, k1=4, k2=2, block=128)
        assert sum(len(rows) for rows, _ in blocks) == 900
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    bound = kreciprocal.predicted_bytes(*sizes, matrix=False)
    assert peak < bound - kreciprocal.COMPILED
    assert peak < 2000 * 2000 * 4 / 2


def test_predicted_bytes():
    whole = kreciprocal.predicted_bytes(20_000, 20_000, 20, 6, 16, 256)
    blocks = kreciprocal.predicted_bytes(20_000, 20_000, 20, 6, 16, 256, matrix=False)
    assert 20_000 * 20_000 * 4 < whole < 4 << 30
    assert 40_000 * 16 * 256 * 4 < blocks < whole


ROWS = np.ones((3, 2, 4), np.float32)


@pytest.mark.parametrize(
    ("probe", "gallery", "options", "message"),
    [
        (ROWS, ROWS[:0], {}, r"got \[3, 2, 4\] and \[0, 2, 4\]"),
        (ROWS, ROWS[:, :1], {}, r"got \[3, 2, 4\] and \[3, 1, 4\]"),
        (ROWS, ROWS * [[[1]], [[np.nan]], [[1]]], {}, "gallery row 1"),
        (ROWS, ROWS, {"k1": 0}, "got k1=0"),
        (ROWS, ROWS, {"weight": 1.5}, "weight=1.5"),
        (ROWS, ROWS, {"variant": "torch"}, "variant is paper or opengait, got torch"),
        (ROWS, ROWS, {"metric": "l1"}, "metric is euclidean or cosine, got l1"),
        (ROWS, ROWS, {"block": 0}, "block is 1 row or more, got 0"),
    ],
)
def test_bad_input(probe, gallery, options, message):
    """At once, before the first block is asked for."""
    with pytest.raises(GaitError, match=message) as error:
        kreciprocal.k_reciprocal_blocks(probe, gallery, **options)
    assert "\n" not in str(error.value)
