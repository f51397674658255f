"""Steps on records beside steps on one batch: what is timed, and that it runs."""

import itertools

import jax
import pytest

from gaitjax.bench import input as feeding
from gaitjax.run import open_run


def test_what_lay_ready_is_thrown_away():
    given = {"a": itertools.count(), "b": itertools.count(100)}
    seen = []

    def steps(batches, number):
        seen.append([next(batches) for _ in range(number)])

    took = feeding.timed(steps, given, 3, 2, 2)
    assert seen[:2] == [[0], [100]]  # to warm up
    assert seen[2:] == [[4, 5], [104, 105], [9, 10], [109, 110]]
    assert all(value > 0 for values in took.values() for value in values)
    assert [len(values) for values in took.values()] == [2, 2]


def test_published_recipe_and_small_one(tmp_path):
    config = feeding.make_config(False, tmp_path)
    assert config["data"]["p"] * config["data"]["k"] == 128
    assert config["train"]["precision"] == "bf16"
    assert config["data"]["args"]["num_train"] == feeding.PEOPLE
    small = feeding.make_config(True, tmp_path)
    assert small["train"]["precision"] == "float32"
    for one in (config, small):
        assert one["data"]["name"] == "walkers"
        assert one["data"]["dir"] == str(tmp_path)
        assert one["data"]["args"]["num_train"] >= one["data"]["p"]


@pytest.fixture
def run(tiny_config, tmp_path):
    """The program that other tests compile: eight steps, more are not taken."""
    built = open_run(tiny_config, tmp_path)
    yield built
    built.checkpoints.close()


def test_pictures_are_sent_or_there(run):
    sent = next(feeding.fed(run, workers=0, resident=False))
    there = next(feeding.fed(run, workers=0, resident=True))
    assert "sils" in sent and "store/sils" not in sent
    assert "store/sils" in there and "sils" not in there
    assert (sent["index"] == there["index"]).all()
    assert all(isinstance(x, jax.Array) for x in sent.values())


@pytest.mark.slow
def test_rows_are_times_and_ratios(run, monkeypatch):
    monkeypatch.setattr(feeding, "feeds", without_processes)
    rows = list(feeding.rows(run, 1, 2, 1))
    assert [row.unit for row in rows] == ["ms"] * 3 + ["times"] * 2
    assert all(0 < row.least <= row.median <= row.most for row in rows)
    label = "gaitbase, float32, step of 8 x 4 frames"
    assert rows[-1].what == f"{label}: resident / one batch"


def without_processes(built, workers, feeds=feeding.feeds):
    given = feeds(built, workers)
    del given[f"{workers} workers"]
    return given


@pytest.mark.slow
def test_processes_make_the_same_batches(run):
    given = feeding.feeds(run, 1)
    first, again = next(given["threads"]), next(given["1 workers"])
    assert (first["sils"] == again["sils"]).all()
