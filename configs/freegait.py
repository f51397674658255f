"""DiffCrossGait on FreeGait: camera silhouettes against LiDAR range views, in the wild.

    python -m gaitjax.main --config configs/freegait.py

Needs the prepared data set (docs/datasets.md). The recipe is that of
`configs/sustech1k.py`: the paper has one for both. Published Rank-1: 58.5 and 61.5 % in
the two directions (not reproduced here, the data set is by agreement only).

`:walkers` is the recipe scaled down to a CPU, on a synthetic twin with FreeGait's lists
and protocol (simulated); `:tiny` is seconds of that.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.sustech1k import recipe


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("freegait", variant, ("walkers", "tiny"))
    config = recipe("freegait", variant)
    if variant == "walkers":
        config.data.update(p=16, k=3, frames=2)  # a person has few sequences
    return config
