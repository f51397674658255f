"""SMPLGait (silhouettes and SMPL) on Gait3D.

    python -m gaitjax.main --config configs/zoo/smplgait_gait3d.py

Published Rank-1: 48.3 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "smplgait",
        "gait3d/sils+smpl",
        p=32,
        k=4,
        steps=60_000,
        milestones=(20_000, 40_000, 50_000),
        inputs=("sils", "smpl"),
    )
    config.method_args.ce_weight = 0.1
    return common.scaled(config, variant)
