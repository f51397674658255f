"""The keys of records and batches. Nothing else in the code lists them.

A record is one sequence. Its first axis is time for every modality, and frame i of
one modality was taken at the same moment as frame i of every other.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gaitjax.arguments import unknown
from gaitjax.errors import GaitError

LABELS = ("subject", "condition", "view", "take")
BODY = ("joints", "markers", "vertices")  # points that turn with the picture


@dataclasses.dataclass(frozen=True)
class Modality:
    """What one key of a record holds; None is an axis of any length."""

    shape: tuple[int | None, ...]
    dtype: type
    image: bool  # augmented as a picture


def modality(key: str) -> Modality:
    """The modality of a record key, or GaitError with the nearest that exists."""
    table = modalities()
    if key not in table:
        raise GaitError(unknown(key, table, "modality"))
    return table[key]


def modalities() -> dict[str, Modality]:
    """Every modality by its key; t frames first."""
    return {
        # Normalised silhouettes, 0..255 (128 x 128 for GLN).
        "sils": Modality((None, None, None), np.uint8, True),
        # LiDAR range views in jet colours.
        "ranges": Modality((None, 64, 64, 3), np.uint8, True),
        # LiDAR points in the sensor's frame, metres; rows of NaN fill a frame up to
        # the sequence's largest as it is stored, to data.points in a batch.
        "points": Modality((None, None, 3), np.float32, False),
        # Pose heat maps: bones, joints.
        "heatmaps": Modality((None, 64, 64, 2), np.uint8, True),
        # 3D labels in metres, camera frame; rows of NaN where a frame has none.
        "joints": Modality((None, 24, 3), np.float32, False),
        "markers": Modality((None, 64, 3), np.float32, False),
        "vertices": Modality((None, None, 3), np.float32, False),
        # SMPL: camera 3, pose 72, betas 10.
        "smpl": Modality((None, 85), np.float32, False),
    }
