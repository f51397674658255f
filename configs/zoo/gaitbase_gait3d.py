"""GaitBase on Gait3D: clips of 10 to 50 frames.

    python -m gaitjax.main --config configs/zoo/gaitbase_gait3d.py

Published Rank-1: 64.6 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitbase",
        "gait3d",
        p=32,
        k=4,
        steps=60_000,
        milestones=(20_000, 40_000, 50_000),
        frames=10,
        frames_max=50,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
