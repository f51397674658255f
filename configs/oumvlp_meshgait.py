"""Mesh-Gait on OUMVLP-Mesh: silhouettes, and the body that they show.

    python -m gaitjax.main --config configs/oumvlp_meshgait.py:walkers

The recipe of configs/gait3d_meshgait.py with OU-MVLP's schedule. The published recipe
needs OU-MVLP's silhouettes prepared with the joints and meshes of OUMVLP-Mesh beside
them; that set's layout could not be learnt, docs/meshgait.md says what is read.
Published Rank-1: 88.7 (not reproduced here, the data set is by agreement only).
`:walkers` and `:tiny` are on a synthetic twin.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.gait3d_meshgait import recipe


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("oumvlp_meshgait", variant, ("walkers", "tiny"))
    config = recipe("oumvlp", variant)
    if not variant:
        config.data.name = "oumvlp/sils+joints+vertices"
        config.data.k = 8
        config.optim.milestones = (60_000, 80_000, 100_000)
        config.train.steps = 120_000
    return config
