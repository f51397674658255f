"""Selective Fusion on GREW: recognition learnt without labels.

    python -m gaitjax.main --config configs/grew_selective_fusion.py:walkers

The recipe of configs/casia_bn_selective_fusion.py with a GaitSet of four blocks and
1,000 steps a round. Published Rank-1 / Rank-5: 17.0 / 28.5 pre-trained, 20.2 / 32.0
after (not reproduced here, the data set is by agreement only). `:walkers` and `:tiny`
are on synthetic twins, `:pretraining` and `:walkers-pretraining` what comes before.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.casia_bn_selective_fusion import chosen, recipe, rounds


def get_config(variant: str | None = None) -> ConfigDict:
    return chosen("grew_selective_fusion", variant, grew)


def grew(variant: str) -> ConfigDict:
    wide = {} if variant else dict(start_from="wide-pretraining")
    config = recipe("grew", variant, channels=(32, 64, 128, 256), **wide)
    if variant == "walkers":  # a person of the twin has five sequences
        config.method_args.update(smallest=1, min_samples=2)
    if not variant:
        # 20,000 people: each has a place, should all be found.
        config.method_args.capacity = 32_768
        config.train.steps = 100_000
        config.ckpt.every = 10_000
        rounds(config, steps=1_000, fusion=50)
    return config
