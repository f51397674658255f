"""GaitGL on CASIA-B.

    python -m gaitjax.main --config configs/zoo/gaitgl_casia_b.py

Published Rank-1, same view left out, NM / BG / CL: 97.4 / 94.5 / 83.8 % (OpenGait model
zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitgl",
        "casia_b",
        p=8,
        k=8,
        steps=80_000,
        milestones=(70_000,),
        order="ordered",
    )
    config.method_args.update(ce_scale=1.0, ce_smoothing=0.0)
    common.adam(config, lr=1e-4, weight_decay=5e-4)
    return common.scaled(config, variant)
