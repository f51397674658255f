"""Banks on disk: written, opened, refused."""

import json
import os

import numpy as np
import pytest

from gaitjax.data import features
from gaitjax.data.features import Bank, open_bank, write_bank
from gaitjax.errors import GaitError

ABOUT = {"weights": "aa", "records": "bb", "frames_limit": 720, "shapes": {"x": (4, 4)}}
NAMES = np.array([f"{i:03d}/nm-01/000" for i in range(5)])


def views(*names):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(5, 2, 3)).astype(np.float32) for name in names}


@pytest.fixture
def folder(tmp_path):
    """A bank of two views in a workdir that was not there."""
    write_bank(tmp_path / "base/bank", views("points", "sils"), ABOUT, NAMES)
    return tmp_path / "base/bank"


def refusal(folder, about=ABOUT):
    with pytest.raises(GaitError) as error:
        open_bank(folder, about)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_opened_memory_mapped(folder):
    bank = open_bank(folder, ABOUT)
    assert len(bank) == 5
    assert list(bank.views) == ["points", "sils"]  # rows are numbered in this order
    for name, want in views("points", "sils").items():
        assert isinstance(bank.views[name], np.memmap)
        assert not bank.views[name].flags.writeable
        np.testing.assert_array_equal(bank.views[name], want)
    assert [path.name for path in folder.parent.iterdir()] == ["bank"]


def test_take_is_numpy_s(folder):
    bank = open_bank(folder, ABOUT)
    both = np.concatenate(list(bank.views.values()))  # row r of view i is i n + r
    rows = np.array([[0, 9, 4], [5, 5, 1]])
    got = bank.take(rows)
    np.testing.assert_array_equal(got, both[rows])
    assert got.dtype == np.float32 and not isinstance(got, np.memmap)
    np.testing.assert_array_equal(bank.take(rows[:0]), both[rows[:0]])


@pytest.mark.parametrize(
    "key, other",
    [("weights", "cc"), ("records", "cc"), ("frames_limit", 30), ("new", 1)],
)
def test_a_foreign_one_is_refused(folder, key, other):
    line = refusal(folder, {**ABOUT, key: other})
    assert f"is of another {key}" in line and f"{other} here" in line
    assert "delete it" in line


def test_one_cut_short_is_refused(folder):
    path = folder / "sils.npy"
    whole = path.read_bytes()
    for size in (len(whole) - 1, 20, 0):
        path.write_bytes(whole[:size])
        assert "delete it to have it made again" in refusal(folder)
    path.unlink()
    assert "sils.npy" in refusal(folder)


def test_one_of_another_shape_is_refused(folder):
    np.save(folder / "sils.npy", np.zeros((4, 2, 3), np.float32))
    line = refusal(folder)
    assert "[4, 2, 3]" in line and "[5, 2, 3]" in line


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"views": {"../x": [1]}}'])
def test_an_about_that_is_none_is_refused(folder, text):
    (folder / "about.json").write_text(text)
    assert "cannot read the bank" in refusal(folder)


def test_a_half_written_one_is_made_again(folder):
    (folder / "about.json").unlink()
    (folder / "stale.npy").touch()
    assert open_bank(folder, ABOUT) is None
    write_bank(folder, views("sils"), ABOUT, NAMES)
    assert list(open_bank(folder, ABOUT).views) == ["sils"]
    assert {path.name for path in folder.iterdir()} == {"sils.npy", "about.json"}
    assert open_bank(folder.parent / "nowhere", ABOUT) is None


def test_what_another_run_has_just_made_is_left_alone(tmp_path, monkeypatch):
    """Both found none and made one: the second finds the first's in its place."""
    bank = tmp_path / "bank"
    remove = features.shutil.rmtree

    def other_comes_first(path, **kwargs):
        remove(path, **kwargs)
        if path == bank:
            bank.mkdir()
            (bank / "about.json").write_text("the other's")

    monkeypatch.setattr(features.shutil, "rmtree", other_comes_first)
    write_bank(bank, views("sils"), ABOUT, NAMES)
    assert (bank / "about.json").read_text() == "the other's"
    assert os.listdir(tmp_path) == ["bank"]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_embeddings_without_a_value_are_refused(tmp_path, value):
    bad = views("points", "sils")
    bad["sils"][2, 1, 0] = bad["sils"][4, 0, 0] = value
    with pytest.raises(GaitError, match="sils: 2 of 5 .* 002/nm-01/000") as error:
        write_bank(tmp_path / "bank", bad, ABOUT, NAMES)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_about_is_for_people_too(folder):
    about = json.loads((folder / "about.json").read_text())
    assert about["views"] == {"points": [5, 2, 3], "sils": [5, 2, 3]}
    assert about["weights"] == "aa"


def test_a_bank_in_memory_is_one_too():
    bank = Bank(views("sils"))
    np.testing.assert_array_equal(bank.take(np.array(3)), bank.views["sils"][3])
