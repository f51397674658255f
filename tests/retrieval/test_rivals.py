"""Local blurring and graph convolution against their definitions, dense."""

import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.retrieval import rivals


def _rows(seed, q=6, g=25, parts=3, dims=4, people=6):
    """Probes and gallery around a few centres: f32[q,p,d], f32[g,p,d]."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(people, parts, dims))
    who = rng.integers(people, size=q + g)
    x = centre[who] + 0.5 * rng.normal(size=(q + g, parts, dims))
    return np.float32(x[:q]), np.float32(x[q:])


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _flat(x):
    return _unit(_unit(np.float64(x)).reshape(len(x), -1))


def _base(probe, gallery, metric):
    """f64[q,g]."""
    if metric == "cosine":
        return 1 - _flat(probe) @ _flat(gallery).T
    square = (np.float64(probe)[:, None] - gallery[None]) ** 2
    return np.sqrt(square.sum(-1)).mean(-1)


def _lbr_twin(far, probe, gallery, k, temperature):
    """The definition, a probe at a time; far: f64[q,g], inf = hidden."""
    x, y = _flat(probe), _flat(gallery)
    order = np.argsort(far, 1, kind="stable")
    for row, places in enumerate(order):
        top = [place for place in places[:k] if np.isfinite(far[row, place])]
        weight = np.exp(y[top] @ y[top].T / temperature)
        blurred = weight / weight.sum(1, keepdims=True) @ y[top]
        again = np.argsort(-(blurred @ x[row]), kind="stable")
        order[row, : len(top)] = np.array(top, int)[again]
    return order


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_lbr(seed, metric):
    probe, gallery = _rows(seed)
    far = _base(probe, gallery, metric)
    got = rivals.lbr(probe, gallery, k=10, metric=metric, block=4)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, _lbr_twin(far, probe, gallery, 10, 0.1))
    base = np.argsort(far, 1)
    assert (got[:, :10] != base[:, :10]).any()
    np.testing.assert_array_equal(got[:, 10:], base[:, 10:])


def test_lbr_hidden():
    """What is hidden goes last and blurs nothing, also where fewer than k are left."""
    probe, gallery = _rows(3)
    hidden = np.random.default_rng(0).random((6, 25)) < 0.4
    hidden[1, 4:] = True
    hidden[2] = True
    far = np.where(hidden, np.inf, _base(probe, gallery, "euclidean"))
    got = rivals.lbr(probe, gallery, k=10, hidden=hidden, block=4)
    np.testing.assert_array_equal(got, _lbr_twin(far, probe, gallery, 10, 0.1))
    assert got[2].tolist() == list(range(25))


def test_blur_leaves_out():
    """Scores as if what is not valid were not there; -inf for it."""
    rng = np.random.default_rng(6)
    probe, top = (np.float32(_unit(rng.normal(size=s))) for s in ((2, 5), (2, 4, 5)))
    valid = np.array([[True, True, False, True], [False] * 4])
    got = np.asarray(rivals.blur(probe, top, valid, np.float32(0.5)))
    left = top[0, valid[0]]
    weight = np.exp(left @ left.T / 0.5)
    want = weight / weight.sum(1, keepdims=True) @ left @ probe[0]
    np.testing.assert_allclose(got[0, valid[0]], want, atol=1e-6)
    assert (got[~valid] == -np.inf).all()


def test_lbr_ends():
    """k = 1 moves nothing; k beyond the gallery re-sorts all of it."""
    probe, gallery = _rows(4)
    far = _base(probe, gallery, "euclidean")
    got = rivals.lbr(probe, gallery, k=1, block=4)
    np.testing.assert_array_equal(got, np.argsort(far, 1))
    got = rivals.lbr(probe, gallery, k=99, temperature=0.3, block=4)
    np.testing.assert_array_equal(got, _lbr_twin(far, probe, gallery, 99, 0.3))


def test_lbr_ties():
    """Equal items stay in the order of their numbers."""
    gallery = np.ones((5, 2, 3), np.float32)
    got = rivals.lbr(gallery[:2], gallery, k=3, block=2)
    assert got.tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("block", [1, 100])
def test_lbr_any_block(block):
    probe, gallery = _rows(5)
    want = rivals.lbr(probe, gallery, k=10, block=4)
    got = rivals.lbr(probe, gallery, k=10, block=block)
    np.testing.assert_array_equal(got, want)


def _gcr_twin(probe, gallery, group, k1, k2, beta1, beta2, scale, rounds):
    """The definition with whole matrices; group: labels [n] or None -> f64[q,g]."""
    x = _unit(np.concatenate([_flat(probe), _flat(gallery)]))
    num = len(x)

    def mixed(cosine, k, beta):
        graph = np.zeros((num, num))
        for i in range(num):
            near = np.argsort(-cosine[i], kind="stable")[:k]
            graph[i, near] = np.exp(cosine[i, near] / beta)
        row, column = graph.sum(1), graph.sum(0)
        return graph / np.sqrt(np.outer(row, column)) @ x

    for _ in range(rounds):
        cosine = x @ x.T
        new = (1 - scale) * mixed(cosine, k1, beta1)
        if scale:
            own = (group[:, None] == group) & ~np.eye(num, dtype=bool)
            new += scale * mixed(np.where(own, -np.inf, cosine), k2, beta2)
        x = _unit(new)
    q = len(probe)
    return np.sqrt(((x[:q, None] - x[None, q:]) ** 2).sum(-1))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("k1", "k2", "beta1", "scale", "rounds"),
    [(5, 3, 0.2, 0.3, 3), (5, 40, 0.08, 0.7, 1), (40, 2, 0.2, 1.0, 2)],
)
def test_gcr(seed, k1, k2, beta1, scale, rounds):
    """k1 and k2 beyond the rows too: everything is a neighbour, or all that may be."""
    probe, gallery = _rows(seed)
    views = np.random.default_rng(seed).choice(["000", "045", "090"], size=31)
    options = {"k1": k1, "k2": k2, "beta1": beta1, "beta2": 0.2}
    options |= {"scale": scale, "rounds": rounds}
    got = rivals.gcr(probe, gallery, views[:6], views[6:], block=8, **options)
    want = _gcr_twin(probe, gallery, views, **options)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_gcr_without_groups():
    """No views, no part of other views, whatever the scale."""
    probe, gallery = _rows(3)
    got = rivals.gcr(probe, gallery, k1=5, block=8)
    want = _gcr_twin(probe, gallery, None, 5, 3, 0.2, 0.2, 0, 3)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_gcr_of_one_view():
    """Nobody of another view: every row is averaged over itself and stays."""
    probe, gallery = _rows(4)
    same = np.zeros(6), np.zeros(25)
    got = rivals.gcr(probe, gallery, *same, scale=1.0, block=8)
    x, y = _flat(probe), _flat(gallery)
    want = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("block", [5, 100])
def test_gcr_any_block(block):
    probe, gallery = _rows(5)
    views = np.arange(31) % 3
    want = rivals.gcr(probe, gallery, views[:6], views[6:], k1=5, block=8)
    got = rivals.gcr(probe, gallery, views[:6], views[6:], k1=5, block=block)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_strips():
    """3-4-5 triangles; a zero strip stays zero and the others make up the length."""
    rows = rivals.strips(np.float32([[[3, 4], [0, 5]], [[0, 0], [6, 8]]]))
    half = np.sqrt(0.5)
    want = [[0.6 * half, 0.8 * half, 0, half], [0, 0, 0.6, 0.8]]
    np.testing.assert_allclose(rows, want, rtol=1e-6)
    assert rows.dtype == np.float32


ROWS = np.ones((3, 2, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rivals.lbr(ROWS, ROWS[:0]), r"and \[0, 2, 4\]"),
        (lambda: rivals.lbr(ROWS, ROWS, k=0), "got k=0"),
        (lambda: rivals.lbr(ROWS, ROWS, temperature=0), "temperature=0"),
        (lambda: rivals.gcr_blocks(ROWS * np.nan, ROWS), "probe row 0"),
        (lambda: rivals.gcr_blocks(ROWS, ROWS, rounds=0), "rounds=0"),
        (lambda: rivals.gcr_blocks(ROWS, ROWS, "abc"), "3 and 3, got 3 and 0"),
        (lambda: rivals.gcr_blocks(ROWS, ROWS, "ab", "abc"), "3 and 3, got 2 and 3"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(GaitError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
