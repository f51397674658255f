"""SkeletonGait (DeepGaitV2 on pose heat maps) on CCPG.

    python -m gaitjax.main --config configs/zoo/skeletongait_ccpg.py

Evaluated behind the BNNeck.

Published Rank-1, CL / UP / DN / BG: 52.4 / 65.4 / 72.8 / 80.9 % (OpenGait's
configs/skeletongait/README; protocol not stated; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "deepgaitv2",
        "ccpg/heatmaps",
        p=8,
        k=16,
        steps=60_000,
        milestones=(20_000, 30_000, 40_000),
        inputs=("heatmaps",),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    config.method_args.backbone_args.unit_embeddings = True
    return common.scaled(config, variant)
