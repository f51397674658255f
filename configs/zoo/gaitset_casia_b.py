"""GaitSet on CASIA-B.

    python -m gaitjax.main --config configs/zoo/gaitset_casia_b.py

Published Rank-1, same view left out, NM / BG / CL: 95.8 / 90.0 / 75.4 % (OpenGait model
zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitset",
        "casia_b",
        p=8,
        k=16,
        steps=40_000,
        milestones=(10_000, 20_000, 30_000),
    )
    common.triplet_only(config)
    return common.scaled(config, variant)
