"""Runs side by side, from made-up workdirs."""

import copy
import json
import re
import subprocess
import sys

import pytest
from helpers.pages import read

from gaitjax.errors import GaitError
from gaitjax.report import compare, plots, saved

CONFIG = {
    "data": {"name": "walkers", "args": {"num_test": 4, "processes": 2}},
    "method": "supervised",
    "optim": {"lr": 0.1},
    "train": {"steps": 900},
}
ROW = {
    "protocol": "walkers",
    "probe": "sils",
    "gallery": "sils",
    "condition": "NM",
    "distance": "euclidean",
    "stage": "initial",
    "metric": "rank-1",
    "value": 70.0,
    "n_probe": 10,
    "n_without_match": 0,
}


def _run(path, values, *, step=900, saved_at=(900,), config=None, **about):
    """A workdir with a result per condition; step None: not evaluated yet."""
    path.mkdir()
    for number in saved_at:
        (path / "checkpoints" / str(number)).mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config or CONFIG))
    lines = [
        {"step": step, "loss": 1 / step, "steps_per_s": 5.0} for step in (300, 600, 900)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (path / "metrics.jsonl").write_text(text)
    if step is not None:
        rows = [ROW | {"condition": key, "value": x} for key, x in values.items()]
        curves = [
            {key: ROW[key] for key in ("protocol", "probe", "gallery", "condition")}
            | {"distance": "euclidean", "curve": [values["NM"], 100.0]}
        ]
        environment = {"devices": "1 x cpu (cpu)", "machine": "x86_64"}
        run = {"step": step, "steps": 900, "environment": environment} | about
        results = {"rows": rows, "run": run, "cmc": curves}
        (path / "results.json").write_text(json.dumps(results))
    return path


def _changed(**sections):
    config = copy.deepcopy(CONFIG)
    for name, values in sections.items():
        config[name] |= values
    return config


def test_two_runs_end_to_end(tmp_path):
    first = _run(tmp_path / "a", {"NM": 70.0, "CL": 50.0})
    config = _changed(optim={"lr": 0.2})
    second = _run(tmp_path / "b", {"NM": 71.5, "BG": 60.0}, config=config)
    command = [sys.executable, "tools/compare_runs.py", str(first), str(second)]
    command += ["--out", str(tmp_path / "page.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["NM", "rank-1", "70.00", "71.50", "(+1.50)"] in lines
    assert ["CL", "rank-1", "50.00", "n/a"] in lines
    assert ["BG", "rank-1", "n/a", "60.00"] in lines
    assert "note:" not in done.stdout
    page = read(tmp_path / "page.html")
    for text in (
        "71.50\u00a0(+1.50)",
        "optim.lr",
        "Simulated data",
        "900 of 900",
        "3.0 min",
    ):
        assert text in page.text
    assert "do not compare." not in page.text and "data.name" not in page.text
    assert page.tags.count("svg") == 1 + 2  # CMC, loss, steps_per_s


def test_a_missing_workdir_is_one_line(tmp_path):
    command = [sys.executable, "tools/compare_runs.py", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "holds no run" in done.stderr


def test_a_damaged_file_is_one_line(tmp_path):
    path = _run(tmp_path / "a", {"NM": 1.0})
    (path / "results.json").write_text('{"rows": [')
    with pytest.raises(GaitError, match="cannot read .*results.json"):
        compare.write_comparison([path], tmp_path / "page.html")


@pytest.mark.parametrize(
    ("step", "saved_at", "words"),
    [
        (None, (), "no results yet, saved at step 0 of 900; to go on: python -m"),
        (None, (250, 500), "no results yet, saved at step 500 of 900; to go on"),
        (300, (300,), "results of step 300 of 900, unfinished; to go on"),
        (300, (300, 600), "results of step 300, but saved at step 600 of 900; to go"),
        (600, (600, 900), "but saved at step 900 of 900; to evaluate: .* evaluate"),
        (900, (500, 900), "^$"),
    ],
)
def test_a_run_on_its_way_says_where_it_is(tmp_path, step, saved_at, words):
    path = _run(tmp_path / "a", {"NM": 70.0}, step=step, saved_at=saved_at)
    whole = _run(tmp_path / "b", {"NM": 70.0})
    runs = compare.write_comparison([whole, path], tmp_path / "page.html")
    line = runs[1].missing
    assert re.search(words, line)
    assert "\n" not in line and (str(path) in line or not line)
    assert line in read(tmp_path / "page.html").text


def test_results_of_an_older_version_need_the_mark(tmp_path):
    path = _run(tmp_path / "a", {"NM": 70.0})
    (path / "results.json").write_text(json.dumps({"rows": [ROW]}))
    assert "unfinished" in saved.read_run(path, "a").missing
    (path / "finished").touch()
    assert not saved.read_run(path, "a").missing
    compare.write_comparison([path], tmp_path / "page.html")
    assert "unknown of 900" in read(tmp_path / "page.html").text


@pytest.mark.parametrize(
    ("data", "about", "differ"),
    [
        ({"name": "walkers_casia_b"}, {}, True),
        ({"args": {"num_test": 5, "processes": 2}}, {}, True),
        ({"args": {"num_test": 4, "processes": 9}}, {}, False),
        ({}, {"records": "abc"}, True),
        ({}, {"records": None}, False),  # of an older version
    ],
)
def test_different_data_are_warned_of(tmp_path, data, about, differ):
    first = _run(tmp_path / "a", {"NM": 70.0}, records="123")
    config = _changed(data=data)
    about = {"records": "123"} | about
    second = _run(tmp_path / "b", {"NM": 70.0}, config=config, **about)
    compare.write_comparison([first, second], tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert ("Their figures do not compare." in page.text) is differ


def test_names_are_as_short_as_they_can_be(tmp_path):
    folders = [tmp_path / "x" / "run", tmp_path / "y" / "run"]
    assert saved.short_names(folders) == ["x/run", "y/run"]
    assert saved.short_names([tmp_path / "x", tmp_path / "y"]) == ["x", "y"]
    with pytest.raises(GaitError, match="given twice"):
        saved.short_names([tmp_path, tmp_path])


def test_only_one_distance_is_drawn_and_none_is_mixed(tmp_path, monkeypatch):
    values = {"cosine": 30.0, "euclidean": 70.0}
    first, second = (_run(tmp_path / name, {"NM": 0.0}) for name in "ab")
    for path, names in ((first, ("cosine", "euclidean")), (second, ("euclidean",))):
        content = json.loads((path / "results.json").read_text())
        row, curve = content["rows"][0], content["cmc"][0]
        content["rows"] = [row | {"distance": d, "value": values[d]} for d in names]
        content["cmc"] = [curve | {"distance": d, "curve": [values[d]]} for d in names]
        (path / "results.json").write_text(json.dumps(content))
    drawn = []
    draw = plots.cmc_curves
    monkeypatch.setattr(
        plots, "cmc_curves", lambda lines, title: drawn.append(lines) or draw(lines)
    )
    runs = compare.write_comparison([first, second], tmp_path / "page.html")
    assert drawn == [{"a": [0.3], "b": []}]
    assert "By cosine distance." in read(tmp_path / "page.html").text
    found = {
        caption.split(", ")[2]: lines[1]
        for caption, lines in compare.result_tables(runs)
    }
    assert found == {
        "cosine": ["NM rank-1", "30.00", "n/a"],
        "euclidean": ["NM rank-1", "70.00", "70.00\u00a0(+0.00)"],
    }


def test_stages_and_distances_are_tables_of_their_own(tmp_path):
    path = _run(tmp_path / "a", {"NM": 70.0})
    content = json.loads((path / "results.json").read_text())
    content["rows"].append(ROW | {"stage": "cargait", "value": 75.0})
    (path / "results.json").write_text(json.dumps(content))
    found = list(compare.result_tables([saved.read_run(path, "a")]))
    captions = [caption.rpartition(", ")[2] for caption, _ in found]
    assert captions == ["initial", "cargait"]
    assert [lines[1] for _, lines in found] == [
        ["NM rank-1", "70.00"],
        ["NM rank-1", "75.00"],
    ]
