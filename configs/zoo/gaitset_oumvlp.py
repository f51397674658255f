"""GaitSet on OU-MVLP: twice the channels.

    python -m gaitjax.main --config configs/zoo/gaitset_oumvlp.py

Published Rank-1, same view left out: 87.2 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitset", "oumvlp", p=32, k=16, steps=250_000, milestones=(150_000,)
    )
    common.triplet_only(config)
    common.adam(config, lr=1e-4, weight_decay=0.0)
    config.method_args.backbone_args.channels = (64, 128, 256)
    return common.scaled(config, variant)
