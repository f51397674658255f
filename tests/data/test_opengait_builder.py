"""A CASIA-B tree in OpenGait's layout, written by the walkers, and bad pickles."""

import pathlib
import pickle

import numpy as np
import pytest

from gaitjax import walkers
from gaitjax.data import safe_pickle
from gaitjax.data.builders import common, opengait
from gaitjax.data.pipeline import make_data
from gaitjax.errors import GaitError


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two training and one test identity, two conditions, two views."""
    root = tmp_path_factory.mktemp("casia_b")
    for number in (1, 74, 75):
        for condition in ("nm", "cl"):
            for view in (0, 90):
                sequence = walkers.make_sequence(0, number, condition, 1, view, 5)
                folder = root / f"{number:03d}" / f"{condition}-01" / f"{view:03d}"
                folder.mkdir(parents=True)
                path = folder / f"{view:03d}.pkl"
                path.write_bytes(pickle.dumps(sequence["sils"]))
    (root / ".DS_Store").write_text("stray")
    return root


def test_tree_becomes_a_set_that_training_opens(tree, tmp_path):
    builder = opengait.make_builder(tmp_path, "casia_b", source=str(tree))
    folder = common.prepare(builder)
    assert folder == tmp_path / "casia_b" / "1.0.0"
    data = make_data(name="casia_b", dir=str(tmp_path), p=2, k=2)
    assert data.names == ["001", "074"]
    assert data.train.index.names[1] == "001-cl-01-090"
    want = walkers.make_sequence(0, 75, "nm", 1, 90, 5)["sils"]
    row = data.test.index.names.tolist().index("075-nm-01-090")
    np.testing.assert_array_equal(data.test.with_keys(("sils",))[row]["sils"], want)


def test_source_that_is_not_one(tree, tmp_path):
    with pytest.raises(GaitError, match="is not a folder"):
        opengait.make_builder(tmp_path, "casia_b", source=str(tree / "nowhere"))
    with pytest.raises(GaitError, match="holds no sequences, expected <id>/<type>"):
        opengait.make_builder(tmp_path, "casia_b", source=str(tree / "001"))
    with pytest.raises(GaitError, match="did you mean casia_b?"):
        opengait.make_builder(tmp_path, "casia_a", source=str(tree))


def test_sequences_that_are_not_silhouettes(tmp_path):
    folder = tmp_path / "001" / "nm-01" / "000"
    folder.mkdir(parents=True)
    with pytest.raises(GaitError, match=r"holds no \.pkl"):
        opengait.read_sequence(folder)
    for value, message in (
        (
            np.zeros((3, 64, 44), np.uint8),
            r"expected silhouettes \[t,64,64\], got 3x64x44",
        ),
        (np.zeros((0, 64, 64), np.uint8), "got 0x64x64"),
        (np.zeros((3, 64, 64)), "expected uint8 .* got float64"),
        ([1, 2], "got list"),
    ):
        (folder / "000.pkl").write_bytes(pickle.dumps(value))
        with pytest.raises(GaitError, match=message):
            opengait.read_sequence(folder)


class Evil:
    def __reduce__(self):
        return pathlib.Path("/tmp/gaitjax_was_here").touch, ()


def test_pickle_with_code_is_refused_and_not_run(tmp_path):
    marker = pathlib.Path("/tmp/gaitjax_was_here")
    marker.unlink(missing_ok=True)
    path = tmp_path / "000.pkl"
    path.write_bytes(pickle.dumps([np.zeros(2), Evil()]))
    with pytest.raises(GaitError, match=r"refusing .*000\.pkl: it holds "):
        safe_pickle.load(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "x.pkl"
    value = [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.float32(2.5),
        {"a": (1, "b")},
    ]
    path.write_bytes(pickle.dumps(value, protocol))
    array, number, rest = safe_pickle.load(path)
    np.testing.assert_array_equal(array, value[0])
    assert number == 2.5 and rest == {"a": (1, "b")}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_pickle_is_named(tmp_path, share):
    path = tmp_path / "cut.pkl"
    content = pickle.dumps(np.zeros((4, 64, 64), np.uint8))
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(GaitError, match=r"cannot read .*cut\.pkl: .*interrupted copy"):
        safe_pickle.load(path)
