"""GREW's csv: right form, right order, and no claim of a score."""

import csv
import pathlib
import runpy

import numpy as np
import pytest

from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.evaluate import write_embeddings
from gaitjax.retrieval.submission import grew_submission

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "grew_submission.py"
HEADER = ["videoId", *(f"rank{k}" for k in range(1, 21))]


def _test_set(num_probes=3, num_subjects=12):
    """Identity s lies at s on a line; probe i is `p<i>`, at 4 + i / 4."""
    rows = [
        (f"{s:05d}", condition, f"{s:03d}x{condition}")
        for s in range(1, num_subjects + 1)
        for condition in ("01", "02")
    ]
    place = [int(subject) for subject, _, _ in rows]
    rows += [("probe", "03", f"p{i}") for i in range(num_probes)]
    place += [4 + i / 4 for i in range(num_probes)]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    num = len(rows)
    index = Index(*columns, np.full(num, ""), np.ones(num, np.int32))
    return np.float32(place)[:, None, None], index


@pytest.mark.parametrize("block", [2, 256])
def test_rows_are_the_nearest_identities(block):
    lines = grew_submission(*_test_set(), block=block)
    assert lines[0] == HEADER
    assert [line[0] for line in lines[1:]] == ["p0", "p1", "p2"]
    # 4 itself, then 3 before 5 where they are as near, each with its two walks.
    assert lines[1][1:7] == ["4", "4", "3", "3", "5", "5"]
    assert lines[2][1:7] == ["4", "4", "5", "5", "3", "3"]
    assert {len(line) for line in lines} == {21}


def test_probes_of_others_and_short_galleries_are_refused():
    embedding, index = _test_set(num_probes=0)
    with pytest.raises(GaitError, match="needs probes, .* got none among 24"):
        grew_submission(embedding, index)
    with pytest.raises(GaitError, match="a gallery of 20 sequences .* got 10"):
        grew_submission(*_test_set(num_subjects=5))
    embedding, index = _test_set()
    index.subject[0] = "0000x"
    with pytest.raises(GaitError, match="are numbers such as 00042, got 0000x"):
        grew_submission(embedding, index)


def _run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["grew_submission.py", *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name="__main__")


def test_the_tool_writes_an_unscored_csv(tmp_path, monkeypatch, capsys):
    embedding, index = _test_set()
    path = tmp_path / "embeddings_test.npz"
    write_embeddings(path, {"sils": embedding}, index)
    _run(monkeypatch, tmp_path)
    with (tmp_path / "grew_submission_UNSCORED.csv").open() as file:
        lines = list(csv.reader(file))
    assert lines == grew_submission(embedding, index)
    assert "UNSCORED: 3 probes" in capsys.readouterr().out

    write_embeddings(path, {"sils": -embedding, "ranges": embedding}, index)
    with pytest.raises(SystemExit, match="--view is one of sils, ranges, got None"):
        _run(monkeypatch, tmp_path)
    _run(monkeypatch, tmp_path, "--view", "ranges", "--distance", "cosine")


def test_the_tool_says_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="error: no .*; run gaitjax.main with"):
        _run(monkeypatch, tmp_path)
    write_embeddings(
        tmp_path / "embeddings_test.npz", {"sils": _test_set(0)[0]}, _test_set(0)[1]
    )
    with pytest.raises(SystemExit, match="needs probes") as error:
        _run(monkeypatch, tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "grew_submission_UNSCORED.csv").exists()
