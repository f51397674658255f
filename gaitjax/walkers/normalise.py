"""The standard silhouette normalisation: crop by height, resize, centre.

As OpenGait's preprocessing (rows cut to content, height to 64 keeping the ratio,
centred on the column where the running column sum passes half, 64 columns), with area
averaging in place of bicubic interpolation, and no frame is ever dropped.
"""

from __future__ import annotations

import numpy as np

STEPS = 256  # weights are whole multiples of 1 / STEPS


def normalise(masks: np.ndarray, size: int = 64) -> np.ndarray:
    """Masks [t, H, W], bool or grey uint8 (0..255), to uint8 [t, size, size], 0..255.

    A frame with nothing in it is returned as all zero.
    """
    return resample(masks, *extent(masks), size)


def extent(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of masks or brightness [t, H, W]: the first row, the row after the last and the
    column where half of the mass is passed, each [t]."""
    rows = masks.shape[1]
    occupied = masks.any(2)  # [t, H]
    top = occupied.argmax(1)
    bottom = rows - occupied[:, ::-1].argmax(1)
    mass = masks.sum(1, dtype=np.int64).cumsum(1)  # [t, W]
    middle = (2 * mass > mass[:, -1:]).argmax(1) + 0.5
    return top, bottom, middle


def resample(
    pictures: np.ndarray,
    top: np.ndarray,
    bottom: np.ndarray,
    middle: np.ndarray,
    size: int = 64,
) -> np.ndarray:
    """Rows top to bottom of pictures [t, ..., H, W] to `size` rows and as many columns
    around the middle, uint8 [t, ..., size, size]."""
    rows, columns = pictures.shape[-2:]
    scale = (bottom - top) / size  # [t], pixels per output pixel
    down = _weights(rows, top, scale, size, top, bottom)
    outside = np.full(len(top), -1), np.full(len(top), columns + 1)
    across = _weights(columns, middle - 0.5 * size * scale, scale, size, *outside)
    channels = (len(top),) + (1,) * (pictures.ndim - 3)
    down = down.reshape(*channels, size, rows)
    across = across.transpose(0, 2, 1).reshape(*channels, columns, size)
    # Two batched products. All terms are whole and below 2^24, so float32 is exact and
    # no order of summation, whatever the number of threads, changes a bit.
    out = down @ pictures.astype(np.float32) @ across
    out *= (255.0 if pictures.dtype == np.bool_ else 1.0) / STEPS**2
    return np.rint(out).astype(np.uint8)


def _weights(
    length: int,
    origin: np.ndarray,
    scale: np.ndarray,
    size: int,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Share of each input pixel in each output pixel, f32[t, size, length] x STEPS.

    An output pixel is a box of its own width, at least one pixel wide: the mean over
    its area going down in size, linear interpolation going up. What a box would take
    from beyond low or high it takes from the pixel there.
    """
    width = np.maximum(scale, 1.0)[:, None]
    centre = origin[:, None] + (np.arange(size) + 0.5) * scale[:, None]  # [t, size]
    first = (centre / width - 0.5).astype(np.float32)[..., None]
    edges = np.arange(length + 1, dtype=np.float32)
    share = (edges / width).astype(np.float32)[:, None] - first  # [t, size, length + 1]
    np.clip(share, 0, 1, out=share)
    share *= STEPS
    np.rint(share, out=share)
    np.copyto(share, 0, where=(edges <= low[:, None])[:, None])
    np.copyto(share, STEPS, where=(edges >= high[:, None])[:, None])
    return np.diff(share)
