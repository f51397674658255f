"""GaitBase on CASIA-B: the published recipe of OpenGait.

    python -m gaitjax.main --config configs/casia_b.py

Needs the prepared data set. Published Rank-1, same view left out: NM 97.6, BG 94.0,
CL 77.4 % (OpenGait model zoo; not reproduced here, the data set is by agreement
only). 60,000 steps of 128 clips of 30 frames.

`:walkers` is the recipe scaled down to a CPU (narrow network, AdamW, no augmentation),
on a synthetic twin with CASIA-B's views, conditions and protocol; `:tiny` is seconds
of that.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.walkers import narrow, tiny
from gaitjax.backbones import gaitbase


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("casia_b", variant, ("walkers", "tiny"))
    config = common.base()
    config.data.update(name="casia_b", p=8, k=16, frames=30, rotate=0.3, erase=0.3)
    config.method_args.backbone_args = common.section(gaitbase.make)
    config.optim.update(
        name="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="multistep",
        milestones=(20_000, 40_000, 50_000),
    )
    config.train.steps = 60_000
    config.ckpt.every = 5_000
    config.log.every = 100
    if variant:
        narrow(config, "walkers_casia_b")
        config.data.update(rotate=0.0, erase=0.0)
        config.log.every = 50
    if variant == "tiny":
        tiny(config)
    return config
