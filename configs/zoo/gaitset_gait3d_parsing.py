"""GaitSet on Gait3D.

    python -m gaitjax.main --config configs/zoo/gaitset_gait3d_parsing.py

OpenGait's recipe for Gait3D-Parsing, on Gait3D's silhouettes: part labels are no masks,
and nothing here reads them.

Published Rank-1: 55.9 % with part labels, 36.7 % with silhouettes by a recipe that we
did not find (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gaitset", "gait3d", p=32, k=4, steps=180_000, milestones=(30_000, 90_000)
    )
    common.triplet_only(config)
    common.adam(config, lr=1e-3, weight_decay=5e-4)
    config.eval.distances = ("cosine",)
    return common.scaled(config, variant)
