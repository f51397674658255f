"""GaitGL on OU-MVLP: two convolutions per stage, two strips.

    python -m gaitjax.main --config configs/zoo/gaitgl_oumvlp.py

Published Rank-1, same view left out: 89.9 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitgl",
        "oumvlp",
        p=32,
        k=8,
        steps=210_000,
        milestones=(150_000, 200_000),
        order="ordered",
    )
    config.method_args.ce_scale = 1.0
    common.adam(config, lr=1e-4, weight_decay=0.0)
    config.method_args.backbone_args.update(
        channels=(32, 64, 128, 256), convs=2, halvings=1
    )
    return common.scaled(config, variant)
