"""DeepGaitV2 (P3D, 1-1-1-1 blocks) on OU-MVLP.

    python -m gaitjax.main --config configs/zoo/deepgaitv2_oumvlp.py

Published Rank-1, same view left out: 92.0 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "deepgaitv2",
        "oumvlp",
        p=32,
        k=8,
        steps=120_000,
        milestones=(60_000, 80_000, 100_000),
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
