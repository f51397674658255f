"""Studies go on where they were stopped, and lose nothing."""

import os
import sys

import numpy as np
import pytest

from gaitjax.bench import study


def command(text):
    return [sys.executable, "-c", text]


def test_records_are_appended_and_failures_are_left(tmp_path, capfd):
    out = tmp_path / "results.json"
    jobs = {"good": "pass", "bad": "raise SystemExit(3)", "late": "pass"}
    with pytest.raises(SystemExit, match=r"1 runs are left \(bad failed, see above\)"):
        study.run_all(
            list(jobs),
            lambda name: command(jobs[name]),
            lambda name: {"name": name},
            out,
            minutes=1,
            parallel=1,
        )
    assert [record["name"] for record in study.read(out)] == ["good", "late"]
    assert len(out.read_text().splitlines()) == 4


def test_time_that_is_up_stops_a_run_by_a_signal(tmp_path):
    text = f"""
import pathlib, signal, sys, time
def leave(*_):
    pathlib.Path({str(tmp_path)!r}, "saved").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
time.sleep(60)
"""
    assert study.run_one(command(text), seconds=3) == "left"
    assert (tmp_path / "saved").exists()
    assert study.run_one(command("raise ValueError"), seconds=0) == "left"


def test_what_is_not_done_has_no_record(tmp_path):
    out = tmp_path / "results.json"
    with pytest.raises(SystemExit, match="1 runs are left; type it again"):
        study.run_all(["x"], lambda x: command("pass"), lambda x: None, out, 1, 2)
    assert study.read(out) == []


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no say in it here")
def test_jobs_have_cores_of_their_own(tmp_path):
    mine = os.sched_getaffinity(0)
    for parallel in (1, len(mine), 2 * len(mine)):
        found = study.shares(parallel)
        assert len(found) == parallel and all(found)
        assert set().union(*found) == mine
    alone = study.shares(len(mine))
    assert sum(map(len, alone)) == len(mine)  # none is shared
    core = min(mine)
    text = f"import os; assert os.sched_getaffinity(0) == {{{core}}}"
    # A little later: its parent is to have had its say.
    assert (
        study.run_one(command(f"import time; time.sleep(1); {text}"), 30, {core})
        == "done"
    )


def test_seconds_add_up(tmp_path):
    assert study.spent(tmp_path) == 0
    study.spent(tmp_path, 2.0)
    assert study.spent(tmp_path, 1.5) == 3.5 == study.spent(tmp_path)


class Stored:
    """As much of a split as changing it asks for."""

    index = "labels"

    def __len__(self):
        return 2

    def __getitem__(self, row):
        return {"sils": np.full((2, 4, 4), row, np.uint8), "joints": "kept"}

    def with_keys(self, keys):
        return {"only": keys}


def test_a_record_is_always_changed_alike():
    def change(rng, sils):
        return sils + rng.integers(100, size=sils.shape, dtype=np.uint8)

    split = study.ChangedSplit(Stored(), change)
    assert len(split) == 2 and split.index == "labels"
    np.testing.assert_array_equal(split[1]["sils"], split[1]["sils"])
    assert np.ptp(split[0]["sils"]) > 50 and split[1]["joints"] == "kept"
    assert (split[0]["sils"] + 1 != split[1]["sils"]).any()  # a draw of its own
    other = split.with_keys(("sils",))
    assert other.split == {"only": ("sils",)} and other.change is change
