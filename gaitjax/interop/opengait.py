"""OpenGait's state dicts as Flax variables.

A network is a table of (pattern of its keys, path of the Flax variable, change of
layout). Paths begin with the collection and may use the pattern's groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gaitjax.errors import GaitError

Table = tuple[tuple[str, str, Callable[[np.ndarray, int], np.ndarray]], ...]


def to_flax(state_dict: Mapping[str, np.ndarray], table: Table, num_parts: int) -> dict:
    """{torch key: array} -> {"params": ..., "batch_stats": ...}, float32.

    Raises GaitError that lists every key without a place in the table.
    """
    flat, strangers = {}, []
    for key, array in state_dict.items():
        if key.endswith("num_batches_tracked"):
            continue  # torch counts them for a cumulative average that nobody uses
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


def gaitbase_table() -> Table:
    """GaitBase and LidarGait: `Baseline` with a `ResNet9` in a set wrapper."""
    root = r"Backbone\.forward_block\."
    block = root + r"layer(\d)\.(\d)\."
    layer = r"backbone/layer\1_\2/"
    return (
        (root + r"conv1\.conv\.weight", "params/backbone/stem/conv/kernel", _conv),
        *_norm(root + "bn1", "backbone/bn1"),
        (block + r"conv(\d)\.weight", rf"params/{layer}conv\3/conv/kernel", _conv),
        *_norm(block + r"bn(\d)", rf"{layer}bn\3"),
        (
            block + r"downsample\.0\.weight",
            rf"params/{layer}shortcut/dense/kernel",
            _dense,
        ),
        *_norm(block + r"downsample\.1", rf"{layer}shortcut_bn"),
        (r"FCs\.fc_bin", "params/fcs/kernel", _same),
        (r"BNNecks\.fc_bin", "params/necks/kernel", _same),
        *_norm(r"BNNecks\.bn1d", "necks/bn", _parts),
    )


def _lookup(key: str, table: Table) -> tuple[str, Callable] | None:
    for pattern, path, change in table:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(path), change
    return None


def _conv(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, in, h, w] -> [h, w, in, out]."""
    return array.transpose(2, 3, 1, 0)


def _dense(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, in, 1, 1] -> [in, out]."""
    return array[:, :, 0, 0].T


def _parts(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[d * p] with the parts running fastest -> [p, d]."""
    return array.reshape(-1, num_parts).T


def _same(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array


def _norm(pattern: str, path: str, change: Callable = _same) -> Table:
    return (
        (pattern + r"\.weight", f"params/{path}/scale", change),
        (pattern + r"\.bias", f"params/{path}/bias", change),
        (pattern + r"\.running_mean", f"batch_stats/{path}/mean", change),
        (pattern + r"\.running_var", f"batch_stats/{path}/var", change),
    )
