"""GaitBase on CASIA-B: `configs/casia_b.py`, in half floats as the rest of the zoo.

    python -m gaitjax.main --config configs/zoo/gaitbase_casia_b.py

Published Rank-1, same view left out, NM / BG / CL: 97.6 / 94.0 / 77.4 % (OpenGait model
zoo; not measured here).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import casia_b


def get_config(variant: str | None = None) -> ConfigDict:
    config = casia_b.get_config(variant)
    if not variant:
        config.train.precision = "bf16"
    return config
