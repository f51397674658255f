"""OpenGait's networks: from its `model_cfg` and state dicts to ours.

A state dict is read through a table of (pattern of its keys, path of the Flax variable,
change of layout), and written back through the same one: so a pattern has nothing but
text, `\\.` and groups that are not nested, and the path uses every group. Paths begin
with the collection. `tables/<backbone>.py` has the table of each backbone.
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

# torch counts them for a cumulative average that nobody uses; computed by ours.
BUFFERS = ("num_batches_tracked", "relative_position_index")


@dataclasses.dataclass(frozen=True)
class Layout:
    """A change of axes from torch to Flax, and back; both take the number of parts."""

    there: Callable[[np.ndarray, int], np.ndarray]
    back: Callable[[np.ndarray, int], np.ndarray]

    def __call__(self, array: np.ndarray, num_parts: int) -> np.ndarray:
        return self.there(array, num_parts)


Table = tuple[tuple[str, str, Layout], ...]


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


def table_of(backbone: str, args: Mapping[str, Any]) -> Table:
    """The table of a backbone with all its arguments."""
    table = importlib.import_module(f"gaitjax.interop.tables.{backbone}").table
    if backbone == "gaitgl":
        return table(args["convs"] > 1)
    depends = {"deepgaitv2": "mode", "gaitpart": "layers", "smplgait": "layers"}
    return table(args[depends[backbone]]) if backbone in depends else table()


def to_flax(state_dict: Mapping[str, np.ndarray], table: Table, num_parts: int) -> dict:
    """{torch key: array} -> {"params": ..., "batch_stats": ...}, float32.

    Raises GaitError that lists every key without a place in the table.
    """
    flat, strangers = {}, []
    for key, array in state_dict.items():
        if key.endswith(BUFFERS):
            continue
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


def to_torch(
    variables: Mapping[str, Any], table: Table, num_parts: int
) -> dict[str, np.ndarray]:
    """{"params": ..., "batch_stats": ...} -> {torch key: array}, without `BUFFERS`.

    Raises GaitError that lists every variable without a place in the table.
    """
    state, strangers = {}, []
    for path, array in traverse_util.flatten_dict(variables, sep="/").items():
        target = torch_key(path, table)
        if target is None:
            strangers.append(path)
        else:
            key, layout = target
            state[key] = layout.back(np.asarray(array), num_parts)
    if strangers:
        raise GaitError(
            f"{len(strangers)} variables have no name in OpenGait: "
            f"{', '.join(strangers[:8])}; convert a network that it has"
        )
    return state


def torch_key(path: str, table: Table) -> tuple[str, Layout] | None:
    """The torch key of a Flax path, such as params/fcs/kernel."""
    for pattern, template, layout in table:
        pieces = re.split(r"(\([^)]*\))", pattern)  # text, group, text, group, text
        groups = pieces[1::2]
        path_pattern = template
        for number, group in enumerate(groups, 1):
            path_pattern = path_pattern.replace(f"\\{number}", group)
        # The path has the groups in some order of its own.
        order = [int(number) - 1 for number in re.findall(r"\\(\d)", template)]
        match = re.fullmatch(path_pattern, path)
        if match:
            for group, value in zip(order, match.groups(), strict=True):
                pieces[2 * group + 1] = value
            return "".join(pieces).replace("\\.", "."), layout
    return None


def path_of(key: str, table: Table) -> str:
    """The Flax path that a torch key has."""
    target = _lookup(key, table)
    if target is None:
        raise KeyError(key)
    return target[0]


def variable_of(key: str, variables: Mapping[str, Any], table: Table) -> Any:
    """The entry of Flax `variables` that stands for a torch key, in Flax layout."""
    for name in path_of(key, table).split("/"):
        variables = variables[name]
    return variables


def layout_of(key: str, table: Table) -> Layout:
    """How an array under a torch key is re-arranged for Flax."""
    target = _lookup(key, table)
    if target is None:
        raise KeyError(key)
    return target[1]


def _lookup(key: str, table: Table) -> tuple[str, Layout] | None:
    for pattern, path, change in table:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(path), change
    return None


def _conv_there(array: np.ndarray, num_parts: int) -> np.ndarray:
    return np.moveaxis(array, (0, 1), (-1, -2))


def _conv_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    return np.moveaxis(array, (-1, -2), (0, 1))


def _dense_there(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array.reshape(array.shape[:2]).T


def _dense_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array.T


def _pointwise2_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array.T[:, :, None, None]


def _pointwise3_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array.T[:, :, None, None, None]


def _parts_there(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array.reshape(-1, num_parts).T


def _parts_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array.T.reshape(-1)


def _same(array: np.ndarray, num_parts: int) -> np.ndarray:
    return array


same = Layout(_same, _same)
# [out, in, *kernel] <-> [*kernel, in, out], for any number of axes.
conv = Layout(_conv_there, _conv_back)
# [out, in] <-> [in, out]; pointwise: a 1 x 1 (x 1) convolution to the same.
dense = Layout(_dense_there, _dense_back)
pointwise2 = Layout(_dense_there, _pointwise2_back)
pointwise3 = Layout(_dense_there, _pointwise3_back)
# [d * p] with the parts running fastest <-> [p, d].
parts = Layout(_parts_there, _parts_back)


def norm(pattern: str, path: str, change: Layout = same) -> Table:
    return (
        (pattern + r"\.weight", f"params/{path}/scale", change),
        (pattern + r"\.bias", f"params/{path}/bias", change),
        (pattern + r"\.running_mean", f"batch_stats/{path}/mean", change),
        (pattern + r"\.running_var", f"batch_stats/{path}/var", change),
    )
