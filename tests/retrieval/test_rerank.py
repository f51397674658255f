"""Sorting the nearest again: what moves and what does not, and what is said of it."""

import functools

import jax
import numpy as np
import pytest
from helpers import loops

from gaitjax.data.index import Index
from gaitjax.report import tables
from gaitjax.retrieval import protocols, ranking, search

PEOPLE, VIEWS, WALKS = 5, ("000", "090"), ("nm-01", "nm-02", "nm-03")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made_up(depth, seen=None, name="again"):
    """Another distance: that of the first coordinate of the first part."""

    def open_list(probes, gallery):
        if seen is not None:
            seen.append((probes, gallery))
        far = np.abs(probes[:, None, 0, 0] - gallery[None, :, 0, 0])
        return lambda places, near: far[places[:, None], near]

    return ranking.Rerank(name, depth, open_list)


def again(probe, gallery, hidden, depth):
    """One probe's order of all that it may find, in float64."""
    allowed = np.flatnonzero(~hidden)
    base = loops.far(probe[None], gallery)[0]
    order = allowed[np.argsort(base[allowed], kind="stable")]
    head = order[:depth]
    other = np.abs(probe[0, 0] - gallery[head, 0, 0])
    return np.concatenate([head[np.argsort(other, kind="stable")], order[len(head) :]])


PROBES, GALLERY = draw(4, 2, 3), draw(7, 2, 3, seed=1)
HIDDEN = np.random.default_rng(2).random((4, 7)) < 0.3
HIDDEN[3] = True
HIDDEN[3, :2] = False  # two left
NOTHING = np.zeros((1, 1), bool)
PLACES = np.array([2, 0, 3, 1])


def test_without_reranking_it_is_the_base_s_order():
    ranker = ranking.Ranker(PROBES, GALLERY, "euclidean")
    there = ranking.everywhere(GALLERY)
    probes, hidden = PROBES[PLACES], HIDDEN[PLACES]
    np.testing.assert_array_equal(
        ranker.nearest(PLACES, hidden, 3),
        ranking.nearest(probes, there, hidden, 3, "euclidean"),
    )
    np.testing.assert_array_equal(
        ranker.sort(PLACES, hidden),
        ranking.sort_gallery(probes, there, hidden, "euclidean"),
    )
    far = loops.far(PROBES, GALLERY)
    np.testing.assert_array_equal(
        ranker.sort(PLACES, NOTHING), np.argsort(far, 1)[PLACES]
    )


@pytest.mark.parametrize("size", [None, 10])
@pytest.mark.parametrize("depth", [1, 3, 7, 50, None])
def test_only_the_nearest_move(depth, size):
    ranker = ranking.Ranker(PROBES, GALLERY, "euclidean", made_up(depth), size)
    for hidden in (NOTHING, HIDDEN):
        rows = np.broadcast_to(hidden, HIDDEN.shape)[PLACES]
        given = rows if hidden is HIDDEN else NOTHING
        sorted_, nearest = ranker.sort(PLACES, given), ranker.nearest(PLACES, given, 4)
        for i, place in enumerate(PLACES):
            want = again(PROBES[place], GALLERY, rows[i], depth or 7)
            np.testing.assert_array_equal(sorted_[i, : len(want)], want)
            assert set(sorted_[i]) == set(range(size or 7))  # what is hidden is last
            filled = np.concatenate([want, [-1] * 4])[:4]
            np.testing.assert_array_equal(nearest[i], filled)


def test_the_made_up_distance_changes_the_order():
    """Else the test above could not fail."""
    base = ranking.Ranker(PROBES, GALLERY, "euclidean").sort(PLACES, NOTHING)
    other = ranking.Ranker(PROBES, GALLERY, "euclidean", made_up(3))
    other = other.sort(PLACES, NOTHING)
    assert (base[:, :3] != other[:, :3]).any()
    np.testing.assert_array_equal(base[:, 3:], other[:, 3:])
    np.testing.assert_array_equal(np.sort(base[:, :3]), np.sort(other[:, :3]))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_hidden_is_last_even_after_scores_without_a_value(value):
    def open_list(probes, gallery):
        return lambda places, near: np.full(near.shape, value)

    rerank = ranking.Rerank("broken", 7, open_list)
    ranker = ranking.Ranker(PROBES, GALLERY, "euclidean", rerank)
    plain = ranking.Ranker(PROBES, GALLERY, "euclidean")
    hidden = HIDDEN[PLACES]
    np.testing.assert_array_equal(
        ranker.sort(PLACES, hidden), plain.sort(PLACES, hidden)
    )
    np.testing.assert_array_equal(
        ranker.nearest(PLACES, hidden, 4), plain.nearest(PLACES, hidden, 4)
    )


def test_equal_scores_keep_the_base_s_order():
    def open_list(probes, gallery):
        return lambda places, near: np.zeros(near.shape)

    ranker = ranking.Ranker(
        PROBES, GALLERY, "euclidean", ranking.Rerank("same", 5, open_list)
    )
    plain = ranking.Ranker(PROBES, GALLERY, "euclidean")
    np.testing.assert_array_equal(
        ranker.sort(PLACES, NOTHING), plain.sort(PLACES, NOTHING)
    )


# Whole evaluations.


def made_set(lonely=False):
    """(index, embeddings): five people, two views, three walks; lonely: the last
    probe is of somebody whom the gallery does not know."""
    names = [
        (f"{s}", walk, view) for s in range(PEOPLE) for walk in WALKS for view in VIEWS
    ]
    columns = [np.array(column) for column in zip(*names, strict=True)]
    if lonely:
        columns[0][-1] = "9"
    n = len(names)
    index = Index(*columns, np.full(n, ""), np.ones(n, np.int32))
    who = np.repeat(draw(PEOPLE, 1, 4), n // PEOPLE, 0)
    return index, who + draw(n, 2, 4, seed=1)


LIST = protocols.Protocol(
    "list",
    {"condition": ("nm-01", "nm-02")},
    {"NM": {"condition": ("nm-03",)}},
    "list",
)


def stage(found, name):
    return {
        (row["condition"], row["metric"]): (
            row["value"],
            row["n_probe"],
            row["n_without_match"],
        )
        for row in found.rows
        if row["stage"] == name
    }


def reranked_distances(index, embeddings, depth, per_view, exclude):
    """f64[n, n]: within a probe's list, the place that it comes to."""
    n = len(index)
    far = np.full((n, n), np.inf)
    items = np.flatnonzero(index.condition != "nm-03")
    for probe in np.flatnonzero(index.condition == "nm-03"):
        lists = [items]
        if per_view:
            lists = [items[index.view[items] == view] for view in VIEWS]
        for one in lists:
            hidden = np.zeros(len(one), bool)
            if exclude:
                hidden = index.view[one] == index.view[probe]
            order = again(embeddings[probe], embeddings[one], hidden, depth)
            far[probe, one[order]] = np.arange(len(order))
    return far


@pytest.mark.parametrize("lonely", [False, True])
@pytest.mark.parametrize("depth", [3, 100])
def test_rows_of_a_list_protocol(depth, lonely):
    index, x = made_set(lonely)
    found = search.evaluate(
        {"sils": x}, index, LIST, ranks=(1, 5), reranks=[made_up(depth)], num_lists=0
    )
    base = loops.far(x, x)
    other = reranked_distances(index, x, depth, per_view=False, exclude=False)
    for name, far in (("initial", base), ("again", other)):
        want = loops.values(LIST, index, far, (1, 5))
        got = stage(found, name)
        assert got.keys() == want.keys() and len(got) == 4
        for key, values in want.items():
            np.testing.assert_allclose(got[key], values, rtol=1e-6)
            assert values[2] == int(lonely)
    assert stage(found, "initial") != stage(found, "again")
    note = "again: of the nearest 100, 20 are all that the shortest list has"
    assert (note in found.notes) == (depth == 100)
    assert any("without" in note or "match" in note for note in found.notes) == lonely


def test_rows_of_view_pairs_are_of_a_list_per_gallery_view():
    index, x = made_set()
    protocol = protocols.walkers()
    seen = []
    found = search.evaluate(
        {"sils": x},
        index,
        protocol,
        ranks=(1, 2),
        reranks=[made_up(3, seen)],
        num_lists=0,
        block=4,
    )
    assert [len(gallery) for _, gallery in seen] == [10, 10]  # not filled up
    far = reranked_distances(index, x, 3, per_view=True, exclude=False)
    want = loops.values(protocol, index, far, (1, 2))
    got = stage(found, "again")
    for key, values in want.items():
        np.testing.assert_allclose(got[key], values, rtol=1e-6)
    assert got["NM", "rank-1"] != stage(found, "initial")["NM", "rank-1"]
    # The rest of the evaluation is the base's.
    plain = search.evaluate({"sils": x}, index, protocol, ranks=(1, 2), num_lists=0)
    for name, (_, table) in plain.view_tables.items():
        np.testing.assert_array_equal(found.view_tables[name][1], table)


def test_what_is_excluded_never_comes_into_the_top():
    index, x = made_set()
    protocol = protocols.Protocol(
        "cross",
        {"condition": ("nm-01", "nm-02")},
        {"NM": {"condition": ("nm-03",)}},
        "list",
        exclude=("subject", "view"),
    )
    found = search.evaluate(
        {"sils": x}, index, protocol, ranks=(1,), reranks=[made_up(4)], num_lists=3
    )
    n = len(index)
    far = np.full((n, n), np.inf)
    items = np.flatnonzero(index.condition != "nm-03")
    for probe in np.flatnonzero(index.condition == "nm-03"):
        same = index.subject[items] == index.subject[probe]
        hidden = same & (index.view[items] == index.view[probe])
        order = again(x[probe], x[items], hidden, 4)
        far[probe, items[order]] = np.arange(len(order))
    for key, values in loops.values(protocol, index, far, (1,)).items():
        np.testing.assert_allclose(stage(found, "again")[key], values, rtol=1e-6)
    for one in found.rank_lists["NM"]:
        both = [
            (index.subject[row], index.view[row]) for row in (one.probe, *one.gallery)
        ]
        assert both[0] not in both[1:]


def test_rank_lists_of_both_stages_follow_each_other():
    index, x = made_set()
    stages = [made_up(None, name="whole"), made_up(3)]
    found = search.evaluate(
        {"sils": x}, index, LIST, ranks=(1,), reranks=stages, num_lists=4
    )
    lists = found.rank_lists["NM"]
    # Of a list that needs all probes at once there is none.
    assert [one.stage for one in lists] == ["initial", "again"] * 4
    items = np.flatnonzero(index.condition != "nm-03")
    far = loops.far(x, x)
    for first, second in zip(lists[::2], lists[1::2], strict=True):
        assert first.probe == second.probe and first.kind == second.kind
        hidden = np.zeros(len(items), bool)
        want = again(x[first.probe], x[items], hidden, 3)
        assert second.gallery == tuple(items[want][:10])
        base = items[np.argsort(far[first.probe, items])]
        assert first.gallery == tuple(base[:10])
        right = index.subject[items[want]] == index.subject[first.probe]
        assert second.right == tuple(right[:10])
        places = np.flatnonzero(right) + 1
        ap = np.mean(np.arange(1, len(places) + 1) / places)
        np.testing.assert_allclose(second.ap, ap)
    assert {row["stage"] for row in found.rows} == {"initial", "whole", "again"}


def test_stages_are_printed_below_one_another():
    index, x = made_set()
    found = search.evaluate(
        {"sils": x}, index, LIST, ranks=(1,), reranks=[made_up(3)], num_lists=0
    )
    text = tables.results_table(found.rows)
    lines = text.splitlines()
    assert "initial, then again" in lines[0]
    names = [line.rpartition(",")[0].strip() for line in lines if ", again" in line]
    assert names == ["rank-1", "mAP", "mINP"]
    for metric in names:
        (first,) = (i for i, x in enumerate(lines) if x.startswith(f"{metric}, init"))
        assert lines[first + 1].startswith(f"{metric}, again")
        for number, name in enumerate(("initial", "again")):
            value = stage(found, name)["NM", metric][0]
            assert f"{value:.2f}" in lines[first + number]
    assert "\n\n" not in text  # one block
    assert {row["metric"] for row in found.rows} == set(names)  # rows as they were
    alone = [row for row in found.rows if row["stage"] == "initial"]
    assert "initial," not in tables.results_table(alone)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("num", [1, 4, 6, 8])
def test_devices_share_the_probes_of_a_block(num, metric):
    """The same as one device finds, with and without hidden items, for numbers that
    divide and that do not."""
    probes, gallery = draw(num, 2, 3), draw(50, 2, 3, seed=1)
    hidden = np.random.default_rng(2).random((num, 50)) < 0.3
    one = ranking.everywhere(gallery, jax.devices()[:1])
    four = ranking.everywhere(gallery)
    assert len(four.sharding.device_set) == jax.local_device_count() == 4
    for away in (hidden, hidden[:1], NOTHING):
        for find in (functools.partial(ranking.nearest, k=5), ranking.sort_gallery):
            want = find(probes, one, away, metric=metric)
            got = find(probes, four, away, metric=metric)
            assert len(got) == num
            np.testing.assert_array_equal(got, want)


def test_a_shared_block_has_rows_for_every_device():
    blocks = list(ranking.shared_blocks(30, 5))
    assert [len(filled) for _, filled in blocks] == [20, 20]
    assert np.concatenate([here for here, _ in blocks]).tolist() == list(range(30))
