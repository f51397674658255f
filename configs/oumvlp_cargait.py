"""CarGait on OU-MVLP: the ten nearest of a DeepGaitV2, sorted again.

    python -m gaitjax.main --config configs/oumvlp_cargait.py:walkers

The recipe of configs/gait3d_cargait.py, on the network of
configs/zoo/deepgaitv2_oumvlp.py. Published Rank-1 per view pair: 91.9 before, 92.0
after (not reproduced here, the data set is by agreement only). `:walkers` and `:tiny`
are on a synthetic twin.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common
from configs.gait3d_cargait import recipe
from configs.zoo import deepgaitv2_oumvlp


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("oumvlp_cargait", variant, ("walkers", "tiny"))
    return recipe("deepgaitv2_oumvlp", deepgaitv2_oumvlp.get_config(variant), variant)
