"""SkeletonGait++ (pose heat maps and silhouettes) on GREW.

    python -m gaitjax.main --config configs/zoo/skeletongaitpp_grew.py

Published Rank-1: 85.8 % (OpenGait model zoo), 87.0 % (OpenGait's
configs/skeletongait/README); not measured here.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "skeletongaitpp",
        "grew/sils+heatmaps",
        p=32,
        k=4,
        steps=180_000,
        milestones=(80_000, 120_000, 150_000),
        inputs=("heatmaps", "sils"),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    config.method_args.backbone_args.layers = (1, 4, 4, 1)
    return common.scaled(config, variant)
