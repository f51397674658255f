"""Tables say what they are, and files are whole."""

import csv
import json

import pytest

from gaitjax.report import tables


def make_row(condition, metric, value, **other):
    row = {
        "protocol": "casia_b",
        "probe": "sils",
        "gallery": "points",
        "condition": condition,
        "distance": "euclidean",
        "stage": "initial",
        "metric": metric,
        "value": value,
        "n_probe": 1100,
        "n_without_match": 3,
    }
    return row | other


ROWS = [
    make_row("NM", "rank-1", 96.208818),
    make_row("NM", "rank-5", 100.0),
    make_row("CL", "rank-1", 5.0, n_probe=7),
]


def test_results_table():
    assert tables.results_table(ROWS).splitlines() == [
        "casia_b: probe sils, gallery points, euclidean, initial",
        "%                  NM    CL",
        "rank-1          96.21  5.00",
        "rank-5         100.00   n/a",
        "probes          1,100     7",
        "without match       3     3",
    ]


def test_a_second_stage_stands_below_the_first():
    text = tables.results_table(
        [*ROWS, make_row("NM", "rank-1", 97.0, stage="cargait")]
    )
    title, _, initial, again, *_ = text.splitlines()
    assert title.endswith("gallery points, euclidean, initial, then cargait")
    assert initial.startswith("rank-1, initial") and "97.00" not in initial
    assert again.startswith("rank-1, cargait") and "97.00" in again


def test_no_rows():
    assert tables.results_table([]).startswith("no results (n/a")


def test_files_hold_the_rows(tmp_path):
    tables.write_json(tmp_path / "results.json", ROWS)
    tables.write_csv(tmp_path / "results.csv", ROWS)
    assert json.loads((tmp_path / "results.json").read_text()) == {"rows": ROWS}
    with open(tmp_path / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [list(line) for line in lines] == [list(row) for row in ROWS]
    assert [float(line["value"]) for line in lines] == [row["value"] for row in ROWS]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    tables.write_json(path, ROWS)
    before = path.read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        tables.write_json(path, [make_row("NM", "rank-1", float("nan"))])

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(tables.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        tables.write_json(path, ROWS[:1])
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]
