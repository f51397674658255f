"""Selective Fusion on Outdoor-Gait: recognition learnt without labels.

    python -m gaitjax.main --config configs/outdoor_gait_selective_fusion.py:walkers

The recipe of configs/casia_bn_selective_fusion.py with smaller batches and clusters.
Published Rank-1 NM / BG / CL with GaitSet: 45.8 / 46.4 / 43.3 pre-trained, 90.0 /
73.7 / 71.9 after (not reproduced here, the data set is by agreement only). `:walkers`
and `:tiny` are on synthetic twins.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.casia_bn_selective_fusion import chosen, recipe


def get_config(variant: str | None = None) -> ConfigDict:
    return chosen("outdoor_gait_selective_fusion", variant, outdoor_gait)


def outdoor_gait(variant: str) -> ConfigDict:
    config = recipe("outdoor_gait", variant)
    if not variant:
        config.data.k = 8
        config.method_args.update(neighbours=20, smallest=2)
    return config
