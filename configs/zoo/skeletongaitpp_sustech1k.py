"""SkeletonGait++ (pose heat maps and silhouettes) on SUSTech1K.

    python -m gaitjax.main --config configs/zoo/skeletongaitpp_sustech1k.py

Poses and silhouettes at the camera's 30 Hz.

Published Rank-1, overall: 85.6 % (OpenGait model zoo), 81.3 % (OpenGait's
configs/skeletongait/README); not measured here.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "skeletongaitpp",
        "sustech1k/native-sils+heatmaps",
        p=8,
        k=8,
        steps=50_000,
        milestones=(20_000, 30_000, 40_000),
        frames=10,
        inputs=("heatmaps", "sils"),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
