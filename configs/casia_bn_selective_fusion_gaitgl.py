"""Selective Fusion on CASIA-BN with the paper's other backbone, GaitGL.

    python -m gaitjax.main --config configs/casia_bn_selective_fusion_gaitgl.py:walkers

The recipe of configs/casia_bn_selective_fusion.py, whose classifier of views it shares.
Published Rank-1 NM / BG / CL: 75.0 / 60.8 / 23.9 pre-trained, 89.3 / 82.8 / 65.6 after
(not reproduced here, the data sets are by agreement only). `:walkers` and `:tiny` are
on synthetic twins, `:pretraining` and `:walkers-pretraining` what comes before.
"""

from __future__ import annotations

import functools

from ml_collections import ConfigDict

from configs.casia_bn_selective_fusion import casia_bn, chosen


def get_config(variant: str | None = None) -> ConfigDict:
    name = "casia_bn_selective_fusion_gaitgl"
    return chosen(name, variant, functools.partial(casia_bn, backbone="gaitgl"))
