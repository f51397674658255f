"""GLN on CASIA-B, phase 1: the strips.

    python -m gaitjax.main --config configs/zoo/gln_casia_b_p1.py

Silhouettes of 128 x 128, cut to 128 x 88: `prepare_dataset.py casia_b/128x128`.

Published Rank-1, same view left out, NM / BG / CL: 96.4 / 93.1 / 81.0 % (OpenGait model
zoo, after both phases, by the embedding before the compact block; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "gln",
        "casia_b/128x128",
        p=8,
        k=16,
        steps=40_000,
        milestones=(10_000, 20_000, 30_000),
        order="ordered",
    )
    common.triplet_only(config)
    return common.scaled(config, variant)
