"""The licensed SMPL file that the user supplies, and labels from it, in numpy.

SMPL (Loper et al., SIGGRAPH Asia 2015) may not be passed on. Read are an .npz of its
arrays, and an official .pkl as it comes: neither chumpy (which does not run on Python
3.11) nor any code of the pickle is run. The tests write these forms themselves: no
licensed file was at hand.

`labels` is for whatever may not use jax; `ops/smpl.py` is the same on a device. The
two share no line, and the tests hold one against the other.
"""

from __future__ import annotations

import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.lib.npyio import NpzFile
from scipy.spatial.transform import Rotation

from gaitjax.data import safe_pickle
from gaitjax.data.records import data_root
from gaitjax.errors import GaitError

NAMES = ("SMPL_NEUTRAL.npz", "SMPL_NEUTRAL.pkl")
WHERE = "smpl.is.tue.mpg.de (registration, its own licence)"
JOINTS, BETAS = 24, 10
FRAMES_AT_ONCE = 32  # chosen: 30 MB for SMPL's vertices
# Of the file's arrays: names here, and shapes with v vertices and b betas.
FIELDS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "v_template": ("template", ("v", 3)),
    "weights": ("weights", ("v", JOINTS)),
    "shapedirs": ("shape_dirs", ("v", 3, "b")),
    "posedirs": ("pose_dirs", ("v", 3, 9 * (JOINTS - 1))),
    "J_regressor": ("joint_regressor", (JOINTS, "v")),
}


def find(directory: str | None = None) -> pathlib.Path:
    """The file in the folder `smpl` of the prepared sets ($GAITJAX_DATA by default)."""
    folder = data_root(directory) / "smpl"
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    raise GaitError(_missing(folder))


def named(name: str) -> pathlib.Path:
    """A path as it is; a bare name is in the folder `smpl` of the prepared sets, with
    its suffix or, where that is not there, the other of `NAMES`."""
    if os.sep in name:  # "./name" is a path, too
        return pathlib.Path(name)
    folder = data_root() / "smpl"
    found = [folder / name]
    if name in NAMES:
        found += [folder / other for other in NAMES]
    return next((one for one in found if one.is_file()), found[0])


def load(path: pathlib.Path) -> dict[str, Any]:
    """The model as f32 arrays and `parents`, for `ops.smpl.Body(**load(path))`.

    template [v, 3], shape_dirs [v, 3, 10] (the first ten betas), pose_dirs
    [v, 3, 207], joint_regressor [24, v], weights [v, 24], parents (-1 for the root).
    Raises GaitError, one line, for a missing or damaged file, wrong shapes or counts,
    numbers that are not finite, and joints that are no tree.
    """
    content = _read(path, (*FIELDS, "kintree_table"))
    model: dict[str, Any] = {"parents": _parents(path, content["kintree_table"])}
    num_vertices = len(np.atleast_1d(content["v_template"]))
    for key, (name, shape) in FIELDS.items():
        _check(path, key, content[key], shape, num_vertices)
        model[name] = content[key].astype(np.float32)
    model["shape_dirs"] = model["shape_dirs"][..., :BETAS]
    return model


def faces(path: pathlib.Path) -> np.ndarray:
    """Corners of the triangles: i32[f, 3]."""
    return _read(path, ("f",), kinds="iu")["f"].astype(np.int32)


def labels(body: Mapping[str, Any], smpl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints [t, 24, 3] and vertices [t, v, 3] of estimates f[t, 85], as f32.

    Metres in the frame that the root's rotation leads to, the camera's for Gait3D (x
    right, y down, z away), relative to the pelvis. Row by row camera 3 (not used),
    pose 72, betas 10. A row with a NaN gives NaN: no label in that frame. The betas of
    walkers are no SMPL betas: walkers bring labels of their own.
    """
    if smpl.ndim != 2 or smpl.shape[1] != 85:
        raise GaitError(
            "SMPL estimates are 85 numbers a frame (camera 3, pose 72, betas 10), got "
            f"{list(smpl.shape)}; give f[t, 85]"
        )
    joints = np.full((len(smpl), JOINTS, 3), np.nan, np.float32)
    vertices = np.full((len(smpl), *body["template"].shape), np.nan, np.float32)
    known = np.flatnonzero(np.isfinite(smpl).all(1))
    for start in range(0, len(known), FRAMES_AT_ONCE):
        rows = known[start : start + FRAMES_AT_ONCE]
        pose, betas = smpl[rows, 3:75].reshape(-1, JOINTS, 3), smpl[rows, 75:]
        points, surface = skin(body, pose, betas)
        joints[rows], vertices[rows] = points - points[:, :1], surface - points[:, :1]
    return joints, vertices


def skin(
    body: Mapping[str, Any], pose: np.ndarray, betas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Joints [t, j, 3] and vertices [t, v, 3] for axis-angles [t, j, 3], betas [t, b].

    Every bone is a 4 x 4 matrix, as in the paper. Computes in the precision of the
    body's arrays.
    """
    dtype = body["template"].dtype
    shaped = body["template"] + _along(body["shape_dirs"], betas.astype(dtype))
    rest = body["joint_regressor"] @ shaped  # [t, j, 3]
    turns = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().astype(dtype)
    turns = turns.reshape(*pose.shape, 3)  # [t, j, 3, 3]
    bends = turns[:, 1:] - np.eye(3, dtype=dtype)
    shaped = shaped + _along(body["pose_dirs"], bends)
    bones = np.zeros((*pose.shape[:2], 4, 4), dtype)  # joint to world
    bones[..., :3, :3], bones[..., :3, 3], bones[..., 3, 3] = turns, rest, 1
    for joint, parent in enumerate(body["parents"]):
        if parent >= 0:
            bones[:, joint, :3, 3] -= rest[:, parent]
            bones[:, joint] = bones[:, parent] @ bones[:, joint]
    joints = bones[..., :3, 3].copy()
    bones[..., :3, 3:] -= bones[..., :3, :3] @ rest[..., None]  # rest to world
    # One product of two matrices, vertices last: numpy is ten times slower otherwise.
    rows = bones[..., :3, :].transpose(0, 2, 3, 1).reshape(-1, len(body["parents"]))
    blend = (rows @ body["weights"].T).reshape(len(pose), 3, 4, -1)  # [t, 3, 4, v]
    moved = (blend[:, :, :3] * shaped.swapaxes(1, 2)[:, None]).sum(2)  # [t, 3, v]
    return joints, (moved + blend[:, :, 3]).swapaxes(1, 2)


def _along(directions: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Directions [v, 3, b] weighted with x [t, ...], b numbers each: [t, v, 3]."""
    num = directions.shape[-1]
    flat = directions.reshape(-1, num)
    return (x.reshape(len(x), num) @ flat.T).reshape(len(x), *directions.shape[:2])


def _missing(folder: pathlib.Path, names: Sequence[str] = NAMES) -> str:
    return (
        f"no SMPL model in {folder}: get the neutral one from {WHERE} and put it there "
        f"as {' or '.join(names)}"
    )


def _read(
    path: pathlib.Path, keys: tuple[str, ...], kinds: str = "fiu"
) -> dict[str, np.ndarray]:
    """The arrays `keys` of the file, as they are; `kinds` of numpy's dtypes."""
    if not path.is_file():
        names = NAMES if path.name in NAMES else (path.name,)
        raise GaitError(_missing(path.parent, names))
    try:
        content = _read_npz(path, keys) if path.suffix == ".npz" else _read_pkl(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise GaitError(
            f"cannot read {path}: {str(error).splitlines()[0]}; expected an .npz or "
            f".pkl of arrays, get it again from {WHERE}"
        ) from error
    arrays = {}
    for key in keys:
        if key not in content:
            raise GaitError(
                f"{path} has no {key}: expected {', '.join(keys)}, got "
                f"{', '.join(map(str, content)) or 'nothing'}; is it the SMPL model?"
            )
        arrays[key] = _array(path, key, content[key])
        if arrays[key].dtype.kind not in kinds:
            raise GaitError(
                f"{path}: {key} is of {arrays[key].dtype}, expected numbers; get the "
                f"file again from {WHERE}"
            )
    return arrays


def _read_npz(path: pathlib.Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    # Not np.load: it leaves a damaged file open, and also takes an .npy.
    with path.open("rb") as file, NpzFile(file) as arrays:
        return {key: arrays[key] for key in arrays.files if key in keys}


def _read_pkl(path: pathlib.Path) -> dict[str, Any]:
    content = safe_pickle.load(path, held=("scipy.sparse", "chumpy"))
    if not isinstance(content, dict):
        raise GaitError(f"{path} holds a {type(content).__name__}, expected a dict")
    return content


def _array(path: pathlib.Path, key: str, value: Any) -> np.ndarray:
    """The array that a pickled object stands for.

    Of chumpy these are its leaf, which holds the array as x, and its choice of numbers
    from another object, by flat indices: the rest of its expressions is not needed for
    SMPL.
    """
    if not isinstance(value, safe_pickle.Held):
        return np.asarray(value)
    state, kind = value.state, value.kind.split(".")[-1]
    try:
        if kind == "Ch":
            return np.asarray(state["x"])
        if kind == "Select":
            chosen = _array(path, key, state["a"]).ravel()[state["idxs"]]
            return chosen.reshape(state.get("preferred_shape", chosen.shape))
        if kind in ("csc_matrix", "csc_array"):
            parts = (state["data"], state["indices"], state["indptr"])
            matrix = scipy.sparse.csc_array(parts, state["_shape"])
            matrix.check_format()  # indices from a stranger are checked before use
            return matrix.toarray()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise GaitError(
            f"{path}: the {value.kind} in {key} is damaged ({error}); get the file "
            f"again from {WHERE}"
        ) from error
    raise GaitError(
        f"{path}: {key} is a {value.kind}, expected an array; remove chumpy with "
        "tools/clean_ch.py of github.com/vchoutas/smplx"
    )


def _check(
    path: pathlib.Path,
    key: str,
    array: np.ndarray,
    shape: tuple[int | str, ...],
    num_vertices: int,
) -> None:
    """One line for a shape other than `shape`, and for NaN and infinity."""
    least = {"v": num_vertices, "b": BETAS}
    want = [least.get(size, size) for size in shape]
    got = list(array.shape)
    if "b" in shape and len(got) == len(want) and got[-1] > BETAS:
        want[-1] = got[-1]  # release 1.1.0 has 300
    if got != want:
        raise GaitError(
            f"{path}: {key} is {got}, expected {want}; SMPL's neutral model has 24 "
            "joints, 6890 vertices and 10 betas or more (SMPL-H and SMPL-X do not fit)"
        )
    bad = np.sum(~np.isfinite(array))
    if bad:
        raise GaitError(
            f"{path}: {key} has {bad} numbers that are not finite; get the file again "
            f"from {WHERE}"
        )


def _parents(path: pathlib.Path, table: np.ndarray) -> tuple[int, ...]:
    """Every joint's parent, before it in the list, -1 for the root.

    table: parents over joints, [2, 24]; the root's parent is -1, or 2^32 - 1.
    """
    if table.shape != (2, JOINTS):
        raise GaitError(
            f"{path}: kintree_table is {list(table.shape)}, expected [2, {JOINTS}]; "
            "SMPL's neutral model has 24 joints (SMPL-H and SMPL-X do not fit)"
        )
    parents = (-1, *(int(parent) for parent in table[0, 1:]))
    tree = all(0 <= parent < joint for joint, parent in enumerate(parents[1:], 1))
    if not tree or table[1].tolist() != list(range(JOINTS)):
        raise GaitError(
            f"{path}: kintree_table is no tree with parents first, got parents "
            f"{list(parents)}; get the file again from {WHERE}"
        )
    return parents
