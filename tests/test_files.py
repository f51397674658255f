"""A file that is written again is the old one or the new one."""

import json

import pytest

from gaitjax.files import replacing, write_atomically, write_json


def test_the_new_one_takes_the_old_one_s_place(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old\n")
    write_atomically(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    write_json(tmp_path / "a.json", {"a": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, None]}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.json", "a.txt"]


def test_a_failure_on_the_way_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(OSError, match="full"), replacing(path) as partial:
        partial.write_text("ne")
        assert path.read_text() == "old"
        raise OSError("full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
