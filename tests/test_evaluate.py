"""Views against each other: which are compared, and what the scores are called."""

import dataclasses
import json
import time

import jax
import numpy as np
import pytest
from helpers.pages import read

from gaitjax import evaluate, train
from gaitjax.data import pipeline
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
from gaitjax.runtime import mesh
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


class Watched:
    """A split that says what is read, with some records that cannot be."""

    def __init__(self, split, said, damaged=()):
        self.split, self.said, self.damaged = split, said, damaged
        self.index = split.index

    def with_keys(self, keys):
        return Watched(self.split.with_keys(keys), self.said, self.damaged)

    def __len__(self):
        return len(self.split)

    def __getitem__(self, row):
        self.said.append(row)
        if row in self.damaged:
            raise GaitError(f"cannot read record {row}; the file is damaged")
        return self.split[row]


def _ahead(run, prefetch, batch=8):
    """The run with small batches, of which so many are read ahead."""
    options = dataclasses.replace(run.eval_options, batch=batch, buckets=1)
    data = dataclasses.replace(run.data, prefetch=prefetch)
    return dataclasses.replace(run, data=data, eval_options=options)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_embedding_is_that_of_one_batch_after_the_other(two_views, prefetch):
    run, rows = _ahead(two_views[0], prefetch), np.arange(37)[::-1]
    state, split = run.init_fn(), run.data.test
    got = evaluate.embed(run, state, split, rows)
    split = split.with_keys(run.method.embed_keys)
    for records, batch in pipeline.embed_batches(
        run.data, split, rows, batch=8, buckets=1
    ):
        batch = mesh.to_devices(batch, run.mesh)
        want = run.embed_fn(state.eval_params, state.model_state, batch, None)
        for view, x in jax.device_get(want).items():
            places = [rows.tolist().index(record) for record in records]
            np.testing.assert_array_equal(got[view][places], x[: len(records)])
    assert {x.shape[0] for x in got.values()} == {37}


def test_a_batch_is_fetched_when_the_next_one_runs(two_views, monkeypatch):
    run, said, fetch = _ahead(two_views[0], 2), [], jax.device_get

    def embed_fn(*args):
        said.append("run")
        return two_views[0].embed_fn(*args)

    monkeypatch.setattr(jax, "device_get", lambda x: said.append("fetch") or fetch(x))
    run = dataclasses.replace(run, embed_fn=embed_fn)
    evaluate.embed(run, run.init_fn(), run.data.test, np.arange(30))
    assert said == ["run", "run", "fetch", "run", "fetch", "run", "fetch", "fetch"]


def test_batches_are_read_while_one_runs(two_views):
    run, read, seen = _ahead(two_views[0], 2), [], []

    def embed_fn(*args):
        for _ in range(1000):  # at most 10 s
            if len(read) >= min(40, 8 * (len(seen) + 3)):
                break
            time.sleep(0.01)
        seen.append(len(read))
        return two_views[0].embed_fn(*args)

    run = dataclasses.replace(run, embed_fn=embed_fn)
    evaluate.embed(run, run.init_fn(), Watched(run.data.test, read), np.arange(40))
    assert seen[0] >= 24 and seen[-1] == 40 and sorted(read) == list(range(40))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_damaged_record_stops_embedding_with_its_own_words(two_views, prefetch):
    run = _ahead(two_views[0], prefetch)
    split = Watched(run.data.test, [], damaged=(21,))
    with pytest.raises(GaitError) as stopped:
        evaluate.embed(run, run.init_fn(), split, np.arange(40))
    assert str(stopped.value) == "cannot read record 21; the file is damaged"


def test_one_late():
    for number in range(4):
        assert list(evaluate.one_late(range(number))) == list(range(number))


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
