"""SwinGait (3D, 1-4-4-2 blocks) on GREW.

    python -m gaitjax.main --config configs/zoo/swingait_grew.py

Starts from what `configs/zoo/deepgaitv2_grew.py` left; train that first.

Published Rank-1: 79.3 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "swingait",
        "grew",
        p=32,
        k=4,
        steps=200_000,
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    common.swingait(config, until=150_000, start="runs/deepgaitv2_grew")
    config.method_args.backbone_args.layers = (1, 4, 4, 2)
    return common.scaled(config, variant)
