"""SkeletonGait++ (pose heat maps and silhouettes) on CCPG.

    python -m gaitjax.main --config configs/zoo/skeletongaitpp_ccpg.py

Published Rank-1, CL / UP / DN / BG: 79.1 / 83.9 / 81.7 / 89.9 % (gait protocol;
BiggerGait, NeurIPS 2025, table 1; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "skeletongaitpp",
        "ccpg/sils+heatmaps",
        p=8,
        k=16,
        steps=60_000,
        milestones=(20_000, 30_000, 40_000),
        inputs=("heatmaps", "sils"),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
