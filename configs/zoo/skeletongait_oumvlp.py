"""SkeletonGait (DeepGaitV2 on pose heat maps) on OU-MVLP.

    python -m gaitjax.main --config configs/zoo/skeletongait_oumvlp.py

Published Rank-1, same view left out: 67.4 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "deepgaitv2",
        "oumvlp/heatmaps",
        p=32,
        k=8,
        steps=120_000,
        milestones=(60_000, 80_000, 100_000),
        inputs=("heatmaps",),
        order="ordered",
        skip=4,
        flip=0.5,
    )
    return common.scaled(config, variant)
