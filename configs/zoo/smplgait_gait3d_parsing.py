"""SMPLGait (silhouettes and SMPL) on Gait3D, a longer recipe.

    python -m gaitjax.main --config configs/zoo/smplgait_gait3d_parsing.py

OpenGait's recipe for Gait3D-Parsing, on Gait3D's silhouettes: part labels are no masks,
and nothing here reads them.

Published Rank-1: 60.6 % with part labels (OpenGait model zoo; not measured here).
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
        steps=180_000,
        milestones=(30_000, 90_000),
        inputs=("sils", "smpl"),
    )
    config.method_args.ce_weight = 0.1
    common.adam(config, lr=1e-3, weight_decay=5e-4)
    config.eval.distances = ("cosine",)
    return common.scaled(config, variant)
