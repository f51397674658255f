"""Augmentation of pictures by numpy and scipy, in double precision."""

import numpy as np
from scipy import ndimage

from gaitjax.data.augment import perspective_matrix, rotation_matrix


def warp(frames, matrix):
    """Bilinear, zeros outside: u8 [t, h, w(, c)] and f64 [3, 3] -> u8."""
    h, w = frames.shape[1:3]
    y, x = np.mgrid[:h, :w]
    u, v, s = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
    planes = np.moveaxis(frames.reshape(*frames.shape[:3], -1), 3, 1)
    out = [
        [
            ndimage.map_coordinates(
                plane.astype(np.float64),
                np.stack([v / s, u / s]),
                order=1,
                mode="grid-constant",
                prefilter=False,
            )
            for plane in frame
        ]
        for frame in planes
    ]
    return (
        np.rint(np.moveaxis(np.array(out), 1, 3)).astype(np.uint8).reshape(frames.shape)
    )


def pictures(draw, frames):
    """What `draw` does to u8 [t, h, w(, c)], step by step."""
    if draw.corners is not None:
        frames = warp(frames, perspective_matrix(frames.shape[1:3], draw.corners))
    cut = (frames.shape[2] - draw.kept) // 2
    frames = frames[:, :, cut : cut + draw.kept]
    if draw.flip:
        frames = frames[:, :, ::-1]
    if draw.angle is not None:
        frames = warp(frames, rotation_matrix(frames.shape[1:3], draw.angle))
    if draw.hole is not None:
        top, left, height, width = draw.hole
        frames = frames.copy()
        frames[:, top : top + height, left : left + width] = 0
    return frames
