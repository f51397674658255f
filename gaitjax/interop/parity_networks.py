"""Networks against the reference's outputs.

Each network is rebuilt from its `model_cfg` and the weight rule; nothing else is
known about it. Where OpenGait and gaitjax differ in form only (axis order), it is
undone here.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.errors import GaitError
from gaitjax.interop import goldens, opengait
from gaitjax.interop.goldens import Row, failed, relative_error
from gaitjax.methods.supervised import make_backbone
from gaitjax.runtime.checkpoint import differences
from gaitjax.runtime.precision import with_products

TOLERANCE = 1e-5  # of the largest value; ten times the reference's own rounding
# Two roundings of the reference lie between packed sequences and single ones.
PACKED_TOLERANCE = 2e-5

# What the goldens call an input, and what a record does.
RECORD_KEYS = {
    "sil": "sils",
    "sil128": "sils",
    "depth": "ranges",
    "heat": "heatmaps",
    "smpl": "smpl",
}


def check_network(folder: str | os.PathLike, name: str) -> list[Row]:
    """Compares <folder>/<name>.{json,npz}; a network we lack is a failed row."""
    spec, want = goldens.load_json(folder, name), goldens.load(folder, name)
    try:
        network, model, variables = rebuild(spec)
    except (GaitError, ModuleNotFoundError) as error:
        return [failed(name, "network", str(error))]
    frames, mask, plain = batch_of(goldens.load(folder, "inputs"), spec["input"])
    x = network_input(frames, network.inputs)
    lines = structure(model, variables, x, mask)
    if lines:
        return [failed(name, "parameters", "; ".join(lines[:4]))]
    shape = tuple(int(size) for size in want["backbone_shape"])
    out, maps = _run(model, variables, x, mask, shape)
    out = {key: np.asarray(value) for key, value in out.items()}
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    rows = [
        Row(name, "parameters", abs(count / spec["parameters"] - 1), 0.0),
        *_map_row(name, maps, want),
    ]
    for key, prefix, rows_of in (
        ("embeddings", "", slice(None, plain)),
        ("logits", "", slice(None, plain)),
        ("embeddings", "var_", slice(plain, None)),
        ("logits", "var_", slice(plain, None)),
        ("embeddings", "packed_", slice(plain, None)),
    ):
        if prefix + key in want:
            rows.append(output_row(name, prefix + key, out, key, rows_of, want))
    return rows


def rebuild(spec: Mapping[str, Any]) -> tuple[opengait.Network, nn.Module, dict]:
    """The network of a golden's JSON, our module of it, and its variables."""
    network = opengait.network_of(spec["model_cfg"], spec.get("dataset_name"))
    model = make_backbone(
        network.backbone, network.args, network.num_classes, jnp.float32
    )
    weights = goldens.state_dict(spec)
    return network, model, opengait.to_flax(weights, network.table, network.num_parts)


def batch_of(
    inputs: Mapping[str, np.ndarray], name: str
) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Both sets of inputs as one padded batch: one shape is one compilation.

    name: the JSON's `input`, kinds joined by +. Returns {record key: f32
    [n, t, ...channels]}, the mask f32 [n, t], and how many rows are the plain set.
    """
    kinds = name.split("+")
    lengths = inputs["var_lengths"]
    plain, frames = inputs[kinds[0]].shape[:2]
    most = max(frames, inputs[f"var_{kinds[0]}"].shape[1])
    lengths = np.concatenate([np.full(plain, frames), lengths])
    mask = np.arange(most) < lengths[:, None]
    batch = {}
    for kind in kinds:
        sets = [_fill(inputs[key], most) for key in (kind, f"var_{kind}")]
        x = np.concatenate(sets).copy()
        x[~mask] = 201 if x.dtype == np.uint8 else 9  # what lies there must not matter
        batch[RECORD_KEYS[kind]] = as_network_input(kind, x)
    return batch, mask.astype(np.float32), plain


def network_input(
    frames: Mapping[str, np.ndarray], keys: tuple[str, ...]
) -> np.ndarray | dict[str, np.ndarray]:
    """What a network with these `inputs` takes: an array, or a dict of several."""
    if len(keys) > 1:
        return {key: frames[key] for key in keys}
    arrays = list(frames.values())
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, -1)


def structure(
    model: nn.Module, variables: Mapping[str, Any], x: Any, mask: np.ndarray
) -> list[str]:
    """A line for every array that only the network or only `variables` has.

    Flax itself says nothing about parameters that no layer asks for.
    """
    init = functools.partial(model.init, train=False)
    wanted = dict(jax.eval_shape(init, jax.random.key(0), x, mask))
    return differences(variables, wanted)


def _fill(x: np.ndarray, length: int) -> np.ndarray:
    pad = [(0, 0)] * x.ndim
    pad[1] = (0, length - x.shape[1])
    return np.pad(x, pad)


def as_network_input(kind: str, x: np.ndarray) -> np.ndarray:
    """Stored frames [n, s, ...] as f32 [n, t, h, w, c]; SMPL [n, t, 85] as it is."""
    if kind in ("sil", "sil128"):
        return x[..., None].astype(np.float32)
    if kind in ("depth", "heat"):
        return np.moveaxis(x / 255, 2, -1).astype(np.float32)
    return x.astype(np.float32)


def _run(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: Any,
    mask: np.ndarray,
    map_shape: tuple[int, ...],
) -> tuple[dict, list]:
    """The outputs, and what the network's children gave that has the map's shape."""
    _, c, *_, h, w = map_shape

    def apply(variables, x, mask):
        out, state = model.apply(
            variables, x, mask, train=False, capture_intermediates=_is_child
        )
        leaves = jax.tree.leaves(state["intermediates"])
        maps = [leaf for leaf in leaves if leaf.shape[-3:] == (h, w, c)]
        return out, [x.reshape(len(mask), -1, h, w, c) for x in maps]

    return jax.jit(with_products(apply, "float32"))(variables, x, mask)


def _is_child(module: nn.Module, method: str) -> bool:
    return method == "__call__" and len(module.path) == 1


def _map_row(name: str, maps: list, want: Mapping[str, np.ndarray]) -> list[Row]:
    """The last feature map before pooling over time, where a child returns it."""
    n, _, t, *_ = want["backbone_shape"]
    errors = []
    for x in maps:
        if x.shape[1] < t:
            continue
        x = np.asarray(x)[:n, :t].transpose(0, 4, 1, 2, 3).astype(np.float64)
        first = np.abs(x.reshape(-1)[:64] - want["backbone_first64"]).max()
        mean = abs(x.mean() - want["backbone_mean"]) / want["backbone_std"]
        std = abs(x.std() / want["backbone_std"] - 1)
        errors.append(float(max(first / np.abs(x).max(), mean, std)))
    # Several children may give a map of that size: one of them is the last.
    return [Row(name, "feature map", min(errors), TOLERANCE)] if errors else []


def output_row(
    name: str,
    what: str,
    out: Mapping[str, np.ndarray],
    key: str,
    rows: slice,
    want: Mapping[str, np.ndarray],
) -> Row:
    tolerance = PACKED_TOLERANCE if what.startswith("packed") else TOLERANCE
    if key not in out:
        return failed(name, what, f"the network gives no {key}")
    ours = np.swapaxes(out[key][rows], 1, 2)
    if ours.shape[1] != want[what].shape[1] == 1:  # GLN's logits are [n, 1, classes]
        ours = np.swapaxes(ours, 1, 2)
    if ours.shape != want[what].shape:
        shapes = f"shape {list(ours.shape)}, expected {list(want[what].shape)}"
        return failed(name, what, shapes)
    return Row(name, what, relative_error(ours, want[what]), tolerance)
