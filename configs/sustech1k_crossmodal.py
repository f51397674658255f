"""The plainest cross-modal method on SUSTech1K: two encoders, one head.

    python -m gaitjax.main --config configs/sustech1k_crossmodal.py:walkers

Camera silhouettes find LiDAR range views of the same person, and the other way round.
The recipe follows the cross-modal baseline of MMGait in its
losses and optimiser, and LidarGait's on SUSTech1K in batch and clip length; no figure
is published for the two together. The full recipe needs the prepared data set.

`:walkers` is the recipe scaled down to a CPU, on a synthetic twin with SUSTech1K's
views, conditions and protocol (simulated; figures in experiments/walkers); `:tiny` is
seconds of that.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.walkers import narrow, tiny


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("sustech1k_crossmodal", variant, ("walkers", "tiny"))
    config = common.base("crossmodal")
    config.data.update(name="sustech1k", p=8, k=8, frames=10, cut=("sils",))
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
        narrow(config, "walkers_sustech1k")
        config.data.cut = ("sils", "ranges")
        config.train.steps = 600
        config.optim.warmup = 48
        config.log.every = 50
    if variant == "tiny":
        tiny(config)
    return config
