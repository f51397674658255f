"""Turns what a file holds into frames of one modality, as the schema wants them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from gaitjax.data import schema
from gaitjax.errors import GaitError
from gaitjax.walkers import pose

GREW_ROW = 53  # numbers of a pose as GREW stores it: two, then 17 joints


class Unusable(GaitError):
    """Why a sequence is dropped. kind: a word or two to count by."""

    def __init__(self, kind: str, line: str):
        super().__init__(f"{kind}: {line}")


@dataclasses.dataclass(frozen=True)
class Frames:
    """array [t, ...] as it is stored; usable bool[t]; notes, `kind: what` each."""

    array: np.ndarray
    usable: np.ndarray
    notes: tuple[str, ...] = ()


def read(key: str, value: Any, shape: Sequence[int | None] | None = None) -> Frames:
    """The frames of any modality but silhouettes; Unusable where they are none.

    shape: of a frame of labels, the schema's if None.
    """
    readers = {"ranges": ranges, "points": points, "heatmaps": heatmaps}
    return readers[key](value) if key in readers else labels(key, value, shape)


def as_frames(value: Any, key: str) -> np.ndarray | list[np.ndarray]:
    """An array [t, ...], or a list of arrays where frames differ in shape."""
    if isinstance(value, np.ndarray) and value.dtype != object and value.ndim:
        frames: np.ndarray | list = value
    elif isinstance(value, list | tuple) or np.ndim(value) == 1:
        frames = [np.asarray(frame) for frame in value]
        if any(frame.dtype.kind not in "biuf" for frame in frames):
            raise _other(key, "frames that are arrays of numbers", value)
        if frames and len({(f.shape, f.dtype) for f in frames}) == 1:
            frames = np.stack(frames)
    else:
        raise _other(key, "an array [t, ...] or a list of frames", value)
    if isinstance(frames, np.ndarray) and frames.dtype.kind not in "biuf":
        raise _other(key, "numbers", value)
    if not len(frames):
        raise Unusable("no frames", f"{key} is empty")
    return frames


def whole(value: Any, key: str) -> np.ndarray:
    """Frames of one shape, [t, ...]."""
    frames = as_frames(value, key)
    if isinstance(frames, list):
        sizes = sorted({"x".join(map(str, frame.shape)) for frame in frames})
        raise Unusable(
            "ragged", f"{key} has frames of {len(sizes)} sizes ({', '.join(sizes[:3])})"
        )
    return frames


def ranges(value: Any) -> Frames:
    """LiDAR range views u8[t, 64, 64, 3] from [t, 3, 64, 64] or the same order."""
    array = _channels_last(whole(value, "ranges"), 3)
    _check("ranges", array, np.uint8)
    return Frames(array, np.full(len(array), True))


def points(value: Any) -> Frames:
    """Points f32[t, m, 3] from clouds [n_i, 3 or more], metres: each frame's finite
    points, filled up with NaN to the sequence's largest frame."""
    clouds = [np.asarray(cloud) for cloud in as_frames(value, "points")]
    for cloud in clouds:
        if cloud.size and (cloud.ndim != 2 or cloud.shape[1] < 3):
            raise Unusable(
                "shape", f"points: expected clouds [n,3], got {_spell(cloud.shape)}"
            )
    clouds = [c[:, :3] if c.size else np.empty((0, 3)) for c in clouds]
    finite = [cloud[np.isfinite(cloud).all(1)] for cloud in clouds]
    counts = np.array([len(cloud) for cloud in finite])
    array = np.full((len(finite), max(1, counts.max()), 3), np.nan, np.float32)
    for frame, cloud in zip(array, finite, strict=True):
        frame[: len(cloud)] = cloud
    total = sum(map(len, clouds))
    lost = total - counts.sum()
    notes = (f"NaN points: {lost} of {total} left out",) if lost else ()
    return Frames(array, counts > 0, notes)


def heatmaps(value: Any) -> Frames:
    """Heat maps u8[t, 64, 64, 2] from [t, 2, 64, 64] or the same order, or drawn from
    poses [t, 17 (COCO) or 18 (OpenPose), 3]."""
    array = whole(value, "heatmaps")
    notes: tuple[str, ...] = ()
    if array.ndim == 2 and array.shape[1] == GREW_ROW:
        array = array[:, 2:].reshape(len(array), 17, 3)
    if array.ndim == 3:
        if array.shape[1:] == (18, 3):
            array = pose.coco_from_openpose18(array)
        elif array.shape[1:] != (17, 3):
            got = _spell(array.shape)
            raise Unusable("shape", f"poses: expected [t,17,3] or [t,18,3], got {got}")
        bad = ~np.isfinite(array).all((1, 2))
        if bad.any():
            notes = (
                f"NaN joints: in {bad.sum()} of {len(array)} frames, as not found",
            )
        array = pose.heat_maps(array)
    array = _channels_last(array, 2)
    _check("heatmaps", array, np.uint8)
    return Frames(array, np.full(len(array), True), notes)


def labels(key: str, value: Any, shape: Sequence[int | None] | None = None) -> Frames:
    """Numbers of a body, f32 in the schema's shape, or in one that is narrower. A frame
    with NaN stays: losses mask it."""
    array = whole(value, key)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    _check(key, array, np.float32, shape)
    bad = ~np.isfinite(array).all(tuple(range(1, array.ndim)))
    if bad.all():
        raise Unusable("NaN", f"{key} has no frame without NaN")
    note = f"NaN labels: {key} in {bad.sum()} of {len(array)} frames, kept as NaN"
    return Frames(array, np.full(len(array), True), (note,) if bad.any() else ())


def _channels_last(array: np.ndarray, channels: int) -> np.ndarray:
    if array.ndim == 4 and array.shape[1] == channels != array.shape[-1]:
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    return array


def _check(
    key: str,
    array: np.ndarray,
    dtype: type,
    shape: Sequence[int | None] | None = None,
) -> None:
    want = (None, *(shape or schema.modality(key).shape[1:]))
    fits = array.ndim == len(want) and all(
        size in (None, got) for size, got in zip(want, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        raise Unusable(
            "shape",
            f"{key}: expected {np.dtype(dtype)} {_spell(want)}, "
            f"got {array.dtype} {_spell(array.shape)}",
        )


def _other(key: str, want: str, value: Any) -> Unusable:
    return Unusable("content", f"{key}: expected {want}, got {type(value).__name__}")


def _spell(shape: Sequence[int | None]) -> str:
    return "x".join("t" if size is None else str(size) for size in shape)
