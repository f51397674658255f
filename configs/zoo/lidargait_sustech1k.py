"""LidarGait (GaitBase on LiDAR range views) on SUSTech1K.

    python -m gaitjax.main --config configs/zoo/lidargait_sustech1k.py

Range views at the LiDAR's 10 Hz: `prepare_dataset.py sustech1k/native-ranges`.

Published Rank-1, overall: 86.8 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitbase",
        "sustech1k/native-ranges",
        p=8,
        k=8,
        steps=40_000,
        milestones=(20_000, 30_000),
        frames=10,
        inputs=("ranges",),
    )
    return common.scaled(config, variant)
