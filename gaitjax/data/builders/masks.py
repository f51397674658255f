"""Silhouettes: normalised ones as they are, masks through the normalisation."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from gaitjax.data.builders.modalities import Frames, Unusable, as_frames
from gaitjax.walkers.normalise import normalise

MOST_FOREGROUND = 0.6  # of a picture; a person fills less
LEAST_WHITE = 32  # of 255; chosen: part labels of a parsing are lower
TINY = 32  # rows; a person that is lower has little shape


def silhouettes(value: Any, size: tuple[int, int], normal: bool) -> Frames:
    """Silhouettes u8[t, *size] from what a file holds.

    normal: they are masks [h, w] of any size, and go through the normalisation.
    """
    frames = as_frames(value, "sils")
    shapes = sorted({frame.shape for frame in frames})
    if any(len(shape) != 2 for shape in shapes):
        raise Unusable("shape", f"sils: expected [t,h,w], got frames {shapes[0]}")
    if not normal and shapes != [size]:
        got = ", ".join(f"{h}x{w}" for h, w in shapes[:3])
        raise Unusable(
            "ragged" if len(shapes) > 1 else "size",
            f"sils: expected frames {size[0]}x{size[1]}, got {got}; give --size, or "
            "--normalise to cut, centre and resize masks",
        )
    frames, notes = _to_bytes(frames)
    check_foreground(frames)
    if normal:
        return _normalised(frames, size, notes)
    array = np.asarray(frames)
    return Frames(array, np.full(len(array), True), notes)


def pictures(files: Sequence[pathlib.Path], size: tuple[int, int]) -> Frames:
    """Silhouettes from one picture of a mask per frame, in the order of their names."""
    frames, bad = [], []
    for path in files:
        try:
            with Image.open(path) as picture:
                frames.append(np.asarray(picture.convert("L")))
        except Exception as error:  # damaged pictures raise all sorts
            bad.append(f"{path.name}, {path.stat().st_size} bytes: {error}")
    if not frames:
        raise Unusable("unreadable", f"all {len(files)} pictures (first: {bad[0]})")
    frames, notes = _to_bytes(frames)
    if bad:
        lost = f"{len(bad)} of {len(files)} left out (first: {bad[0]})"
        notes += (f"unreadable frames: {lost}",)
    check_foreground(frames)
    return _normalised(frames, size, notes)


def check_foreground(frames: Sequence[np.ndarray]) -> None:
    """Unusable where the pictures are not those of a person on black."""
    share = float(np.median([np.count_nonzero(f) / max(1, f.size) for f in frames]))
    if share > MOST_FOREGROUND:
        raise Unusable(
            "not masks",
            f"median foreground {share:.0%} (expected 5-60 %): masks look inverted or "
            "are none",
        )
    if share == 0 and not any(frame.any() for frame in frames):
        raise Unusable("no frames", "all silhouettes are empty")


def _to_bytes(
    frames: np.ndarray | list[np.ndarray],
) -> tuple[np.ndarray | list[np.ndarray], tuple[str, ...]]:
    """The same as u8, 0..255; masks of 0 and 1 are scaled, and the note says so."""
    arrays = [frames] if isinstance(frames, np.ndarray) else frames
    if not all(np.isfinite(array).all() for array in arrays):
        raise Unusable("NaN", "silhouettes hold NaN")
    low = min(array.min(initial=0) for array in arrays)
    high = max(array.max(initial=0) for array in arrays)
    notes: tuple[str, ...] = ()
    scale = 1
    if 0 < high <= 1:
        scale, notes = 255, (f"scaled: values are 0 to {high:g}, now 0 to 255",)
    elif low < 0 or high > 255 or 0 < high < LEAST_WHITE:
        raise Unusable(
            "values",
            f"sils: expected 0 to 255 or 0 to 1, got {low:g} to {high:g} (depth, or "
            "part labels?)",
        )
    if scale == 1 and all(array.dtype == np.uint8 for array in arrays):
        return frames, notes
    out = [np.rint(a.astype(np.float32) * scale).astype(np.uint8) for a in arrays]
    return (out[0] if isinstance(frames, np.ndarray) else out), notes


def _normalised(
    frames: Sequence[np.ndarray], size: tuple[int, int], notes: tuple[str, ...]
) -> Frames:
    """Every mask cut to content, centred and resized; empty ones are unusable."""
    side = size[0]
    array = np.concatenate([normalise(frame[None], side) for frame in frames])
    usable = array.any((1, 2))
    tall = [int(frame.any(1).sum()) for frame in frames]
    if np.median(tall) < TINY:
        notes += (f"tiny: {np.median(tall):.0f} rows tall before resizing",)
    cut = sum(bool(frame[:, [0, -1]].any()) for frame in frames)
    if cut:
        notes += (f"truncated: {cut} of {len(frames)} frames touch a side",)
    return Frames(array, usable, notes)
