"""GaitBase on OU-MVLP.

    python -m gaitjax.main --config configs/zoo/gaitbase_oumvlp.py

Published Rank-1, same view left out: 90.8 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitbase",
        "oumvlp",
        p=32,
        k=8,
        steps=120_000,
        milestones=(60_000, 80_000, 100_000),
    )
    return common.scaled(config, variant)
