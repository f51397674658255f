"""SkeletonGait (DeepGaitV2 on pose heat maps) on SUSTech1K.

    python -m gaitjax.main --config configs/zoo/skeletongait_sustech1k.py

Poses at the camera's 30 Hz; frames in any order.

Published Rank-1, overall: 51.5 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "deepgaitv2",
        "sustech1k/native-heatmaps",
        p=8,
        k=8,
        steps=50_000,
        milestones=(20_000, 30_000, 40_000),
        frames=10,
        inputs=("heatmaps",),
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
