"""SkeletonGait++ (pose heat maps and silhouettes) on Gait3D.

    python -m gaitjax.main --config configs/zoo/skeletongaitpp_gait3d.py

OpenGait does not cut here: its Gait3D was stored 64 x 44 for this. Ours is 64 x 64, so
the cut stays.

Published Rank-1: 77.6 % (OpenGait model zoo), 77.4 % (OpenGait's
configs/skeletongait/README); not measured here.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "skeletongaitpp",
        "gait3d/sils+heatmaps",
        p=32,
        k=4,
        steps=60_000,
        milestones=(20_000, 30_000, 40_000),
        inputs=("heatmaps", "sils"),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    config.method_args.backbone_args.layers = (1, 4, 4, 1)
    return common.scaled(config, variant)
