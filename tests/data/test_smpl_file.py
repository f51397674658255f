"""The user's SMPL file in every form it comes in, and every way it can be wrong."""

import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse
from helpers.smpl import PARENTS, smpl_content

from gaitjax.data import smpl_file
from gaitjax.errors import GaitError


def _check(path):
    """What is loaded is `smpl_content`, in f32, by our names."""
    model, want = smpl_file.load(path), smpl_content()
    assert model["parents"] == tuple(PARENTS)
    for name, (ours, _) in smpl_file.FIELDS.items():
        assert model[ours].dtype == np.float32
        np.testing.assert_allclose(model[ours], want[name], rtol=1e-6)
    np.testing.assert_array_equal(smpl_file.faces(path), [[0, 1, 2], [3, 4, 5]])


def _npz(folder, **changes):
    path = folder / "SMPL_NEUTRAL.npz"
    np.savez(path, **(smpl_content() | changes))
    return path


def _pkl(folder, content, protocol=2):
    path = folder / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def test_npz(tmp_path):
    _check(_npz(tmp_path))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_with_a_sparse_regressor(tmp_path, protocol):
    content = smpl_content()
    content["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
    _check(_pkl(tmp_path, content, protocol))


def test_three_hundred_betas_are_cut_to_ten(tmp_path):
    content = smpl_content(300)
    model = smpl_file.load(_pkl(tmp_path, content))
    assert model["shape_dirs"].shape == (len(model["template"]), 3, 10)
    np.testing.assert_allclose(
        model["shape_dirs"], content["shapedirs"][..., :10], rtol=1e-6
    )


class Ch:
    """Looks in a pickle like chumpy's, once it says that it is."""

    def __init__(self, **state):
        self.__dict__.update(state, _dirty_vars=set())


class Select(Ch):
    pass


class MatVecMult(Ch):
    pass


@pytest.fixture
def chumpy(monkeypatch):
    """Lets pickle write `chumpy.ch.Ch`; it is gone when the test reads."""
    names = {"chumpy": (), "chumpy.ch": (Ch, MatVecMult)}
    names["chumpy.reordering"] = (Select,)
    for name, kinds in names.items():
        module = types.ModuleType(name)
        for kind in kinds:
            monkeypatch.setattr(kind, "__module__", name)
            setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, name, module)

    def gone():
        for name in names:
            monkeypatch.delitem(sys.modules, name)

    return gone


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_official_pickle_with_chumpy_is_read_without_it(tmp_path, chumpy, protocol):
    content, wide = smpl_content(), smpl_content(12)["shapedirs"]
    wide[..., :10] = content["shapedirs"]
    content["weights"] = Ch(x=content["weights"])
    index = np.arange(wide.size).reshape(wide.shape)[..., :10]
    content["shapedirs"] = Select(
        a=Ch(x=wide), idxs=index.ravel(), preferred_shape=index.shape
    )
    content["J"] = MatVecMult(a=1)  # not needed, hence not in the way
    path = _pkl(tmp_path, content, protocol)
    chumpy()
    _check(path)


def test_unknown_chumpy_says_how_to_convert(tmp_path, chumpy):
    content = smpl_content() | {"posedirs": MatVecMult(a=1)}
    path = _pkl(tmp_path, content)
    chumpy()
    _fails(path, r"posedirs is a chumpy\.ch\.MatVecMult, .* tools/clean_ch\.py of git")


def test_bytes_of_python_2(tmp_path):
    """Python 2 wrote an array's bytes as text, protocol 0: GLOBAL, and a string."""
    for name in ("v_template", "f"):
        array = smpl_content()[name]
        raw = array.tobytes()
        lines = (
            f"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
            f"(I1\n(I{array.shape[0]}\nI3\ntcnumpy\ndtype\n(S'{array.dtype.str[1:]}'\n"
            "I0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'"
        )
        text = "".join(f"\\x{byte:02x}" for byte in raw)
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(f"{lines}{text}'\ntb.".encode())
        got = smpl_file.safe_pickle.load(path)
        np.testing.assert_array_equal(got, array)


def _fails(path, match):
    with pytest.raises(GaitError, match=match) as caught:
        smpl_file.load(path)
    message = str(caught.value)
    assert "\n" not in message and str(path.parent) in message


WRONG = {
    "joints": (
        {"weights": np.ones((9, 52))},
        r"weights is \[9, 52\], expected \[9, 24",
    ),
    "vertices": (
        {"v_template": np.ones((8, 3))},
        r"weights is \[9, 24\], expected \[8, 24\]",
    ),
    "betas": (
        {"shapedirs": np.ones((9, 3, 4))},
        r"shapedirs is \[9, 3, 4\], expected \[9, 3, 10\]",
    ),
    "poses": ({"posedirs": np.ones((9, 3, 459))}, r"posedirs is \[9, 3, 459\], .*207"),
    "turned": (
        {"J_regressor": np.ones((9, 24))},
        r"J_regressor is \[9, 24\], expected \[24, 9\]",
    ),
    "one number": ({"weights": np.float64(1)}, r"weights is \[\], expected"),
    "not finite": (
        {"v_template": np.full((9, 3), np.nan)},
        "v_template has 27 numbers that are not finite",
    ),
    "text": ({"weights": np.array("x")}, "weights is of <U1, expected numbers"),
    "other table": (
        {"kintree_table": np.zeros((2, 52), int)},
        r"kintree_table is \[2, 52\], expected \[2, 24\]",
    ),
    "two roots": (
        {"kintree_table": np.array([[-1, -1, *PARENTS[2:]], range(24)])},
        r"no tree with parents first, got parents \[-1, -1, 0",
    ),
    "a loop": (
        {"kintree_table": np.array([[-1, 2, 1, *PARENTS[3:]], range(24)])},
        "no tree with parents first",
    ),
    "other order": (
        {"kintree_table": np.array([PARENTS, range(1, 25)])},
        "no tree with parents first",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_counts_say_expected_and_got(tmp_path, case):
    changes, match = WRONG[case]
    _fails(_npz(tmp_path, **changes), match)


def test_missing_arrays_are_named(tmp_path):
    _fails(
        _pkl(tmp_path, {"pose": np.zeros(3)}), r"has no v_template: .*, got pose; is it"
    )
    _fails(_pkl(tmp_path, [np.zeros(3)]), "holds a list, expected a dict")


def test_damaged_files(tmp_path):
    path = _npz(tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"<html>please log in</html>", whole[: len(whole) // 2]):
        path.write_bytes(content)
        _fails(path, r"cannot read .*SMPL_NEUTRAL\.npz: ")
    path.with_suffix(".pkl").write_bytes(b"cchumpy.ch\nCh\n(I1\ntR.")  # Ch(1)
    _fails(path.with_suffix(".pkl"), r"cannot read .*SMPL_NEUTRAL\.pkl: ")
    path = _npz(tmp_path, J_regressor=np.array({"a": 1}))
    _fails(path, r"cannot read .*SMPL_NEUTRAL\.npz: Object arrays")
    matrix = scipy.sparse.csc_matrix(smpl_content()["J_regressor"])
    matrix.indices[0] = 10**6  # would be written outside of the array
    path = _pkl(tmp_path, smpl_content() | {"J_regressor": matrix})
    _fails(path, r"csc_matrix in J_regressor is damaged")


class Evil:
    def __reduce__(self):
        return pathlib.Path("/tmp/gaitjax_smpl_was_here").touch, ()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_and_not_run(tmp_path, protocol):
    marker = pathlib.Path("/tmp/gaitjax_smpl_was_here")
    marker.unlink(missing_ok=True)
    _fails(
        _pkl(tmp_path, smpl_content() | {"J": Evil()}, protocol),
        "refusing .*: it holds",
    )
    assert not marker.exists()


def test_found_where_prepared_sets_live(tmp_path, monkeypatch):
    with pytest.raises(GaitError, match=r"no SMPL model in .*smpl\.is\.tue\.mpg\.de "):
        smpl_file.find(str(tmp_path))
    (tmp_path / "smpl").mkdir()
    path = _pkl(tmp_path / "smpl", smpl_content())
    assert smpl_file.find(str(tmp_path)) == path
    monkeypatch.setenv("GAITJAX_DATA", str(tmp_path))
    assert smpl_file.named("SMPL_NEUTRAL.npz") == path  # there is the .pkl alone
    assert smpl_file.named("mine.npz") == tmp_path / "smpl" / "mine.npz"
    assert smpl_file.named("./mine.npz") == pathlib.Path("mine.npz")
    with pytest.raises(GaitError, match="no SMPL model in .* as mine.npz"):
        smpl_file.load(smpl_file.named("mine.npz"))
    path = _npz(tmp_path / "smpl")
    assert smpl_file.find() == path
    _fails(tmp_path / "other.npz", "registration, .* put it there as other.npz")
    _fails(tmp_path / "SMPL_NEUTRAL.npz", "as SMPL_NEUTRAL.npz or SMPL_NEUTRAL.pkl")
