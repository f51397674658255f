"""DeepGaitV2 (P3D, 1-4-4-1 blocks) on Gait3D.

    python -m gaitjax.main --config configs/zoo/deepgaitv2_gait3d.py

Published Rank-1: 74.4 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "deepgaitv2",
        "gait3d",
        p=32,
        k=4,
        steps=60_000,
        milestones=(20_000, 40_000, 50_000),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    config.method_args.backbone_args.layers = (1, 4, 4, 1)
    return common.scaled(config, variant)
