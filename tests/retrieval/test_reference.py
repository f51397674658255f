"""Every protocol that the reference evaluates gives the reference's figures.

CASIA-B by view pairs and Gait3D are in test_search.py. Re-ranking is in
test_kreciprocal.py.
"""

import golden
import numpy as np
import pytest
from helpers import eval_golden, loops

from gaitjax.retrieval import protocols, search

METRIC = {"euc": "euclidean", "cos": "cosine"}
FREEGAIT = {"euc": "eval/freegait_euc", "cos": "eval/freegait_cos"}


def _evaluate(name, protocol, **options):
    """Golden arrays, the reference's figures, the evaluation and its values."""
    arrays, index, embeddings = eval_golden.load(name)
    options = {"rounded": True, "num_lists": 0, "num_pairs": 0, **options}
    got = search.evaluate({"sils": embeddings}, index, protocol, **options)
    want = golden.load_json("eval/results")[name.removeprefix("eval/")]
    return arrays, want, got, eval_golden.values(got)


@pytest.mark.parametrize(
    ("name", "protocol", "conditions"),
    [
        (
            "eval/casiab_cross_view_gallery",
            protocols.casia_b_all_views(),
            ("NM", "BG", "CL"),
        ),
        ("eval/oumvlp_cross_view_gallery", protocols.oumvlp_all_views(), ("NM",)),
    ],
)
def test_gallery_of_all_views(name, protocol, conditions):
    _, want, got, values = _evaluate(name, protocol)
    assert len(want) == 2 * len(conditions)
    for condition in conditions:
        rank = values[condition, "rank-1"]
        assert rank == pytest.approx(want[f"{condition}-Rank@1"], abs=1e-9)
        mean = values[condition, "mAP"]
        assert mean == pytest.approx(want[f"{condition}-mAP"], abs=1e-9)
    assert {row["protocol"] for row in got.rows} == {protocol.name}


def test_oumvlp():
    arrays, want, got, values = _evaluate("eval/oumvlp_euc", protocols.oumvlp())
    views, table = got.view_tables["NM"]
    assert views == sorted(set(arrays["views"]))
    np.testing.assert_allclose(table, arrays["rank1_NM"], atol=1e-9)
    assert values["NM", "rank-1"] == pytest.approx(want["NM@R1"], abs=1e-9)


def test_sustech1k():
    arrays, want, got, values = _evaluate(
        "eval/sustech1k_euc", protocols.sustech1k(), ranks=(1,)
    )
    assert len(values) == len(want) == 9 * 5  # the protocol brings its own ranks
    for (condition, metric), value in values.items():
        name = {"Umbrella": "Umberalla"}.get(condition, condition)  # as they spell it
        k = metric.removeprefix("rank-")
        assert value == pytest.approx(want[f"{name}@R{k}"], abs=1e-9), (name, k)
        if k == "1":
            _, table = got.view_tables[condition]
            np.testing.assert_allclose(table, arrays[f"rank1_{name}"], atol=1e-9)


@pytest.mark.parametrize("kind", ["euc", "cos"])
def test_freegait(kind):
    arrays, want, got, values = _evaluate(
        FREEGAIT[kind], protocols.freegait(), metric=METRIC[kind]
    )
    assert len(values) == len(want) == 5
    for key, value in want.items():
        metric = key.replace("Rank", "rank")
        assert values["all", metric] == pytest.approx(value, rel=1e-6)
    scores = got.per_probe["all"]
    np.testing.assert_array_equal(scores["row"], np.flatnonzero(arrays["is_probe"]))
    valid = scores["first"] > 0
    np.testing.assert_allclose(scores["ap"][valid], arrays["AP"], atol=1e-6)
    np.testing.assert_allclose(scores["inp"][valid], arrays["INP"], atol=1e-6)
    np.testing.assert_allclose(got.cmc["all"], arrays["cmc"], atol=1e-6)
    assert {row["n_probe"] for row in got.rows} == {189}
    assert {row["n_without_match"] for row in got.rows} == {189 - 171}


@pytest.mark.parametrize(
    ("protocol", "suffix"),
    [
        (protocols.ccpg_gait(), ""),
        (protocols.ccpg_gait_same_camera(), "_with_same_view"),
    ],
)
def test_ccpg_gait(protocol, suffix):
    arrays, want, got, values = _evaluate("eval/ccpg_euc", protocol, ranks=(1,))
    assert set(values) == {(name, "rank-1") for name in ("CL", "UP", "DN", "BG")}
    for condition in ("CL", "UP", "DN", "BG"):
        value = values[condition, "rank-1"]
        assert value == pytest.approx(want[f"Gait_{condition}_R1{suffix}"], abs=1e-9)
        cameras, table = got.view_tables[condition]
        assert cameras == sorted({view[:2] for view in arrays["views"]})
        np.testing.assert_allclose(table, arrays[f"rank1_{condition}"], atol=1e-9)


def test_ccpg_reid():
    arrays, want, got, values = _evaluate("eval/ccpg_euc", protocols.ccpg_reid())
    tied = _ties(got)
    assert sum(map(len, tied.values())) <= 1  # known: a probe of CL
    for condition in ("CL", "UP", "DN", "BG"):
        # Two items of one probe, closer than float32 can tell, move it by 1.8e-4.
        tolerance = {"abs": 2e-4} if len(tied[condition]) else {"rel": 1e-6}
        for metric in ("Rank-1", "mAP", "mINP"):
            value = values[condition, metric.replace("Rank", "rank")]
            wanted = want[f"ReID_{condition}_{metric}"]
            assert value == pytest.approx(wanted, **tolerance), (condition, metric)
        wanted = arrays[f"cmc_{condition}"]
        np.testing.assert_allclose(got.cmc[condition][:50], wanted, atol=1e-6)


def test_ccpg_reid_in_float64():
    """The loops, which no rounding troubles, give the reference's figures."""
    _, index, embeddings = eval_golden.load("eval/ccpg_euc")
    want = golden.load_json("eval/results")["ccpg_euc"]
    far = loops.far(embeddings, embeddings)
    found = loops.values(protocols.ccpg_reid(), index, far, (1,))
    for (condition, metric), (value, _, _) in found.items():
        wanted = want[f"ReID_{condition}_{metric.replace('rank', 'Rank')}"]
        assert value == pytest.approx(wanted, rel=1e-6), (condition, metric)


def _ties(got):
    """By condition, the probes of CCPG re-ID whose AP differs from that of float64.

    Each must have a right and a wrong item closer than float32 can tell.
    """
    _, index, embeddings = eval_golden.load("eval/ccpg_euc")
    protocol = protocols.ccpg_reid()
    far = loops.far(embeddings, embeddings)
    tied = {}
    for condition, scores in got.per_probe.items():
        rule = protocol.galleries.get(condition, protocol.gallery)
        items = protocols.rows_of(rule, index)
        tied[condition] = []
        for probe, ap in zip(scores["row"], scores["ap"], strict=True):
            shares = loops.score(protocol, index, far, (1,), probe, items)
            if shares is None or ap == pytest.approx(shares["mAP"], abs=1e-9):
                continue
            order = items[np.argsort(far[probe, items])]
            right = index.subject[order] == index.subject[probe]
            gap = np.diff(far[probe, order])[right[1:] != right[:-1]]
            assert gap.min() < np.spacing(np.float32(far[probe, items].mean()))
            tied[condition].append(int(probe))
    return tied


def test_grew_local():
    _, want, got, values = _evaluate(
        "eval/grew_euc", protocols.grew_local(), ranks=(1,)
    )
    for key, value in want.items():
        assert values["all", key.lower()] == pytest.approx(value, abs=1e-9)
    assert {metric for _, metric in values} == {
        *("rank-1", "rank-5", "rank-10", "rank-20", "mAP", "mINP")
    }
    assert {row["protocol"] for row in got.rows} == {"grew_local"}
