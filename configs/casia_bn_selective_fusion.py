"""Selective Fusion on CASIA-BN: recognition learnt without labels.

    python -m gaitjax.main --config configs/casia_bn_selective_fusion.py:walkers

A GaitSet learns on OU-MVLP with labels (normal walking), then goes on without any on
another set: 50 rounds of clustering, and 50 longer ones with clusters fused across
clothes and views. CASIA-BN is CASIA-B segmented anew: prepare it with CASIA-B's builder
in a folder of its own (docs/unsupervised.md). The published recipe needs the
pre-trained network, the classifier of views and the data set; published Rank-1 NM / BG
/ CL with GaitSet: 67.0 / 49.2 / 12.7 pre-trained, 90.3 / 82.9 / 40.8 after (not
reproduced here, the data sets are by agreement only).

`:walkers` is the recipe scaled down to a CPU, on synthetic twins; the pre-training and
the classifier of views come first where they are missing (simulated). It was not run to
its end: figures and times are those of a smaller one, in experiments/selective_fusion.
`:tiny` is seconds of that. These two alone are `:pretraining` and `:views`, scaled down
`:walkers-pretraining` and so on.
"""

from __future__ import annotations

from collections.abc import Callable

from ml_collections import ConfigDict

from configs import common
from configs.walkers import narrow, tiny
from configs.zoo import common as zoo
from configs.zoo import (
    deepgaitv2_oumvlp,
    gaitbase_oumvlp,
    gaitgl_oumvlp,
    gaitpart_oumvlp,
    gaitset_oumvlp,
)
from gaitjax.errors import GaitError

SCALED = ("walkers", "tiny")
BEFORE = ("pretraining", "views")

# Of the backbones: the recipe of their losses. Of those that the paper tries: the sizes
# of the network, and milestones and steps of the pre-training (of GaitSet the paper
# names the milestones alone). The others are trained as the zoo has them.
START = {
    "gaitset": gaitset_oumvlp,
    "gaitgl": gaitgl_oumvlp,
    "gaitpart": gaitpart_oumvlp,
    "gaitbase": gaitbase_oumvlp,
    "deepgaitv2": deepgaitv2_oumvlp,
}
SIZES = {
    "gaitset": dict(channels=(32, 64, 128)),
    "gaitgl": dict(channels=(32, 64, 128, 128), convs=1, halvings=3),
}
STEPS = {
    "gaitset": ((50_000, 100_000, 125_000), 150_000),
    "gaitgl": ((150_000, 200_000), 210_000),
}


def get_config(variant: str | None = None) -> ConfigDict:
    return chosen("casia_bn_selective_fusion", variant, casia_bn)


def casia_bn(variant: str, backbone: str = "gaitset") -> ConfigDict:
    return fewer(recipe("casia_b", variant, backbone), variant)


def chosen(
    name: str, variant: str | None, make: Callable[[str], ConfigDict]
) -> ConfigDict:
    """The recipe of a file, or one of those that come before it, as it stands in it."""
    scales = ("", *SCALED)
    before = ["-".join(filter(None, (x, last))) for x in scales for last in BEFORE]
    variant = common.variants(name, variant, (*SCALED, *before))
    scale, _, last = variant.rpartition("-")
    if last not in BEFORE:
        return make(variant)
    config = make(scale)
    if last == "views":
        return config.method_args.view_base.config
    return config.train.init_config


def fewer(config: ConfigDict, variant: str) -> ConfigDict:
    """A person of CASIA-B has 110 sequences, and every round embeds them all."""
    if variant == "walkers":
        config.data.args.update(num_train=40, num_test=30)
    return config


def recipe(
    name: str,
    variant: str,
    backbone: str = "gaitset",
    start_from: str | None = None,
    **sizes,
) -> ConfigDict:
    """On a set, of which no label is read. start_from: the pre-training's folder, by
    default one for each backbone. sizes: of the published network, other than
    `SIZES`."""
    if start_from is None:
        start_from = (
            "pretraining" if backbone == "gaitset" else f"{backbone}-pretraining"
        )
    start = pretraining(backbone, variant, **sizes)
    config = common.base("selective_fusion")
    config.data.update(name=name, label="none", p=8, k=16, frames=30)
    config.data.order = start.data.order
    config.method_args.backbone = backbone
    config.method_args.backbone_args = (
        start.method_args.backbone_args.copy_and_resolve_references()
    )
    config.optim.update(name="adam", lr=1e-4, weight_decay=5e-4)
    config.optim.update(schedule="multistep", milestones=(3_500, 8_500))
    config.train.update(steps=7_500, precision="bf16")
    config.ckpt.every = 1_000
    config.log.every = 50
    rounds(config, steps=50, fusion=50, later=(2_500, 100))
    if variant:
        scaled(config, f"walkers_{name}", variant)
    before = "-".join(filter(None, ("runs/selective_fusion", variant)))
    config.train.init_from = f"{before}-{start_from}"
    config.train.init_config = start
    config.method_args.view_base = ConfigDict(
        {"workdir": f"{before}-views", "config": views(variant)}
    )
    return config


def rounds(
    config: ConfigDict, *, steps: int, fusion: int, later: tuple[int, ...] = ()
) -> None:
    """Clusters anew every so many steps; the first round with fusion. later: see
    `train.refresh_later`."""
    config.train.update(refresh_every=steps, refresh_later=later)
    config.method_args.fusion_round = fusion


def scaled(config: ConfigDict, twin: str, variant: str) -> None:
    """Minutes on a CPU, or seconds; DBSCAN, which needs no extra package."""
    backbone = config.method_args.backbone
    narrow(config, twin, **zoo.sizes(backbone))
    config.data.args.modalities = ("sils",)
    # As many frames a batch, where six in order are a clip.
    config.data.update(p=8, k=8, frames=3)
    if config.data.order == "ordered":
        config.data.update(k=4, frames=6)
    config.optim.update(name="adam", lr=1e-4, schedule="constant", warmup=0)
    config.method_args.clusterer = "dbscan"
    # In five rounds with fusion the threshold for front and back views falls by 0.2, in
    # the paper's fifty by 0.245.
    config.method_args.rate = 0.05
    config.train.update(steps=600, precision="float32", ema=None)
    rounds(config, steps=60, fusion=5)
    if variant == "tiny":
        tiny(config, **zoo.tiny_sizes(backbone))
        config.data.update(p=2, k=2)
        # Of a network that has hardly learnt all features are near one another.
        config.method_args.update(neighbours=4, smallest=1, capacity=256)
        config.method_args.update(min_samples=2, frontal_share=1.0)
        rounds(config, steps=4, fusion=1)


def pretraining(backbone: str, variant: str, **sizes) -> ConfigDict:
    """The network that the recipe starts from, with OU-MVLP's labels."""
    if backbone not in START:
        raise GaitError(
            f"there is no pre-training of backbone {backbone}; expected one of "
            f"{', '.join(START)}, or add its recipe on OU-MVLP to START"
        )
    start = START[backbone].get_config(variant)
    start.train.ema = None  # what goes on from here begins where this one ended
    if not variant:
        start.method_args.backbone_args.update(SIZES.get(backbone, {}) | sizes)
    if not variant and backbone in STEPS:
        start.data.k = 16
        start.optim.update(name="sgd", lr=0.1, weight_decay=5e-4)
        start.optim.milestones, start.train.steps = STEPS[backbone]
    return start


def views(variant: str) -> ConfigDict:
    """The classifier of front and back against other views: a GaitSet with a BNNeck,
    whatever it is that learns."""
    config = pretraining("gaitset", variant)
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
