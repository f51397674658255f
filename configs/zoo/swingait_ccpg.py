"""SwinGait (3D, 1-1-2-2 blocks) on CCPG.

    python -m gaitjax.main --config configs/zoo/swingait_ccpg.py

Starts from what `configs/zoo/deepgaitv2_ccpg.py` left; train that first.

Published Rank-1: not published where we looked.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "swingait",
        "ccpg",
        p=8,
        k=16,
        steps=80_000,
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    common.swingait(config, until=60_000, start="runs/deepgaitv2_ccpg")
    return common.scaled(config, variant)
