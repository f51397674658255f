"""OpenGait's `SwinGait`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaitjax.interop.opengait import Layout, Network, Table, conv, dense, same
from gaitjax.interop.tables.deepgaitv2 import heads, stages


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """The widths and heads of its transformer are not in the config."""
    backbone = model_cfg["Backbone"]
    bins = tuple(model_cfg["bin_num"])
    return Network(
        backbone="swingait",
        args={
            "layers": tuple(backbone["layers"]),
            "channels": (*backbone["channels"], 256, 512),
            "bins": bins,
            "features": model_cfg["SeparateBNNecks"]["in_channels"],
        },
        num_classes=model_cfg["SeparateBNNecks"]["class_num"],
        inputs=("sils",),
        num_parts=sum(bins) + 1,
        table=table(),
    )


def table() -> Table:
    """DeepGaitV2's first stages, the transformer, and heads of a part more."""
    root = r"transformer\."
    block = root + r"layers\.(\d)\.blocks\.(\d+)\."
    path = r"transformer/stage\1_block\2/"
    return (
        *stages("p3d"),
        (
            root + r"patch_embed\.proj\.weight",
            "params/transformer/patches/kernel",
            Layout(_flat_there, _flat_back),
        ),
        (root + r"patch_embed\.proj\.bias", "params/transformer/patches/bias", same),
        *scale_bias(root + r"patch_embed\.norm", "transformer/patches_norm"),
        *scale_bias(block + r"(norm\d)", path + r"\3"),
        (
            block + r"attn\.relative_position_bias_table",
            f"params/{path}attn/position_bias",
            same,
        ),
        *linear(block + r"attn\.(qkv|proj)", path + r"attn/\3"),
        *linear(block + r"mlp\.(fc\d)", path + r"\3"),
        *scale_bias(root + r"layers\.0\.downsample\.0", "transformer/widen1_norm"),
        *linear(root + r"layers\.0\.downsample\.1", "transformer/widen1"),
        *scale_bias(root + "norm", "transformer/norm"),
        *heads(),
    )


def scale_bias(pattern: str, path: str) -> Table:
    return (
        (pattern + r"\.weight", f"params/{path}/scale", same),
        (pattern + r"\.bias", f"params/{path}/bias", same),
    )


def linear(pattern: str, path: str) -> Table:
    return (
        (pattern + r"\.weight", f"params/{path}/kernel", dense),
        (pattern + r"\.bias", f"params/{path}/bias", same),
    )


def _flat_there(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, in, 1, h, w] -> [h, w, in, out]."""
    return conv(array[:, :, 0], num_parts)


def _flat_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    return conv.back(array, num_parts)[:, :, None]
