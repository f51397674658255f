"""GLN on Gait3D, phase 1, at 64 x 44.

    python -m gaitjax.main --config configs/zoo/gln_gait3d_parsing_p1.py

OpenGait's recipe for Gait3D-Parsing, on Gait3D's silhouettes: part labels are no masks,
and nothing here reads them.

Published Rank-1: 45.7 % with part labels, 31.4 % with silhouettes by a recipe that we
did not find (OpenGait and Gait3D-Benchmark model zoos; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gln",
        "gait3d",
        p=32,
        k=4,
        steps=180_000,
        milestones=(30_000, 90_000),
        order="ordered",
    )
    common.triplet_only(config)
    common.adam(config, lr=1e-3, weight_decay=5e-4)
    config.eval.distances = ("cosine",)
    return common.scaled(config, variant)
