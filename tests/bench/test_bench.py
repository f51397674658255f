"""Benchmarks run and report what they say; their figures are nobody's business here."""

import json
import pathlib
import sys
import types

import pytest

from gaitjax.bench import circumstances, data, infer, measure
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
    assert content["rows"][0]["median"] == 1234.5 and content["finished"]
    for key in ("jax", "jaxlib", "cpu", "load before", "load after"):
        assert key in content["machine"]
    called = content["run"]
    assert called["command"].startswith("python bench.py data --quick --json")
    assert called["quick"] and called["date"].endswith("+00:00") and "commit" in called


def test_what_was_measured_before_an_error_is_kept(monkeypatch, tmp_path, capsys):
    def run(quick):
        yield measure.figure("opening", "s", 3.0)
        raise GaitError("the disk is full")

    monkeypatch.setattr(data, "run", run)
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench.py", "data", "--json", str(out)])
    with pytest.raises(GaitError, match="full"):
        bench.main()
    assert "opening" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["rows"][0]["median"] == 3.0 and not content["finished"]


def test_networks_and_precision_are_chosen(monkeypatch, capsys):
    seen = {}

    def run(quick, **chosen):
        seen.update(chosen)
        return []

    monkeypatch.setattr(infer, "run", run)
    arguments = ["bench.py", "infer", "--only", "gaitset", "--precision", "bf16"]
    monkeypatch.setattr(sys, "argv", arguments)
    bench.main()
    assert seen == {"only": ["gaitset"], "precision": "bf16"}
    monkeypatch.setattr(sys, "argv", ["bench.py", "data", "--precision", "bf16"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "are of train and infer" in capsys.readouterr().err


def test_the_build_of_torch_is_told_where_it_is_used(monkeypatch):
    cudnn = types.SimpleNamespace(version=lambda: 91002)
    torch = types.SimpleNamespace(
        version=types.SimpleNamespace(cuda="12.8"),
        backends=types.SimpleNamespace(cudnn=cudnn),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = circumstances.torch_build()
    assert found == {"torch's CUDA": "12.8", "torch's cuDNN": "91002"}
    torch.version.cuda = None
    assert circumstances.torch_build() == {}
    monkeypatch.delitem(sys.modules, "torch")
    assert circumstances.torch_build() == {}


def test_the_commit_is_none_outside_of_git(monkeypatch, tmp_path):
    monkeypatch.setattr(circumstances, "__file__", str(tmp_path / "here.py"))
    assert circumstances.commit() is None


def test_unknown_subject_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench.py", "speed"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "choose from" in capsys.readouterr().err


def test_all_goes_on_where_one_fails(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "SUBJECTS", ("good", "bad", "gone", "late"))
    monkeypatch.setattr(circumstances, "commit", lambda: None)

    def run(command, check):
        assert command[-1] == "--quick"
        subject, out = command[2], command[command.index("--json") + 1]
        content = {"machine": {"jax": subject}, "rows": [{"what": "x"}]}
        if subject != "gone":
            pathlib.Path(out).write_text(json.dumps(content))
        if subject == "late":  # what came before is there already
            written = json.loads(pathlib.Path(sys.argv[-1]).read_text())
            assert list(written["subjects"]) == ["good", "bad"]
        return types.SimpleNamespace(returncode=int(subject in ("bad", "gone")))

    monkeypatch.setattr(bench.subprocess, "run", run)
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench.py", "all", "--quick", "--json", str(out)])
    with pytest.raises(GaitError, match="not all figures of bad, gone"):
        bench.main()
    content = json.loads(out.read_text())
    assert content["machine"] == {"jax": "good"}
    assert [row["subject"] for row in content["rows"]] == ["good", "bad", "late"]
    assert content["failed"] == ["bad", "gone"]
    assert content["subjects"]["late"] == {"machine": {"jax": "late"}}
