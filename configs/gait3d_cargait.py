"""CarGait on Gait3D: the ten nearest of a DeepGaitV2, sorted again.

    python -m gaitjax.main --config configs/gait3d_cargait.py:walkers

The published recipe needs the prepared data set and a base, trained by
configs/zoo/deepgaitv2_gait3d.py or converted (docs/reranking.md): AdamW 1e-5, decay
1e-2, 100,000 steps, lists of 30 in training and of 10 at test time, the last 10 % of
the training people for validation every 10,000 steps. Published Rank-1: 74.4 before,
75.1 after (not reproduced here, the data set is by agreement only).

`:walkers` is the recipe scaled down to a CPU, on a synthetic twin; its base is trained
first where it is missing (simulated; figures in experiments/cargait). `:tiny` is
seconds of that.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.zoo import deepgaitv2_gait3d


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("gait3d_cargait", variant, ("walkers", "tiny"))
    return recipe("deepgaitv2_gait3d", deepgaitv2_gait3d.get_config(variant), variant)


def recipe(name: str, frozen: ConfigDict, variant: str) -> ConfigDict:
    """CarGait on the network that the config `frozen`, called `name`, trains."""
    config = common.on_base("cargait", frozen, f"runs/{name}{variant and '-'}{variant}")
    config.data.val = 0.1
    config.optim.update(name="adamw", lr=1e-5, weight_decay=1e-2, schedule="constant")
    config.train.steps = 100_000
    config.ckpt.update(every=10_000, best="val/ranking/loss")
    config.eval.update(checkpoint="best", distances=frozen.eval.distances[:1])
    config.log.every = 1_000
    if variant:
        config.method_args.update(features=64, hidden=128)
        config.optim.lr = 3e-4
        config.train.steps = 2_000
        config.ckpt.every = 200
        config.log.every = 100
    if variant == "tiny":
        config.data.val = 0.34  # of six people two
        config.method_args.update(nearest=6, triplets=8, features=8, hidden=8)
        config.train.steps = 8
        config.ckpt.every = 4
        config.log.every = 2
        config.eval.update(batch=16, rerank=3)
    return config
