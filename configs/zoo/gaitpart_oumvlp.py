"""GaitPart on OU-MVLP: two more convolutions, twice the channels.

    python -m gaitjax.main --config configs/zoo/gaitpart_oumvlp.py

Published Rank-1, same view left out: 88.6 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitpart",
        "oumvlp",
        p=32,
        k=16,
        steps=250_000,
        milestones=(150_000,),
        order="ordered",
        skip=10,
    )
    common.triplet_only(config)
    common.adam(config, lr=1e-4, weight_decay=0.0)
    config.method_args.backbone_args.update(
        layers=("BC-32", "BC-32", "M", "BC-64", "BC-64", "M")
        + ("FC-128-3", "FC-128-3", "FC-256-3", "FC-256-3"),
        features=256,
    )
    return common.scaled(config, variant)
