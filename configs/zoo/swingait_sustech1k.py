"""SwinGait (3D, 1-1-2-2 blocks) on SUSTech1K.

    python -m gaitjax.main --config configs/zoo/swingait_sustech1k.py

Starts from what `configs/zoo/deepgaitv2_sustech1k.py` left; train that first.

10 frames as in OpenGait's configuration at d0caf9e; in order, 4 left out, as in the
DeepGaitV2 it starts from (unordered in that revision, which is not the newest).

Published Rank-1, overall: 79.7 % (OpenGait model zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs.zoo import common


def get_config(variant: str | None = None) -> ConfigDict:
    config = common.recipe(
        "swingait",
        "sustech1k/native-sils",
        p=8,
        k=8,
        steps=60_000,
        frames=10,
        order="ordered",
        skip=4,
        perspective=0.2,
        flip=0.2,
        rotate=0.2,
    )
    common.swingait(config, until=50_000, start="runs/deepgaitv2_sustech1k")
    return common.scaled(config, variant)
