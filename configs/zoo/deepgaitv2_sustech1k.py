"""DeepGaitV2 (P3D, 1-1-1-1 blocks) on SUSTech1K.

    python -m gaitjax.main --config configs/zoo/deepgaitv2_sustech1k.py

Silhouettes at the camera's 30 Hz: `prepare_dataset.py sustech1k/native-sils`.

Published Rank-1, overall: 82.4 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "deepgaitv2",
        "sustech1k/native-sils",
        p=8,
        k=8,
        steps=50_000,
        milestones=(20_000, 30_000, 40_000),
        frames=10,
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
