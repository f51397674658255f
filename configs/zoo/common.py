"""What the recipes of the zoo have in common, and how each is scaled down.

What they cannot say, or say in another way than OpenGait does, is in docs/zoo.md.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.walkers import narrow, tiny
from gaitjax.methods.supervised import find_backbone

# SwinGait: layer norms of blocks, patches and the table of positions do not decay; what
# DeepGaitV2 has, too, learns at a tenth of the rate. The reference chooses by names,
# and the norm between its stages is not called one: it decays.
SWINGAIT_GROUPS = (
    (r"^transformer/(patches|norm|.*/norm\d|.*/position_bias)", 1.0, 0.0),
    (r"^transformer/", 1.0, 1.0),
    (r"^(layer\d|fcs|necks)", 0.1, 1.0),
)


def recipe(
    backbone: str,
    dataset: str,
    *,
    p: int,
    k: int,
    steps: int,
    milestones: tuple[int, ...] = (),
    frames: int = 30,
    inputs: tuple[str, ...] = ("sils",),
    **data,
) -> ConfigDict:
    """The field's habit: SGD at 0.1, triplet and cross-entropy (scale 16), half floats.

    dataset: `data.name`, for modalities or rates other than the set's own with the
    variant behind a slash. data: the rest of the section.
    """
    config = common.base()
    config.data.update(name=dataset, p=p, k=k, frames=frames, **data)
    config.method_args.update(backbone=backbone, inputs=inputs)
    config.method_args.backbone_args = common.section(find_backbone(backbone).make)
    config.optim.update(name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4)
    config.optim.update(schedule="multistep", milestones=milestones)
    config.train.update(steps=steps, precision="bf16")
    config.ckpt.every = 5_000
    config.log.every = 100
    return config


def adam(config: ConfigDict, lr: float, weight_decay: float) -> None:
    """Adam in place of SGD, at the same milestones."""
    config.optim.update(name="adam", lr=lr, weight_decay=weight_decay)


def triplet_only(config: ConfigDict) -> None:
    """For networks without a classifier."""
    config.method_args.ce_weight = 0.0


def swingait(config: ConfigDict, until: int, start: str) -> None:
    """AdamW, a cosine in stretches of 1000 steps `until` a step, from `start`."""
    config.optim.update(
        name="adamw",
        lr=3e-4,
        weight_decay=0.02,
        schedule="cosine",
        final_lr=1e-6,
        decay_steps=until,
        hold=1_000,
        groups=SWINGAIT_GROUPS,
    )
    config.train.init_from = start


def scaled(config: ConfigDict, variant: str | None) -> ConfigDict:
    """A recipe as it is published (""), or on the walkers (`walkers`, `tiny`)."""
    backbone, dataset = config.method_args.backbone, config.data.name.partition("/")[0]
    variant = common.variants(f"{backbone} on {dataset}", variant, ("walkers", "tiny"))
    if not variant:
        return config
    narrow(config, f"walkers_{dataset}", **sizes(backbone))
    config.data.args.modalities = config.method_args.inputs
    config.data.update(perspective=0.0, flip=0.0, rotate=0.0, erase=0.0)
    if config.data.order == "ordered":  # networks that look across frames
        config.data.frames = 6
    if backbone == "gln":  # halves its pictures twice: 32 x 32, not 32 x 22
        config.data.cut = ()
    config.optim.update(hold=1, decay_steps=None)
    config.train.update(precision="float32", init_from=None)
    config.log.every = 50
    if variant == "tiny":
        tiny(config, **tiny_sizes(backbone))
    if config.data.frames_max:
        config.data.frames_max = config.data.frames + 2
    return config


def sizes(backbone: str) -> dict:
    """A network that a CPU trains in minutes, on pictures of 32 x 22."""
    part = ("BC-16", "BC-16", "M", "FC-32-2", "FC-32-2", "M", "FC-64-3", "FC-64-3")
    plain = ("BC-16", "BC-16", "M", "BC-32", "BC-32", "M", "BC-64", "BC-64")
    deep = dict(layers=(1, 1, 1, 1), features=64)
    table = {
        "gaitset": dict(channels=(16, 32, 64), bins=(8, 4, 2, 1), features=64),
        "gaitpart": dict(layers=part, bins=(8,), features=64),
        "gaitgl": dict(channels=(8, 16, 32, 32), convs=1),
        "gaitbase": dict(channels=(16, 32, 64), strides=(2, 1, 1), features=64),
        "deepgaitv2": dict(channels=(8, 16, 32, 64), bins=(8,), **deep),
        "swingait": dict(channels=(8, 16, 32, 64), heads=(2, 4), **deep),
        "skeletongaitpp": dict(channels=(16, 16, 32, 64), bins=(8,), **deep),
        "smplgait": dict(layers=plain, bins=(8, 4, 2, 1), features=64),
        "gln": dict(channels=(8, 16, 32), bins=(8, 4, 2, 1), lateral=32, features=64),
    }
    return table[backbone]


def tiny_sizes(backbone: str) -> dict:
    """As few channels as a network can have."""
    part = ("BC-4", "BC-4", "M", "FC-4-2", "FC-4-2", "M", "FC-8-3", "FC-8-3")
    plain = ("BC-4", "BC-4", "M", "BC-4", "BC-4", "M", "BC-8", "BC-8")
    table = {
        "gaitset": dict(channels=(4, 4, 8), features=8),
        "gaitpart": dict(layers=part, features=8),
        "gaitgl": dict(channels=(4, 4, 8, 8)),
        "gaitbase": dict(channels=(4, 8, 8), features=8),
        "deepgaitv2": dict(channels=(4, 4, 8, 8), features=8),
        "swingait": dict(channels=(4, 4, 8, 8), heads=(1, 2), features=8),
        "skeletongaitpp": dict(channels=(16, 4, 8, 8), features=8),
        "smplgait": dict(layers=plain, features=8),
        "gln": dict(channels=(4, 4, 8), lateral=8, features=8),
    }
    return table[backbone]
