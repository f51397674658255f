"""Benchmarks run and report what they say; their figures are nobody's business here."""

import json
import pathlib
import sys
import types

import pytest

from gaitjax.bench import data, measure
from gaitjax.errors import GaitError
from tools import bench


def test_rates_are_things_per_second(monkeypatch):
    took = iter((2.0, 4.0, 1.0))
    monkeypatch.setattr(measure, "seconds", lambda fn: next(took))
    calls = []
    row = measure.rate("x", "things/s", 8, lambda: calls.append(1), 3)
    assert (row.median, row.least, row.most) == (4.0, 2.0, 8.0)
    assert len(calls) == 1  # the warm-up; the others were replaced


def test_ratios_are_of_the_same_turn():
    took = {"ours": [1.0, 2.0], "theirs": [3.0, 1.0]}
    assert measure.ratios(took, "theirs", "ours") == [3.0, 0.5]


def test_data_reports_every_figure(tmp_path):
    rows = [*data._opening(tmp_path / "a", 300, 1), *data._preparing(tmp_path, 6, 1)]
    assert [row.unit for row in rows] == [
        "s",
        "GiB",
        "sequences/s/core",
        "clips/s/core",
    ]
    assert all(0 < row.least <= row.median <= row.most for row in rows)


def test_tool_prints_and_writes(monkeypatch, tmp_path, capsys):
    made = measure.Row("opening", "s", 1234.5, 1.0, 2000.0)
    monkeypatch.setattr(data, "run", lambda quick: [made])
    out = tmp_path / "bench.json"
    monkeypatch.setattr(
        sys, "argv", ["bench.py", "data", "--quick", "--json", str(out)]
    )
    bench.main()
    assert "1,234.50" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["rows"][0]["median"] == 1234.5 and "jax" in content["machine"]


def test_unknown_subject_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench.py", "speed"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "choose from" in capsys.readouterr().err


def test_all_goes_on_where_one_fails(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "SUBJECTS", ("good", "bad", "late"))

    def run(command, check):
        assert command[-1] == "--quick"
        subject, out = command[2], command[command.index("--json") + 1]
        if subject != "bad":
            content = {"machine": {"jax": subject}, "rows": [{"what": "x"}]}
            pathlib.Path(out).write_text(json.dumps(content))
        return types.SimpleNamespace(returncode=int(subject == "bad"))

    monkeypatch.setattr(bench.subprocess, "run", run)
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench.py", "all", "--quick", "--json", str(out)])
    with pytest.raises(GaitError, match="no figures of bad"):
        bench.main()
    content = json.loads(out.read_text())
    assert content["machine"] == {"jax": "good"}
    assert [row["subject"] for row in content["rows"]] == ["good", "late"]
