"""Pickles from strangers: arrays of every protocol pass, code does not run."""

import pathlib
import pickle

import numpy as np
import pytest

from gaitjax.data import safe_pickle
from gaitjax.errors import GaitError


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
