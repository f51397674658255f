"""The files that torch wrote (tests/fixtures/write_torch.py)."""

from __future__ import annotations

import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).parents[1] / "fixtures"
# The network of gaitbase.pt and half.pt as ours.
SETTINGS = ("channels=4,8", "strides=1,2", "bins=4", "features=6")


def arrays(prefix: str = "") -> dict[str, np.ndarray]:
    """What torch itself says is in them: those of torch.npz with this prefix."""
    with np.load(ROOT / "torch.npz") as found:
        return {
            key.removeprefix(prefix): found[key]
            for key in found.files
            if key.startswith(prefix)
        }
