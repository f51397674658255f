"""Files that torch wrote, read without it; none of their code runs."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest
from helpers import fixtures

from gaitjax.errors import GaitError
from gaitjax.interop.torch_zip import TorchFile, read_state_dict


def test_state_dict_of_a_checkpoint():
    state, iteration = read_state_dict(fixtures.ROOT / "gaitbase.pt")
    want = fixtures.arrays("state/")
    assert iteration == 60000
    assert list(state) == list(want)
    for key, array in want.items():
        np.testing.assert_array_equal(state[key], array, strict=True)


def test_half_precision_strides_and_prefixes():
    """Bare, every key under `module.`, float16 and bfloat16, transposed views."""
    state, iteration = read_state_dict(fixtures.ROOT / "half.pt")
    want = fixtures.arrays("half/")
    assert iteration == 0
    assert list(state) == list(want)
    kinds = {array.dtype.name for array in state.values()}
    assert kinds == {"float16", "float32", "int64"}
    for key, array in want.items():
        np.testing.assert_array_equal(state[key].astype(array.dtype), array)
    with TorchFile(fixtures.ROOT / "half.pt") as file:
        tensor = file.content["module.Backbone.forward_block.layer2.0.conv1.weight"]
    assert (tensor.shape, tensor.stride) == ((8, 4, 3, 3), (1, 8, 32, 96))


def test_optimiser_state_is_not_read(tmp_path):
    """Its storages may be gone: only the model's are opened."""
    path = tmp_path / "model_only.pt"
    with TorchFile(fixtures.ROOT / "gaitbase.pt") as file:
        momentum = file.content["optimizer"]["state"][0]["momentum_buffer"]
        milestones = file.content["scheduler"]["milestones"]
    assert milestones == {20000: 1, 40000: 1}
    with (
        zipfile.ZipFile(fixtures.ROOT / "gaitbase.pt") as old,
        zipfile.ZipFile(path, "w") as new,
    ):
        for name in old.namelist():
            if not name.endswith(f"/data/{momentum.storage}"):
                new.writestr(name, old.read(name))
    state, _ = read_state_dict(path)
    assert len(state) == len(fixtures.arrays("state/"))


def test_code_is_refused_and_does_not_run():
    trace = pathlib.Path("/tmp/gaitjax_was_here")  # what it would make
    trace.unlink(missing_ok=True)
    with pytest.raises(GaitError, match=r"refusing .*code.pt: it holds posix.system"):
        read_state_dict(fixtures.ROOT / "code.pt")
    assert not trace.exists()


def test_legacy_file_says_how_to_save_it_again():
    with pytest.raises(GaitError, match=r"old format .*re-save .*torch.load\('legacy"):
        read_state_dict(fixtures.ROOT / "legacy.pt")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_truncated_file(tmp_path, share):
    data = (fixtures.ROOT / "gaitbase.pt").read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(GaitError, match="cut.pt"):
        read_state_dict(path)


def write(path, content, **storages):
    """A zip of torch's form with this pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", content)
        for key, data in storages.items():
            file.writestr(f"x/data/{key[1:]}", data)
    return path


def tensors(**views):
    """The pickle of {name: tensor} by its opcodes; a view is offset, size, stride."""

    def row(numbers):
        return "(" + "".join(f"I{n}\n" for n in numbers) + "t"

    storage = "(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI4\ntQ"
    text = "}"
    for name, (offset, size, stride) in views.items():
        text += f"V{name}\nctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n"
        text += row(size) + row(stride) + "I00\n}tRs"
    return (text + ".").encode()


FOUR = np.arange(4, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(1, (2, 2), (2, 1)), (0, (5,), (1,)), (0, (2,), (4,)), (4, (1,), (1,))],
)
def test_a_view_beyond_its_storage_is_refused(tmp_path, offset, size, stride):
    data = tensors(w=(offset, size, stride))
    path = write(tmp_path / "wide.pt", data, _0=FOUR)
    with pytest.raises(GaitError, match="storage 0 is smaller than its tensor"):
        read_state_dict(path)


def test_views_of_one_storage(tmp_path):
    """Offset and stride count elements, as torch's do."""
    data = tensors(
        rows=(0, (2, 2), (2, 1)),
        columns=(0, (2, 2), (1, 2)),
        tail=(2, (2,), (1,)),
        same=(3, (3,), (0,)),
        none=(4, (0, 3), (3, 1)),
    )
    path = write(tmp_path / "ok.pt", data, _0=FOUR)
    state, _ = read_state_dict(path)
    assert {key: array.tolist() for key, array in state.items()} == {
        "rows": [[0, 1], [2, 3]],
        "columns": [[0, 2], [1, 3]],
        "tail": [2, 3],
        "same": [3, 3, 3],
        "none": [],
    }
    assert state["none"].shape == (0, 3)


def test_negative_strides_are_refused(tmp_path):
    path = write(tmp_path / "back.pt", tensors(w=(3, (4,), (-1,))), _0=FOUR)
    with pytest.raises(GaitError, match="a tensor of size"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds list, expected a state dict"),
        ({"a": 3}, "a are no tensors"),
        ({"model": {}}, "holds dict, expected a state dict"),
    ],
)
def test_other_contents_are_explained(tmp_path, content, said):
    path = write(tmp_path / "other.pt", pickle.dumps(content, 2))
    with pytest.raises(GaitError, match=said):
        read_state_dict(path)


def test_files_that_are_no_checkpoint(tmp_path):
    text = tmp_path / "readme.pt"
    text.write_text("version https://git-lfs.github.com")
    with pytest.raises(GaitError, match=r"begins with b'vers'; expected a file"):
        read_state_dict(text)
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("readme", "x")
    with pytest.raises(GaitError, match="a zip without data.pkl"):
        read_state_dict(tmp_path / "a.pt")
    broken = write(tmp_path / "b.pt", pickle.dumps({"a": 1}, 2)[:-3])
    with pytest.raises(GaitError, match="cannot read .*b.pt"):
        read_state_dict(broken)
