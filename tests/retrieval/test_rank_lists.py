"""Which probes are shown, and that their AP is that of a plain loop."""

import numpy as np

from gaitjax.data.index import Index
from gaitjax.retrieval import protocols, search
from gaitjax.retrieval.rank_lists import choose


def _set(seed=0):
    """Five people, two views; random embeddings that know who is who, a little."""
    names = [
        (f"{s}", condition, view)
        for s in range(5)
        for condition in ("nm-01", "nm-02", "nm-03")
        for view in ("000", "090")
    ]
    columns = [np.array(column) for column in zip(*names, strict=True)]
    index = Index(*columns, np.full(30, ""), np.ones(30, np.int32))
    rng = np.random.default_rng(seed)
    who = np.repeat(rng.normal(size=(5, 1, 4)), 6, 0)
    return index, np.float32(who + rng.normal(size=(30, 1, 4)))


def _ap(index, embeddings, probe, allowed):
    far = np.linalg.norm(embeddings[allowed] - embeddings[probe], axis=-1)[:, 0]
    right = index.subject[allowed[np.argsort(far)]] == index.subject[probe]
    places = np.flatnonzero(right) + 1
    return np.mean(np.arange(1, len(places) + 1) / places)


def test_best_worst_and_others():
    index, embeddings = _set()
    found = search.evaluate(
        {"sils": embeddings}, index, protocols.walkers(), num_lists=6, ranks=(1,)
    )
    probes = np.flatnonzero(index.condition == "nm-03")
    items = np.flatnonzero(index.condition != "nm-03")
    ap = {
        probe: _ap(
            index, embeddings, probe, items[index.view[items] != index.view[probe]]
        )
        for probe in probes
    }
    lists = found.rank_lists["NM"]
    assert [one.kind for one in lists] == ["best"] * 2 + ["worst"] * 2 + ["random"] * 2
    for one in lists:
        np.testing.assert_allclose(one.ap, ap[one.probe], rtol=1e-12)
    order = sorted(ap.values())
    assert sorted(one.ap for one in lists[:2]) == order[-2:]
    assert sorted(one.ap for one in lists[2:4]) == order[:2]
    assert len({one.probe for one in lists}) == 6


def test_a_list_protocol_scores_all_its_probes():
    index, embeddings = _set()
    protocol = protocols.Protocol(
        "list",
        {"condition": ("nm-01", "nm-02")},
        {"NM": {"condition": ("nm-03",)}},
        "list",
    )
    found = search.evaluate({"sils": embeddings}, index, protocol, num_lists=3)
    worst = [one for one in found.rank_lists["NM"] if one.kind == "worst"]
    assert worst[0].ap == found.per_probe["NM"]["ap"].min()


def test_probes_without_a_match_are_not_chosen():
    ap = np.array([np.nan, 0.5, 1.0, np.nan, 0.25])
    places, kinds = choose(ap, 3)
    assert places.tolist() == [2, 4, 1] and kinds == ["best", "worst", "random"]
    places, kinds = choose(np.full(2, np.nan), 3)
    assert sorted(places) == [0, 1] and kinds == ["random"] * 2


def test_ties_are_drawn_but_the_same_every_time():
    places, _ = choose(np.ones(100), 6)
    assert len(set(places)) == 6 and sorted(places) != list(range(6))
    assert choose(np.ones(100), 6)[0].tolist() == places.tolist()
