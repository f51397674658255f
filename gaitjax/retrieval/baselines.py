"""Embeddings without a network, as rivals under the same protocol.

A trained method that does not beat the mean silhouette (Han and Bhanu, TPAMI
2006) or the mere size of the body has learned nothing of gait. Numpy; each gives
f32[1,d], one part, ready for `search.evaluate` once stacked to [n,1,d].
"""

from __future__ import annotations

import numpy as np


def gait_energy_image(sils: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Mean silhouette over time: u8[t,h,w] -> f32[1,h*w], values 0 to 1.

    mask: bool[t], True = a real frame; all of them when left out.
    """
    frames = _real_frames(sils, mask)
    return (frames.mean(0, dtype=np.float32) / np.float32(255)).reshape(1, -1)


def size_statistics(sils: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Mean and deviation over time of area, width and height: u8[t,h,w] -> f32[1,6].

    In pixels of the normalised silhouette, where the height hardly varies; frames
    without a foreground pixel are left out. Zeros when none has one.
    """
    body = _real_frames(sils, mask) > 127
    body = body[body.any((1, 2))]
    if not len(body):
        return np.zeros((1, 6), np.float32)
    area = body.sum((1, 2))
    sizes = np.stack([area, _extent(body.any(1)), _extent(body.any(2))], 1)  # [t,3]
    return np.concatenate([sizes.mean(0), sizes.std(0)]).astype(np.float32)[None]


def standardise(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """To mean 0 and deviation 1 over the reference set: f32[n,p,d], f32[m,p,d].

    Size statistics have unlike units; the training split is the reference. What
    is constant there is only centred.
    """
    spread = reference.std(0)
    spread = np.where(spread > 0, spread, 1)
    return ((features - reference.mean(0)) / spread).astype(np.float32)


def _real_frames(sils: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    frames = sils if mask is None else sils[np.asarray(mask, bool)]
    if not len(frames):
        raise ValueError(
            f"a sequence wants one frame or more, got {sils.shape[0]}, "
            "all masked; leave it out of the split"
        )
    return frames


def _extent(occupied: np.ndarray) -> np.ndarray:
    """First to last True along the last axis: bool[t,x] -> int[t]."""
    first = occupied.argmax(1)
    last = occupied.shape[1] - occupied[:, ::-1].argmax(1)
    return last - first
