"""Reads tests/goldens, and makes the weights that their networks were run with."""

from __future__ import annotations

import json
import math
import pathlib
import zlib

import numpy as np

ROOT = pathlib.Path(__file__).parent / "goldens"


def load(name: str) -> dict[str, np.ndarray]:
    """The arrays of goldens/<name>.npz."""
    with np.load(ROOT / f"{name}.npz") as arrays:
        return dict(arrays)


def load_json(name: str) -> dict:
    """The contents of goldens/<name>.json."""
    return json.loads((ROOT / f"{name}.json").read_text())


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a parameter: a function of its torch key and shape alone."""
    bits = np.random.Philox(key=zlib.crc32(key.encode()))
    x = np.random.Generator(bits).standard_normal(shape, dtype=np.float32)
    if key.endswith("running_var"):
        return np.float32(0.5) + np.float32(0.5) * np.abs(x)
    if key.endswith("running_mean"):
        return np.float32(0.1) * x
    if key.endswith("fc_bin"):
        return x * np.float32(math.sqrt(1 / shape[1]))
    if key.endswith(".weight") and len(shape) >= 2:
        return x * np.float32(math.sqrt(2 / math.prod(shape[1:])))
    if key.endswith(".weight"):
        return np.float32(1) + np.float32(0.1) * x
    if key.endswith(".bias"):
        return np.float32(0.1) * x
    raise KeyError(key)


def state_dict(spec: dict) -> dict[str, np.ndarray]:
    """The weights that a golden's JSON lists, checked against its check sums."""
    weights = {}
    for key, entry in spec["state_dict"].items():
        shape = tuple(entry["shape"])
        if entry["dtype"] != "float32":
            continue
        weights[key] = weight(key, shape)
        crc = zlib.crc32(weights[key].astype("<f4").tobytes())
        assert crc == entry["crc32"], f"numpy draws other numbers for {key}"
    return weights


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference, over the largest wanted value."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, (got.shape, want.shape)
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))
