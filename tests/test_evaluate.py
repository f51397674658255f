"""Views against each other: which are compared, and what the scores are called."""

import pytest

from gaitjax import evaluate
from gaitjax.errors import GaitError
from gaitjax.retrieval import protocols, search
from gaitjax.run import modality_pairs, open_run, score_names


@pytest.fixture(scope="module")
def two_views(_tiny_config, tmp_path_factory):
    """(run, evaluations, embeddings) of a method with two views, untrained."""
    config = {**_tiny_config, "method": "helpers.two_views"}
    run = open_run(config, tmp_path_factory.mktemp("run"), num_devices=1)
    state = run.init_fn()
    split, rows = evaluate.eval_rows(run, "test")
    views = evaluate.embed(run, state, split, rows)
    return run, evaluate.evaluate_state(run, state), views


def test_pairs_across_views_come_first():
    assert modality_pairs(["sils"]) == [("sils", "sils")]
    assert modality_pairs(["sils", "ranges"]) == [
        ("ranges", "sils"),
        ("sils", "ranges"),
        ("ranges", "ranges"),
        ("sils", "sils"),
    ]


def test_every_pair_is_evaluated_with_its_own_embeddings(two_views):
    run, evaluations, views = two_views
    pairs = [(found.probe, found.gallery) for found in evaluations]
    assert pairs == modality_pairs(["sils", "scaled"])
    (protocol,) = protocols.for_dataset("walkers")
    for (probe, gallery), found in zip(pairs, evaluations, strict=True):
        renamed = {"p": views[probe], "g": views[gallery]}
        options = {"ranks": (1, 5, 10), "num_lists": 0}
        want = search.evaluate(
            renamed, run.data.test.index, protocol, probe="p", gallery="g", **options
        )
        assert [row["value"] for row in found.rows] == [
            row["value"] for row in want.rows
        ]
    across = {tuple(row["value"] for row in found.rows) for found in evaluations}
    assert len(across) > 1  # else nothing above could tell the pairs apart


def test_scores_carry_the_pair_where_there_are_several(two_views):
    _, evaluations, _ = two_views
    scores = evaluate.scores(evaluations)
    assert len(scores) == sum(len(found.rows) for found in evaluations)
    names = {name.rsplit("/", 2)[0] for name in scores}
    assert names == {"scaled>sils", "sils>scaled", "scaled>scaled", "sils>sils"}
    row = evaluations[0].rows[0]
    assert scores[f"scaled>sils/{row['condition']}/{row['metric']}"] == row["value"]
    alone = evaluate.scores(evaluations[-1:])  # one pair: as with one view
    assert f"{row['condition']}/{row['metric']}" in alone
    # What ckpt.best may name; the small gallery leaves some ranks undefined.
    (protocol,) = protocols.for_dataset("walkers")
    assert set(alone) <= set(score_names(protocol, (1, 5, 10)))


def test_names_are_those_of_the_protocol():
    names = score_names(protocols.gait3d(), (1, 5))
    assert names == ["all/rank-1", "all/rank-5", "all/mAP", "all/mINP"]
    names = score_names(protocols.walkers(), (5,))
    assert names == ["NM/rank-5", "BG/rank-5", "CL/rank-5"]


def test_best_names_a_score_of_a_pair(_tiny_config, tmp_path):
    def opened(method, best, val=0.4):
        data, ckpt = (_tiny_config[name] for name in ("data", "ckpt"))
        return open_run(
            {
                **_tiny_config,
                "method": method,
                "data": {**data, "p": 2, "val": val},
                "ckpt": {**ckpt, "best": best},
            },
            tmp_path / "run",
            num_devices=1,
        )

    opened("helpers.two_views", "sils>scaled/CL/rank-5")
    opened("supervised", "CL/rank-5")
    for method, best, near in (
        ("helpers.two_views", "NM/rank-1", "NM/rank-1; did you mean .*>.*/NM/rank-1"),
        ("helpers.two_views", "sils>scald/NM/rank-1", "did you mean sils>scaled/NM/ra"),
        ("helpers.two_views", "sils>/NM/rank-1", "did you mean sils>"),
        ("supervised", "sils>sils/NM/rank-1", "unknown metric in ckpt.best"),
    ):
        with pytest.raises(GaitError, match=near):
            opened(method, best)
    with pytest.raises(GaitError, match="data.val is 0"):
        opened("helpers.two_views", "sils>scaled/CL/rank-5", val=0.0)
