"""Neighbours, graphs, clusterers and quality against brute force and by hand."""

import jax
import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import DBSCAN

from gaitjax.errors import GaitError
from gaitjax.retrieval import clusters, fusion


def made_up(seed, people=8, each=9, dims=32, noise=0.25):
    """Sequences around one direction per person, shuffled: f32[n,d], who i[n]."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(people), each))
    centre = rng.normal(size=(people, dims)) / np.sqrt(dims)
    x = centre[who] + noise * rng.normal(size=(len(who), dims)) / np.sqrt(dims)
    return unit(x), who


def unit(x):
    x = np.float64(x)
    return np.float32(x / np.linalg.norm(x, axis=-1, keepdims=True))


def brute(x, k):
    """Itself, then the others by float64 distance, ties by place; their cosines."""
    x = np.float64(x)
    far = ((x[:, None] - x) ** 2).sum(-1)
    order = [
        sorted(range(len(x)), key=lambda j: (j != i, far[i, j]))[:k]
        for i in range(len(x))
    ]
    return np.array(order), np.take_along_axis(x @ x.T, np.array(order), 1)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("dims", "k"), [(32, 10), (1030, 72)])
def test_nearest_is_brute_force(dims, k, half):
    x, _ = made_up(0, dims=dims, noise=0.8)
    place, cosine = clusters.nearest(x, k, half=half)
    want, values = brute(x, k)
    np.testing.assert_array_equal(place, want)
    np.testing.assert_allclose(cosine, values, atol=1e-6)
    assert place.dtype == np.int32 and cosine.dtype == np.float32
    assert np.all(cosine[:, 0] == 1)


def test_nearest_in_more_than_one_block_and_with_a_doubt(monkeypatch):
    """Half precision cannot tell 60 of them apart: those go again, none is missed."""
    x, _ = made_up(1, people=4, each=25)
    close = x[:1] + 1e-3 * np.random.default_rng(2).normal(size=(60, 32))
    x = unit(np.concatenate([x, close]))
    monkeypatch.setattr(clusters, "BLOCK", 16)  # of each of four devices
    calls = []
    plain = clusters._nearest
    monkeypatch.setattr(
        clusters,
        "_nearest",
        lambda *a, **b: calls.append(b["number"]) or plain(*a, **b),
    )
    place, _ = clusters.nearest(x, 20, half=True)
    np.testing.assert_array_equal(place, brute(x, 20)[0])
    assert sorted(set(calls)) == [20 + clusters.EXTRA, 160]


def test_rows_in_doubt_compile_nothing_anew(monkeypatch):
    plain, rows = clusters.ranking.padded, []
    monkeypatch.setattr(
        clusters.ranking, "padded", lambda *a: rows.append(len(a[0])) or plain(*a)
    )

    def search(close):
        """So many of 200 cannot be told apart at first; programs, rows by pass."""
        rng = np.random.default_rng(close)
        x, _ = made_up(1, people=4, each=50)
        x = np.concatenate([x[close:], x[:1] + 1e-3 * rng.normal(size=(close, 32))])
        rows.clear()
        clusters.nearest(unit(x), 20, half=True)
        return clusters._nearest._cache_size(), tuple(rows)

    once, (_, some) = search(60)
    again, (_, fewer) = search(46)
    assert again == once and 0 < fewer < some


@pytest.mark.parametrize("half", [False, True])
def test_devices_share_the_rows_and_change_no_bit(monkeypatch, half):
    monkeypatch.setattr(clusters, "BLOCK", 5)  # blocks of 20 rows, and one of 10
    x = np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert len(jax.local_devices()) == 4
    four = clusters.nearest(x, 7, half=half)
    one = clusters.nearest(x, 7, half=half, devices=jax.local_devices()[:1])
    for a, b in zip(four, one, strict=True):
        np.testing.assert_array_equal(a, b)


def test_ties_go_to_the_lower_place_and_a_row_is_its_own_nearest():
    x = np.eye(4, dtype=np.float32)[[0, 1, 0, 1, 2, 0]]
    place, cosine = clusters.nearest(x, 4)
    want = [[0, 2, 5, 1], [1, 3, 0, 2], [2, 0, 5, 1]]
    want += [[3, 1, 0, 2], [4, 0, 1, 2], [5, 0, 2, 1]]
    np.testing.assert_array_equal(place, want)
    np.testing.assert_allclose(cosine[0], [1, 1, 1, 0], atol=1e-6)


def test_collapsed_features_come_to_an_end_with_a_note(monkeypatch, capsys):
    monkeypatch.setattr(clusters, "MOST", 8)
    monkeypatch.setattr(clusters, "EXTRA", 2)
    x = np.repeat(unit(np.ones((1, 5))), 40, 0)
    place, cosine = clusters.nearest(x, 3)
    assert "40 of 40 sequences" in capsys.readouterr().out
    np.testing.assert_array_equal(place[:, 0], np.arange(40))
    np.testing.assert_array_equal(cosine, 1)


def test_graph_keeps_what_is_similar_and_itself():
    place = np.int32([[0, 1, 2], [1, 0, 2], [2, 1, 0]])
    cosine = np.float32([[1, 0.9, 0.5], [1, 0.9, 0.7], [1, 0.7, 0.0]])
    want = [[1, 0.9, 0], [0.9, 1, 0.7], [0, 0.7, 1]]
    found = clusters.graph(place, cosine, 0.6)
    np.testing.assert_allclose(found.toarray(), np.float32(want))
    every = clusters.graph(place, cosine, -1)
    assert every.nnz == 9 and clusters.graph(place, cosine, 1.0).nnz == 3


def sets_by_hand(place, cosine, similarity):
    def reciprocal(i, width):
        def near(a):
            return {
                int(j)
                for n, j in enumerate(place[a, :width])
                if n == 0 or cosine[a, n] >= similarity
            }

        return {j for j in near(i) if i in near(j)}

    k = place.shape[1]
    half = round((k - 1) / 2) + 1
    found = []
    for i in range(len(place)):
        core = reciprocal(i, k)
        extra = [reciprocal(c, half) for c in core]
        found.append(core.union(*(e for e in extra if 3 * len(e & core) > 2 * len(e))))
    return found


@pytest.mark.parametrize("similarity", [-1.0, 0.6])
def test_sets_and_their_distances_are_the_definition(similarity):
    x, _ = made_up(3, people=5, each=8, noise=0.6)
    place, cosine = clusters.nearest(x, 9)
    want = sets_by_hand(place, cosine, similarity)
    sets = clusters.neighbour_sets(place, cosine, similarity=similarity)
    assert [set(sets[[i]].indices.tolist()) for i in range(len(x))] == want
    assert np.all(sets.data == 1)
    far = np.array([[1 - len(a & b) / len(a | b) for b in want] for a in want])
    for eps in (0.3, 0.5, 0.7):
        dense = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(far)
        found = clusters.dbscan(sets, eps=eps, min_samples=4)
        np.testing.assert_array_equal(found, dense)
    assert dense.max() > 0


def test_dbscan_counts_rows_with_equal_sets(monkeypatch):
    """Distance 0 is a distance: four equal rows are a cluster, across blocks, too."""
    monkeypatch.setattr(clusters, "BLOCK", 2)
    block = np.ones((4, 4))
    sets = sparse.csr_array(sparse.block_diag([block, np.eye(3)]).tocsr())
    found = clusters.dbscan(sets, eps=0.5, min_samples=4)
    np.testing.assert_array_equal(found, [0, 0, 0, 0, -1, -1, -1])


OPTIONS = {"neighbours": 10, "similarity": 0.5}


def recovered(name, seed):
    x, who = made_up(seed)
    labels = clusters.cluster(name, x, **OPTIONS)
    assert labels.dtype == np.int32
    first = {label: who[np.argmax(labels == label)] for label in range(8)}
    np.testing.assert_array_equal([first[label] for label in labels], who)
    begin = [np.argmax(labels == label) for label in range(8)]
    assert begin == sorted(begin) and labels.max() == 7
    np.testing.assert_array_equal(labels, clusters.cluster(name, x, **OPTIONS))


@pytest.mark.parametrize("seed", range(2))
def test_dbscan_recovers_a_made_up_set(seed):
    recovered("dbscan", seed)


@pytest.mark.parametrize("seed", range(2))
def test_infomap_recovers_a_made_up_set(seed):
    pytest.importorskip("infomap")
    recovered("infomap", seed)


def test_infomap_drops_small_clusters_and_whoever_is_alone():
    pytest.importorskip("infomap")
    x = np.zeros((12, 6), np.float32)
    x[:6, 0] = x[6:10, 1] = x[10, 2] = x[11, 3] = 1
    place, cosine = clusters.nearest(x, 6)
    found = clusters.infomap(place, cosine, similarity=0.5)
    np.testing.assert_array_equal(clusters.numbered(found), [0] * 6 + [1] * 4 + [2, 3])
    np.testing.assert_array_equal(
        clusters.numbered(found, 1), [0] * 6 + [1] * 4 + [-1, -1]
    )
    options = {"neighbours": 6, "similarity": 0.5, "smallest": 4}
    with pytest.raises(GaitError, match="infomap makes one cluster of 6 of 12 seq"):
        clusters.cluster("infomap", x, **options)
    x[8:] = np.eye(6, dtype=np.float32)[2:]
    options["smallest"] = 6
    with pytest.raises(GaitError, match=r"\(the largest has 6\); lower similarity or"):
        clusters.cluster("infomap", x, **options)


def test_infomap_follows_directed_edges_and_no_negative_ones():
    pytest.importorskip("infomap")
    x = np.float32([[1, 0], [-1, 0], [1, 0], [-1, 0]])
    place, cosine = clusters.nearest(x, 4)
    found = clusters.numbered(clusters.infomap(place, cosine, similarity=-1))
    np.testing.assert_array_equal(found, [0, 1, 0, 1])


def test_numbered_by_first_member():
    labels = np.array([5, -1, 2, 2, 9, 5, 2])
    np.testing.assert_array_equal(clusters.numbered(labels), [0, -1, 1, 1, 2, 0, 1])
    np.testing.assert_array_equal(clusters.numbered(labels, 1), [0, -1, 1, 1, -1, 0, 1])
    np.testing.assert_array_equal(clusters.numbered(labels, 3), [-1] * 7)


def test_quality_by_hand():
    labels = np.array([0, 0, 0, 1, 1, -1, -1, 2])
    people = np.array(["a", "a", "b", "b", "b", "a", "c", "c"])
    found = clusters.quality(labels, people)
    assert found["clusters"] == 3 and found["dropped"] == 2 / 8
    assert found["purity"] == pytest.approx(5 / 6)
    # Pairs together in both: aa, bb = 2; in a cluster 3 + 1, of a person 1 + 3, of 15.
    expected = 4 * 4 / 15
    assert found["ari"] == pytest.approx((2 - expected) / (4 - expected))

    def entropy(*counts):
        return -sum(c / 6 * np.log(c / 6) for c in counts)

    both = entropy(3, 2, 1) + entropy(2, 3, 1) - entropy(2, 1, 2, 1)
    mean = (entropy(3, 2, 1) + entropy(2, 3, 1)) / 2
    assert found["nmi"] == pytest.approx(both / mean)
    none = clusters.quality(np.full(3, -1), np.arange(3))
    assert none == {"nmi": 0, "ari": 0, "purity": 0, "clusters": 0, "dropped": 1}


def test_all_sequences_are_neighbours_where_there_are_fewer(capsys):
    x, _ = made_up(0, people=3, each=6)
    labels = clusters.cluster("dbscan", x, neighbours=40, similarity=0.5)
    assert labels.max() == 2
    assert "note: 18 neighbours, all there are, not 40" in capsys.readouterr().out


X = made_up(0, people=3, each=6)[0]
FAR = np.eye(8, dtype=np.float32)
ONE = unit(np.ones((9, 4)) + 0.01 * np.eye(9, 4))


@pytest.mark.parametrize(
    ("name", "features", "options", "line"),
    [
        ("kmeans", X, {}, "unknown clusterer kmeans; there are: dbscan, infomap"),
        ("dbscan", X[:1], {}, "2 sequences or more .* got 1"),
        ("dbscan", 2 * X, {}, "length one, got 2 in row 0"),
        ("dbscan", X * np.nan, {}, "length one, got nan in row 0"),
        ("dbscan", X * (np.arange(18) != 5)[:, None], {}, "got 0 in row 5"),
        ("dbscan", X, {"neighbours": 0}, "neighbours: expected at least 1"),
        ("dbscan", X, {"similarity": 1.5}, "similarity: expected -1 to 1, got 1.5"),
        (
            "dbscan",
            FAR,
            {},
            "leaves all 8 .*=0.7 .* lower similarity or smallest, or r",
        ),
        ("dbscan", X, {"smallest": 6}, "of more than smallest=6 .* largest has 6"),
        (
            "dbscan",
            ONE,
            {"neighbours": 9},
            "one cluster of 9 of 9 .* raise similarity or lower eps",
        ),
    ],
)
def test_bad_input_is_one_line(name, features, options, line):
    options = {"neighbours": min(6, len(features)), **options}
    with pytest.raises(GaitError, match=line) as error:
        clusters.cluster(name, features, **options)
    assert "\n" not in str(error.value)


def test_long_rows_of_equal_numbers_have_length_one():
    """As many numbers as GaitSet has: a sum in float32 is 3e-5 off."""
    x = fusion.flat_unit(np.full((2, 62, 256), 0.7, np.float32))
    place, cosine = clusters.nearest(x, 2)
    np.testing.assert_array_equal(place, [[0, 1], [1, 0]])
    np.testing.assert_allclose(cosine, 1)


def test_infomap_missing_names_licence_extra_and_the_other(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "infomap", None)
    with pytest.raises(GaitError) as error:
        clusters.cluster("infomap", X)
    for word in ("GPL", "'.[unsupervised]'", "clusterer=dbscan"):
        assert word in str(error.value)


def test_devices_keep_no_copy():
    x, _ = made_up(0)
    before = len(jax.live_arrays())
    clusters.nearest(x, 5)
    assert len(jax.live_arrays()) == before
