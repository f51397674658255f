"""GaitBase on CCPG.

    python -m gaitjax.main --config configs/zoo/gaitbase_ccpg.py

Published Rank-1, CL / UP / DN / BG: 71.6 / 75.0 / 76.8 / 78.6 % (gait protocol;
BiggerGait, NeurIPS 2025, table 1; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitbase", "ccpg", p=8, k=16, steps=60_000, milestones=(20_000, 40_000, 50_000)
    )
    return common.scaled(config, variant)
