"""GaitBase on GREW: clips of 20 to 40 frames.

    python -m gaitjax.main --config configs/zoo/gaitbase_grew.py

Published Rank-1: 60.1 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitbase",
        "grew",
        p=32,
        k=4,
        steps=180_000,
        milestones=(80_000, 120_000, 150_000),
        frames=20,
        frames_max=40,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    return common.scaled(config, variant)
