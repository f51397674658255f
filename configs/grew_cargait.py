"""CarGait on GREW: the ten nearest of a DeepGaitV2, sorted again.

    python -m gaitjax.main --config configs/grew_cargait.py:walkers

The recipe of configs/gait3d_cargait.py, on the network of
configs/zoo/deepgaitv2_grew.py. Published Rank-1: 77.7 before, 79.2 after (not
reproduced here, the data set is by agreement only). `:walkers` and `:tiny` are on a
synthetic twin.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.gait3d_cargait import recipe
from configs.zoo import deepgaitv2_grew


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("grew_cargait", variant, ("walkers", "tiny"))
    return recipe("deepgaitv2_grew", deepgaitv2_grew.get_config(variant), variant)
