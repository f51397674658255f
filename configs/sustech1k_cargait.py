"""CarGait on SUSTech1K, on a cross-modal base: camera against LiDAR, sorted again.

    python -m gaitjax.main --config configs/sustech1k_cargait.py:walkers

The recipe of configs/gait3d_cargait.py, on the DiffCrossGait of configs/sustech1k.py;
lists are of both modalities in both directions. Not in the CarGait paper. `:walkers`
and `:tiny` are on a synthetic twin.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import common, sustech1k
from configs.gait3d_cargait import recipe


def get_config(variant: str | None = None) -> ConfigDict:
    variant = common.variants("sustech1k_cargait", variant, ("walkers", "tiny"))
    return recipe("sustech1k", sustech1k.get_config(variant), variant)
