"""Views against each other: which are compared, and what the scores are called."""

import dataclasses
import json

import numpy as np
import pytest
from helpers.pages import read

from gaitjax import evaluate, train
from gaitjax.errors import GaitError
from gaitjax.retrieval import protocols, search
from gaitjax.run import (
    DISTANCES,
    EvalOptions,
    check_config,
    modality_pairs,
    open_run,
    score_names,
)
from gaitjax.runtime.checkpoint import open_checkpoints


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


def _by(run, *distances):
    """The run as one of other `eval.distances`."""
    options = dataclasses.replace(run.eval_options, distances=distances)
    return dataclasses.replace(run, eval_options=options)


def test_two_distances_give_the_rows_of_two_runs(two_views, monkeypatch):
    run, _, views = two_views
    calls = []
    monkeypatch.setattr(evaluate, "embed", lambda *args: calls.append(1) or views)
    euclidean, cosine = (
        evaluate.evaluate_state(_by(run, name), None) for name in DISTANCES
    )
    assert [one.rows for one in euclidean] != [one.rows for one in cosine]
    for first, second, names in (
        (euclidean, cosine, ("euclidean", "cosine")),
        (cosine, euclidean, ("cosine", "euclidean")),
    ):
        calls.clear()
        both = evaluate.evaluate_state(_by(run, *names), None)
        assert len(calls) == 1
        assert [one.rows for one in both] == [one.rows for one in [*first, *second]]
        assert evaluate.scores(both) == evaluate.scores(first)
        got = evaluate.headline_scores(_by(run, *names), None)
        assert got == evaluate.scores(first) != evaluate.scores(second)
        # Pictures are of the headline distance alone.
        pairs = len(first)
        assert all(any(one.rank_lists.values()) for one in both[:pairs])
        assert not any(any(one.rank_lists.values()) for one in both[pairs:])
        assert [one.distances is None for one in both] == [False] * 4 + [True] * 4


@pytest.mark.slow
def test_the_first_distance_chooses_the_best_checkpoint(_tiny_config, tmp_path):
    best = "sils>scaled/NM/rank-1"
    config = {
        **_tiny_config,
        "method": "helpers.two_views",
        "data": {**_tiny_config["data"], "p": 2, "val": 0.4},
        "eval": {**_tiny_config["eval"], "distances": ("cosine", "euclidean")},
        "ckpt": {**_tiny_config["ckpt"], "best": best},
    }
    run = open_run(config, tmp_path, num_devices=1)
    state = run.init_fn()
    train.save(run, state, run.data.labels, 0)
    run.checkpoints.close()  # waits for the writer
    cosine, euclidean = (
        evaluate.scores(evaluate.evaluate_state(_by(run, name), state, "val"))[best]
        for name in ("cosine", "euclidean")
    )
    again = open_checkpoints(tmp_path, best=best)
    assert again.score(0) == cosine != euclidean
    again.close()


@pytest.mark.parametrize(
    ("distances", "got"),
    [
        ((), r"\[\]"),
        (("l1",), r"\['l1'\]"),
        (("euclidean", "cosin"), "cosin'"),
        (("cosine", "cosine"), "'cosine', 'cosine'"),
        (("cosine,euclidean",), "'cosine,euclidean'"),
    ],
)
def test_wrong_distances_are_refused(distances, got):
    with pytest.raises(GaitError, match=got) as refusal:
        EvalOptions(distances=distances)
    assert "expected some of euclidean, cosine, each once" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_key_of_one_distance_is_refused(_tiny_config):
    for key, value, line in (
        (
            "distance",
            "cosine",
            "unknown key eval.distance; did you mean eval.distances",
        ),
        ("distances", "cosine", r"eval.distances: expected tuple\[str, ...\], got 'co"),
        ("distances", (1,), r"eval.distances: expected tuple\[str, ...\], got \(1,\)"),
    ):
        config = {**_tiny_config, "eval": {**_tiny_config["eval"], key: value}}
        with pytest.raises(GaitError, match=line):
            check_config(config)


def test_a_page_of_two_distances_has_pictures_of_the_first(two_views):
    run, _, _ = two_views
    run = _by(run, "cosine", "euclidean")
    state = run.init_fn().replace(step=np.int32(8))
    evaluate.write_results(run, state, evaluate.evaluate_state(run, state))
    rows = json.loads((run.workdir / "results.json").read_text())["rows"]
    assert {row["distance"] for row in rows[: len(rows) // 2]} == {"cosine"}
    assert {row["distance"] for row in rows[len(rows) // 2 :]} == {"euclidean"}
    page = read(run.workdir / "report.html")
    before, after = page.text.split("The same by euclidean distance")
    assert "cosine distance." in before and "euclidean distance." not in before
    assert "random · " in before and "random · " not in after
    for row in rows[len(rows) // 2 :]:
        assert f"{row['value']:.2f}" in after


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
