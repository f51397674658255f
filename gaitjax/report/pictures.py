"""Pictures made of frames, as arrays u8[y,x,3]."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import matplotlib
import numpy as np
from PIL import Image

from gaitjax.retrieval.rank_lists import RankList

RIGHT, WRONG, PROBE = (0, 158, 115), (213, 64, 50), (128, 128, 128)
Frames = Callable[[str, int], np.ndarray]


def rank_list_picture(
    one: RankList,
    frames: Frames,
    probe: str,
    gallery: str,
    num_frames: int = 2,
) -> np.ndarray:
    """The probe (grey frame) and what it found, side by side: u8[y,x,3].

    Each sequence is a strip of frames, downwards, spread evenly over its time. A
    right one has a green frame, a wrong one a red frame with gaps.

    frames: modality, record number -> u8[t,h,w], u8[t,h,w,3] for range views.
    probe, gallery: their modalities.
    """
    strips = [_framed(strip(frames(probe, one.probe), num_frames), PROBE, True)]
    for row, right in zip(one.gallery, one.right, strict=True):
        found = strip(frames(gallery, row), num_frames)
        strips.append(_framed(found, RIGHT if right else WRONG, right))
    return beside(strips)


def overlay(frames: np.ndarray, heat: np.ndarray, scale: int = 2) -> np.ndarray:
    """Frames in a row, and below them the same under their heat: u8[y,x,3].

    frames: u8[t,h,w] or u8[t,h,w,c]. heat: f32[t,h',w'] in [0, 1], spread over each
    frame. scale: pixels per pixel.
    """
    height, width = (scale * size for size in frames.shape[1:3])
    colours = matplotlib.colormaps["inferno"]
    columns = []
    for frame, warm in zip(colour(frames), heat, strict=True):
        plain = np.asarray(Image.fromarray(frame).resize((width, height), 0))
        warm = Image.fromarray(np.float32(warm)).resize((width, height), 2)  # bilinear
        warm = np.clip(np.asarray(warm), 0, 1)
        # The silhouette stays visible, dimmed, where nothing matters.
        mixed = 0.35 * plain + 255 * 0.8 * colours(warm)[..., :3]
        mixed = np.uint8(np.clip(mixed, 0, 255))
        columns.append(_margin(np.concatenate([plain, mixed]), 2))
    return beside(columns)


def colour(frames: np.ndarray) -> np.ndarray:
    """u8[t,h,w], or of 1 or 2 channels, -> u8[t,h,w,3]."""
    if frames.ndim == 3:
        frames = frames[..., None]
    if frames.shape[-1] == 3:
        return frames
    if frames.shape[-1] == 2:  # heat maps of bones and of joints
        return np.concatenate([frames, np.zeros_like(frames[..., :1])], -1)
    return np.repeat(frames[..., :1], 3, -1)


def spread(num_frames: int, number: int) -> np.ndarray:
    """Frame numbers evenly over a sequence; of a short one some twice."""
    return np.linspace(0, num_frames - 1, number).round().astype(int)


def strip(frames: np.ndarray, number: int) -> np.ndarray:
    """u8[t,h,w(,c)] -> u8[number*h,w,3]."""
    return np.concatenate(colour(frames[spread(len(frames), number)]))


def beside(strips: list[np.ndarray]) -> np.ndarray:
    """Pictures of unlike heights in a row, on black."""
    height = max(len(one) for one in strips)
    filled = [np.pad(one, ((0, height - len(one)), (0, 0), (0, 0))) for one in strips]
    return np.concatenate(filled, 1)


def png_data(image: np.ndarray) -> str:
    """u8[y,x,3] as the address of an `<img>` that needs no file."""
    data = io.BytesIO()
    # Of a palette of 256 colours: a third of the bytes.
    small = Image.fromarray(image).quantize(256, dither=Image.Dither.NONE)
    small.save(data, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _framed(one: np.ndarray, tint: tuple[int, int, int], whole: bool) -> np.ndarray:
    """A frame of 4 pixels around a strip and a margin outside it."""
    width, margin = 4, 3
    around = ((width, width), (width, width), (0, 0))
    inside = np.pad(np.zeros(one.shape[:2], bool), width, constant_values=True)
    framed = np.pad(one, around)
    if not whole:  # also for those who do not tell red from green
        row, column = np.indices(inside.shape)
        inside &= (row + column) // 8 % 2 == 0
    framed[inside] = tint
    return _margin(framed, margin)


def _margin(image: np.ndarray, margin: int) -> np.ndarray:
    return np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
