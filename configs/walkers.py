"""GaitBase, narrow, on the synthetic walkers: the first run on any machine.

    python -m gaitjax.main --config configs/walkers.py

Trains on 160 simulated people and evaluates on 40 others, per view pair with the
same view left out. 2 CPU cores: 4.5 minutes, Rank-1 71.3 / 65.9 / 57.4 % for NM / BG /
CL (simulated; mean of three seeds, experiments/first_run). `:tiny` is seconds of it.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from gaitjax.backbones import gaitbase
from gaitjax.data.builders import walkers


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("walkers", variant, ("tiny",))
    config = common.base()
    narrow(config, "walkers")
    if variant == "tiny":
        tiny(config)
    return config


def narrow(config: ConfigDict, twin: str, **sizes) -> None:
    """A walkers set, and a recipe that learns it in minutes on two CPU cores.

    sizes: of the network; without them GaitBase's.
    """
    config.data.name = twin
    config.data.args = common.section(walkers.make_builder)
    config.data.p, config.data.k, config.data.frames = 12, 4, 3
    config.train.steps = 900
    config.train.ema = 0.98
    config.ckpt.every = 250
    config.method_args.downsample = 2  # 64 x 44 -> 32 x 22
    usual = dict(channels=(16, 32, 64), strides=(2, 1, 1), features=64)
    network(config).update(sizes or usual)
    config.optim.update(
        name="adamw", lr=3e-3, weight_decay=5e-4, schedule="cosine", warmup=72
    )


def network(config: ConfigDict) -> ConfigDict:
    """Where the sizes of the network are: a backbone's, or the method's own."""
    if "backbone_args" not in config.method_args:
        return config.method_args
    if not config.method_args.backbone_args:
        config.method_args.backbone_args = common.section(gaitbase.make)
    return config.method_args.backbone_args


def tiny(config: ConfigDict, **sizes) -> None:
    """Seconds: a few people, a few steps, the same code. sizes: as in `narrow`."""
    config.data.args.update(num_train=6, num_test=4, frames=8)
    config.data.p, config.data.k, config.data.frames = 4, 2, 4
    network(config).update(sizes or dict(channels=(4, 8, 8), features=8))
    config.optim.warmup = 2
    config.train.steps = 8
    config.ckpt.every = 3
    config.log.every = 2
    config.eval.batch, config.eval.lists = 16, 1
