"""DeepGaitV2 (P3D, 1-1-1-1 blocks) on CASIA-B.

    python -m gaitjax.main --config configs/zoo/deepgaitv2_casia_b.py

Published Rank-1: not published where we looked.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "deepgaitv2",
        "casia_b",
        p=8,
        k=16,
        steps=60_000,
        milestones=(20_000, 40_000, 50_000),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
