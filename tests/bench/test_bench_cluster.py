"""A round without its network: what is made up, what is timed, against whom."""

import functools
import sys
import types

import numpy as np

from gaitjax.bench import cluster
from gaitjax.retrieval import clusters

NUM, DIMS = 400, 256


@functools.cache
def made():
    """Features, people, neighbours, labels."""
    x, people = cluster.made_up(NUM, DIMS)
    near = clusters.nearest(x, cluster.NEIGHBOURS)
    labels = clusters.numbered(cluster.clusterers()["dbscan"](*near), 4)
    return x, people, near, labels


def test_features_have_people_and_takes():
    x, people, _, labels = made()
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    assert np.bincount(people).tolist() == [cluster.SEQUENCES] * (NUM // 40)
    cosine = x @ x.T
    same = people[:, None] == people
    other = ~np.eye(NUM, dtype=bool)
    # What MOVED and NOISE make of it: 1 of 2.66 in a person, 1.81 in a take, which a
    # quarter of the pairs share.
    assert 0.37 < cosine[same & other].mean() < 0.55
    assert abs(cosine[~same].mean()) < 0.1
    found = clusters.quality(labels, people)
    assert 0.2 < found["ari"] < 0.98 and found["clusters"] > 2


def test_all_parts_are_timed():
    x, _, near, labels = made()
    found = {name: fn() for name, fn in cluster.parts(x, near, labels).items()}
    assert {"neighbours", "dbscan", "memory", "updates"} <= set(found)
    np.testing.assert_array_equal(found["neighbours"][0], near[0])
    centroids, rows = found["memory"]
    assert centroids.shape == (2_048, DIMS) and rows.shape == (2_048, 2)
    kept = int(centroids.any(1).sum())
    assert kept == labels.max() + 1 - np.sum(np.arange(labels.max() + 1) % 5 == 0)
    assert rows[:kept, 0].tolist() == list(range(kept))
    assert np.all(rows[kept:] == -1)


def test_rows_of_a_run(monkeypatch):
    def interleaved(fns, times):
        return {name: [2.0, 4.0, 3.0] for name in fns}

    monkeypatch.setattr(cluster, "interleaved", interleaved)
    monkeypatch.setattr(cluster, "made_up", lambda num, d: made()[:2])
    monkeypatch.setitem(sys.modules, "faiss", None)
    found = {row.what: row for row in cluster.rows(NUM, DIMS, 3)}
    label = f"{NUM} x {DIMS}"
    assert found[f"{label}: neighbours"].median == 3
    assert found[f"{label}: updates, times 10 for a round"].most == 40
    rival = found[f"{label}: neighbours and dbscan: faiss-cpu / gaitjax"]
    assert rival.median is None
    assert found[f"{label}: peak memory after memory"].median > 0
    rows = {x.what: x for x in cluster.predicted([*found.values()], NUM, DIMS, 4_000)}
    assert rows[f"4,000 x {DIMS}, predicted: neighbours"].median == 300
    assert rows[f"4,000 x {DIMS}, predicted: dbscan"].median == 30


def test_faiss_is_compared_turn_by_turn(monkeypatch):
    """With a twin of the index, that has each row's own place last among equals."""
    x, _, near, _ = made()

    class Index:
        def __init__(self, d):
            assert d == DIMS

        def add(self, rows):
            self.rows = rows

        def search(self, rows, k):
            cosine = rows @ self.rows.T
            order = np.argsort(-cosine, 1)[:, :k]
            order[:, :2] = order[:, 1::-1]
            return np.take_along_axis(cosine, order, 1), order

    fake = types.SimpleNamespace(IndexFlatIP=Index, omp_set_num_threads=lambda n: None)
    monkeypatch.setitem(sys.modules, "faiss", fake)
    place, cosine = cluster.faiss_search(x)()
    np.testing.assert_array_equal(place, near[0])
    np.testing.assert_allclose(cosine, near[1], atol=1e-5)
    calls = {"gaitjax": [1.0, 2.0, 4.0], "faiss-cpu": [2.0, 2.0, 2.0]}
    rows = {row.what: row for row in cluster.compared("x", calls)}
    ratio = rows["x: faiss-cpu / gaitjax"]
    assert (ratio.least, ratio.median, ratio.most) == (0.5, 1, 2)


def test_memory_of_a_hundred_thousand():
    """6.3 GB, half of that, and a little."""
    assert 9.0 < cluster.device_gib(100_000, 62 * 256) < 10.5
