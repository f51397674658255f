"""OpenGait's networks: from its `model_cfg` and state dicts to ours.

A state dict is read through a table of (pattern of its keys, path of the Flax variable,
change of layout). Paths begin with the collection and may use the pattern's groups.
`tables/<backbone>.py` has the table of each backbone.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gaitjax.arguments import unknown
from gaitjax.errors import GaitError

Table = tuple[tuple[str, str, Callable[[np.ndarray, int], np.ndarray]], ...]


@dataclasses.dataclass(frozen=True)
class Network:
    """What an OpenGait `model_cfg` builds, in our terms.

    backbone, args: `backbones/<backbone>.py` and the arguments of its `make`. inputs:
    record keys in the order in which the network takes them. num_parts: of what its
    part-wise layers hold.
    """

    backbone: str
    args: dict[str, Any]
    num_classes: int
    inputs: tuple[str, ...]
    num_parts: int
    table: Table


def network_of(
    model_cfg: Mapping[str, Any], dataset_name: str | None = None
) -> Network:
    """The network of an OpenGait config (GaitGL's depends on the data set too)."""
    families = {
        "Baseline": "gaitbase",
        "GaitSet": "gaitset",
        "GaitPart": "gaitpart",
        "GaitGL": "gaitgl",
        "GLN": "gln",
        "DeepGaitV2": "deepgaitv2",
        "SwinGait": "swingait",
        "SkeletonGaitPP": "skeletongaitpp",
        "SMPLGait": "smplgait",
    }
    name = model_cfg["model"]
    if name not in families:
        raise GaitError(unknown(name, families, "model of OpenGait"))
    module = importlib.import_module(f"gaitjax.interop.tables.{families[name]}")
    return module.network(model_cfg, dataset_name)


def to_flax(state_dict: Mapping[str, np.ndarray], table: Table, num_parts: int) -> dict:
    """{torch key: array} -> {"params": ..., "batch_stats": ...}, float32.

    Raises GaitError that lists every key without a place in the table.
    """
    flat, strangers = {}, []
    for key, array in state_dict.items():
        if key.endswith(("num_batches_tracked", "relative_position_index")):
            continue  # of a cumulative average that nobody uses; computed
        target = _lookup(key, table)
        if target is None:
            strangers.append(key)
            continue
        path, change = target
        flat[tuple(path.split("/"))] = change(np.asarray(array, np.float32), num_parts)
    if strangers:
        raise GaitError(
            f"{len(strangers)} keys of the checkpoint have no place in the network: "
            f"{', '.join(strangers[:8])}; convert it as the network that wrote it"
        )
    return traverse_util.unflatten_dict(flat)


def variable_of(key: str, variables: Mapping[str, Any], table: Table) -> Any:
    """The entry of Flax `variables` that stands for a torch key, in Flax layout."""
    target = _lookup(key, table)
    if target is None:
        raise KeyError(key)
    for name in target[0].split("/"):
        variables = variables[name]
    return variables


def layout_of(key: str, table: Table) -> Callable[[np.ndarray, int], np.ndarray]:
    """How an array under a torch key is re-arranged for Flax."""
    target = _lookup(key, table)
    if target is None:
        raise KeyError(key)
    return target[1]


def _lookup(key: str, table: Table) -> tuple[str, Callable] | None:
    for pattern, path, change in table:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(path), change
    return None


def conv(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, in, *kernel] -> [*kernel, in, out], for any number of axes."""
    return np.moveaxis(array, (0, 1), (-1, -2))


def dense(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, in] or [out, in, 1, ...] -> [in, out]."""
    return array.reshape(array.shape[:2]).T


def parts(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[d * p] with the parts running fastest -> [p, d]."""
    return array.reshape(-1, num_parts).T


def same(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array


def norm(pattern: str, path: str, change: Callable = same) -> Table:
    return (
        (pattern + r"\.weight", f"params/{path}/scale", change),
        (pattern + r"\.bias", f"params/{path}/bias", change),
        (pattern + r"\.running_mean", f"batch_stats/{path}/mean", change),
        (pattern + r"\.running_var", f"batch_stats/{path}/var", change),
    )
