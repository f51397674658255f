"""Mesh-Gait on Gait3D: silhouettes, and the body that they show.

    python -m gaitjax.main --config configs/gait3d_meshgait.py:walkers

The published recipe needs the prepared data set with its SMPL parameters, the licensed
SMPL file and markers of it (docs/meshgait.md): DeepGaitV2 and HRNet-W48, 32 x 4 clips
of 30 frames. Of the paper's recipe little is known; sizes are its own, the rest is
chosen here and was not tried on real data. Published Rank-1: 75.0 (not reproduced here,
the data set is by agreement only).

`:walkers` is the recipe scaled down to a CPU, on a synthetic twin that brings joints,
markers and meshes (simulated). It was not run to its end: figures and times are those
of a smaller one, in experiments/meshgait. `:tiny` is seconds of that.
`--config.method_args.fusion=2d` is DeepGaitV2 alone; docs/meshgait.md has every
ablation as an option.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.walkers import narrow, tiny


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("gait3d_meshgait", variant, ("walkers", "tiny"))
    config = recipe("gait3d", variant)
    config.method_args.layers = (1, 1, 1, 1) if variant else (1, 4, 4, 1)
    if not variant:
        config.data.name = "gait3d/sils+smpl"
        config.method_args.smpl_model = "SMPL_NEUTRAL.npz"
        config.optim.milestones = (20_000, 40_000, 50_000)
        config.train.steps = 60_000
    return config


def recipe(name: str, variant: str) -> ConfigDict:
    """Of a set with 3D labels; steps and their milestones are the set's own."""
    config = common.base("meshgait")
    config.data.update(name=name, p=32, k=4, frames=30, order="ordered", skip=4)
    # No perspective: there is no such camera for the labels.
    config.data.update(flip=0.2, rotate=0.2)
    config.method_args.update(remat=True, supervised_frames=4)
    config.optim.update(name="adamw", lr=1e-3, weight_decay=5e-4, schedule="multistep")
    config.train.precision = "bf16"
    config.ckpt.every = 5_000
    config.log.every = 100
    if variant:
        narrow(
            config,
            f"walkers_{name}",
            channels=(8, 16, 32, 64),
            bins=(8,),
            features=64,
            width=8,
            stem=16,
            modules=(1, 1, 1),
            blocks=1,
            side=8,
            volume=(8, 16, 64),
        )
        config.data.args.modalities = ("sils", "joints", "markers", "vertices")
        config.data.update(p=8, k=4, frames=4, skip=0, flip=0.0, rotate=0.0)
        config.method_args.update(remat=False, supervised_frames=0)
        config.train.precision = "float32"
        config.log.every = 50
    if variant == "tiny":
        sizes = dict(channels=(4, 4, 8, 8), features=8, width=4, stem=4)
        tiny(config, **sizes, modules=(1,), volume=(4, 4, 8))
    return config
