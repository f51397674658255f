"""GaitPart on CASIA-B.

    python -m gaitjax.main --config configs/zoo/gaitpart_casia_b.py

Published Rank-1, same view left out, NM / BG / CL: 96.1 / 90.7 / 78.7 % (OpenGait model
zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitpart",
        "casia_b",
        p=8,
        k=16,
        steps=120_000,
        milestones=(100_000,),
        order="ordered",
        skip=10,
    )
    common.triplet_only(config)
    common.adam(config, lr=1e-4, weight_decay=0.0)
    return common.scaled(config, variant)
