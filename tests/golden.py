"""tests/goldens, read by the library's own reader."""

from __future__ import annotations

import pathlib

import numpy as np

from gaitjax.interop import goldens
from gaitjax.interop.goldens import relative_error, state_dict, weight

__all__ = ["ROOT", "load", "load_json", "relative_error", "state_dict", "weight"]

ROOT = pathlib.Path(__file__).parent / "goldens"


def load(name: str) -> dict[str, np.ndarray]:
    """The arrays of goldens/<name>.npz."""
    return goldens.load(ROOT, name)


def load_json(name: str) -> dict:
    """The contents of goldens/<name>.json."""
    return goldens.load_json(ROOT, name)
