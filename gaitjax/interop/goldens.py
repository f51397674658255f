"""Reads a folder of golden vectors, and makes the weights its networks were run with.

The format is that of tests/goldens/README.md: torch's axis order, no pickles, and
weights that are a function of their state-dict key and shape.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gaitjax.errors import GaitError


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison. error: the largest difference over the largest wanted value.

    item: the golden, such as `gaitbase` or `losses/ce_default`; what: of it. note:
    why there is no comparison, where error is infinite.
    """

    item: str
    what: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # which NaN is not


def failed(item: str, what: str, note: str) -> Row:
    """The row of something that could not be compared, which is a failure."""
    return Row(item, what, math.inf, 0.0, note)


def load(folder: str | os.PathLike, name: str) -> dict[str, np.ndarray]:
    """The arrays of <name>.npz."""
    with np.load(pathlib.Path(folder) / f"{name}.npz") as arrays:
        return dict(arrays)


def load_json(folder: str | os.PathLike, name: str) -> dict[str, Any]:
    """The contents of <name>.json."""
    return json.loads((pathlib.Path(folder) / f"{name}.json").read_text())


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a parameter: a function of its torch key and shape alone."""
    bits = np.random.Philox(key=zlib.crc32(key.encode()))
    x = np.random.Generator(bits).standard_normal(shape, dtype=np.float32)
    f = np.float32
    if key.endswith("running_var"):
        return f(0.5) + f(0.5) * np.abs(x)
    if key.endswith("running_mean"):
        return f(0.1) * x
    if key.endswith("fc_bin"):
        return x * f(math.sqrt(1 / shape[1]))
    if key.endswith("relative_position_bias_table"):
        return f(0.5) * x
    if key == "HPP.p":  # GaitGL's pooling exponent
        return f(6.5) + f(0.1) * x
    if key.endswith(".weight") and len(shape) >= 2:
        return x * f(math.sqrt(2 / math.prod(shape[1:])))
    if key.endswith(".weight"):
        return f(1) + f(0.1) * x
    if key.endswith(".bias"):
        return f(0.1) * x
    raise KeyError(key)


def state_dict(spec: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The float32 weights that a network's JSON lists, checked by its check sums."""
    weights = {}
    for key, entry in spec["state_dict"].items():
        if entry["dtype"] != "float32":
            continue
        array = weight(key, tuple(entry["shape"]))
        crc = zlib.crc32(array.astype("<f4").tobytes())
        if "crc32" in entry and crc != entry["crc32"]:
            raise GaitError(
                f"{key}: expected check sum {entry['crc32']}, got {crc}: this numpy "
                f"({np.__version__}) draws other numbers; install numpy 2.4"
            )
        weights[key] = array
    return weights


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference, over the largest wanted value."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        raise GaitError(
            f"expected shape {list(want.shape)}, got {list(got.shape)}; compare the "
            "same output of the same network"
        )
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))
