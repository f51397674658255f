"""Tables beside a prepared set: read, checked, and the walkers' own."""

import shutil

import numpy as np
import pytest

from gaitjax.data import topology
from gaitjax.data.pipeline import make_data
from gaitjax.errors import GaitError
from gaitjax.walkers import mesh


def arrays():
    """The walkers' own, as a file has them."""
    made = {"mirror_markers": mesh.mirror_markers(), "faces": mesh.faces()}
    made |= {"mirror_vertices": mesh.mirror_vertices()}
    return made | {"markers": mesh.marker_indices(), "weights": mesh.marker_weights()}


def written(path, **changes):
    np.savez(path, **(arrays() | changes))
    return path


def test_what_is_written_is_read(tmp_path):
    found = topology.read(written(tmp_path / topology.FILE))
    want = topology.of_walkers()
    for key in ("joints", "markers", "vertices"):
        np.testing.assert_array_equal(found.mirrors[key], want.mirrors[key])
    for key in ("markers", "weights", "faces"):
        np.testing.assert_array_equal(getattr(found, key), getattr(want, key))
    assert topology.num_vertices(found) == 928


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"mirror_vertices": np.arange(928) // 2}, "mirror table of the vertices in"),
        ({"mirror_markers": np.arange(63)}, "mirror table of the markers in"),
        ({"weights": np.zeros((64, 928))}, r"weights are \[64, 928\], expected \[88,"),
        ({"weights": np.zeros((88, 927))}, r"expected \[88, 928\]"),
        ({"markers": np.arange(64) + 900}, "markers are .* up to 963, .* of 928"),
    ],
)
def test_tables_that_cannot_be_are_refused_in_one_line(tmp_path, changes, line):
    with pytest.raises(GaitError, match=line) as error:
        topology.read(written(tmp_path / "a.npz", **changes))
    assert "\n" not in str(error.value)


def test_file_that_is_none_is_named(tmp_path):
    (tmp_path / topology.FILE).write_bytes(b"nothing")
    with pytest.raises(GaitError, match=r"topology.npz .*make_markers.py"):
        topology.of_set(tmp_path)


def test_prepared_set_has_its_file_or_joints_alone(tiny_data, tmp_path):
    folder = tmp_path / "folder" / "mine" / "1.0.0"
    shutil.copytree(tiny_data.train.folder, folder)
    data = make_data(name="folder/mine", dir=str(tmp_path))
    assert list(data.topology.mirrors) == ["joints"]
    written(folder / topology.FILE)
    data = make_data(name="folder/mine", dir=str(tmp_path))
    assert sorted(data.topology.mirrors) == ["joints", "markers", "vertices"]
    # The walkers need no file, so that sets of before are as good.
    assert tiny_data.topology.weights is mesh.marker_weights()
