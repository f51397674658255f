"""Selective Fusion on CASIA-BN: recognition learnt without labels.

    python -m gaitjax.main --config configs/casia_bn_selective_fusion.py:walkers

A GaitSet learns on OU-MVLP with labels (normal walking), then goes on without any on
another set: 50 rounds of clustering, and 50 with clusters fused across clothes and
views. CASIA-BN is CASIA-B segmented anew: prepare it with CASIA-B's builder in a folder
of its own (docs/unsupervised.md). The published recipe needs the pre-trained
network, the classifier of views and the data set; published Rank-1 NM / BG / CL with
GaitSet: 67.0 / 49.2 / 12.7 pre-trained, 90.3 / 82.9 / 40.8 after (not reproduced here,
the data sets are by agreement only).

`:walkers` is the recipe scaled down to a CPU, on synthetic twins; the pre-training and
the classifier of views come first where they are missing (simulated). `:tiny` is
seconds of that.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.walkers import narrow, tiny
from configs.zoo import gaitset_oumvlp
from gaitjax.backbones import gaitset


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("casia_bn_selective_fusion", variant, ("walkers", "tiny"))
    config = recipe("casia_b", variant)
    if variant == "walkers":
        # A person has 110 sequences, and every round embeds them all.
        config.data.args.update(num_train=40, num_test=30)
    return config


def recipe(
    name: str, variant: str, channels: tuple[int, ...] = (32, 64, 128)
) -> ConfigDict:
    """On a set, of which no label is read. channels: of GaitSet."""
    config = common.base("selective_fusion")
    config.data.update(name=name, label="none", p=8, k=16, frames=30)
    config.method_args.backbone_args = common.section(gaitset.make)
    config.method_args.backbone_args.channels = channels
    config.optim.update(name="adam", lr=1e-4, weight_decay=5e-4)
    config.optim.update(schedule="multistep", milestones=(3_500, 8_500))
    config.train.update(steps=10_000, precision="bf16")
    config.ckpt.every = 1_000
    config.log.every = 50
    rounds(config, steps=100, fusion=50)
    if variant:
        scaled(config, f"walkers_{name}", variant)
    before = f"runs/{'-'.join(filter(None, ('selective_fusion', variant)))}"
    if len(channels) > 3 and not variant:
        before += "-wide"
    start = pretraining(config, variant)
    config.train.init_from = f"{before}-pretraining"
    config.train.init_config = start
    config.method_args.view_base = ConfigDict(
        {"workdir": f"{before}-views", "config": views(start, variant)}
    )
    return config


def rounds(config: ConfigDict, *, steps: int, fusion: int) -> None:
    """Clusters anew every so many steps; the first round with fusion."""
    config.train.refresh_every = steps
    config.method_args.fusion_round = fusion


def scaled(config: ConfigDict, twin: str, variant: str) -> None:
    """Minutes on a CPU, or seconds; DBSCAN, which needs no extra package."""
    sizes = dict(channels=(16, 32, 64), bins=(8, 4, 2, 1), features=64)
    narrow(config, twin, **sizes)
    config.data.args.modalities = ("sils",)
    config.data.update(p=8, k=8, frames=3)
    config.optim.update(name="adam", lr=3e-4, schedule="constant", warmup=0)
    config.method_args.clusterer = "dbscan"
    config.train.update(steps=600, precision="float32", ema=None)
    rounds(config, steps=60, fusion=5)
    if variant == "tiny":
        tiny(config, channels=(4, 4, 8), features=8)
        config.data.update(p=2, k=2)
        # Of a network that has hardly learnt all features are near one another.
        config.method_args.update(neighbours=4, smallest=1, capacity=256)
        config.method_args.update(min_samples=2, frontal_share=1.0)
        rounds(config, steps=4, fusion=1)


def pretraining(config: ConfigDict, variant: str) -> ConfigDict:
    """The config of the network that `config` starts from, with OU-MVLP's labels."""
    start = gaitset_oumvlp.get_config(variant)
    sizes = config.method_args.backbone_args.copy_and_resolve_references()
    start.method_args.backbone_args = sizes
    if not variant:
        start.data.k = 16
        start.optim.update(name="sgd", lr=0.1, weight_decay=5e-4)
        start.optim.milestones = (50_000, 100_000, 125_000)
        start.train.steps = 150_000  # the paper names the milestones alone
    return start


def views(start: ConfigDict, variant: str) -> ConfigDict:
    """The classifier of front and back against other views: a GaitSet with a BNNeck."""
    config = start.copy_and_resolve_references()
    config.data.update(label="frontal", p=2, k=64)
    config.method_args.update(gives="classes", ce_weight=1.0)
    config.method_args.backbone_args.bnneck = True
    config.train.steps = 10_000  # chosen: two classes are soon learnt
    config.optim.milestones = (5_000, 7_500)
    if variant:
        config.data.k, config.train.steps = 24, 300
        config.optim.milestones = ()
    if variant == "tiny":
        config.data.k, config.train.steps = 4, 4
    return config
