"""OpenGait's `DeepGaitV2`: all modes and depths, and SkeletonGait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaitjax.interop.opengait import Network, Table, conv, dense, norm, parts, same


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """Two input channels are SkeletonGait's heat maps."""
    backbone = model_cfg["Backbone"]
    channels = tuple(backbone["channels"])
    return Network(
        backbone="deepgaitv2",
        args={
            "mode": backbone["mode"],
            "layers": tuple(backbone["layers"]),
            "channels": channels,
            "features": channels[2],
            "unit_embeddings": bool(model_cfg.get("use_emb2", False)),
        },
        num_classes=model_cfg["SeparateBNNecks"]["class_num"],
        inputs=("heatmaps",) if backbone["in_channels"] == 2 else ("sils",),
        num_parts=16,
        table=table(),
    )


def table() -> Table:
    return (*stages(), *heads())


def stages() -> Table:
    """layer0 to layer4 of any mode, also under a prefix such as "sil_"."""
    block = r"(\w*layer\d)\.(?:forward_block\.)?(\d+)\."
    path = r"\1/block\2/"
    return (
        *frame_conv(r"(\w*layer0)\.forward_block", 0, r"\1"),
        # 2d and 3d name a convolution and its norm, p3d wraps the two.
        (
            block + r"conv(\d)(?:\.forward_block\.0)?\.weight",
            rf"params/{path}conv\3/conv/kernel",
            conv,
        ),
        *norm(block + r"bn(\d)", rf"{path}bn\3"),
        *norm(block + r"conv(\d)\.forward_block\.1", rf"{path}bn\3"),
        (
            block + r"shortcut3d\.weight",
            f"params/{path}temporal/conv/kernel",
            over_time,
        ),
        *norm(block + "sbn", f"{path}temporal_bn"),
        (
            block + r"downsample\.0\.weight",
            f"params/{path}shortcut/dense/kernel",
            dense,
        ),
        *norm(block + r"downsample\.1", f"{path}shortcut_bn"),
    )


def frame_conv(pattern: str, index: int, path: str) -> Table:
    """A convolution and its norm, neighbours in a list of torch modules."""
    return (
        (rf"{pattern}\.{index}\.weight", f"params/{path}/conv/conv/kernel", conv),
        *norm(rf"{pattern}\.{index + 1}", f"{path}/bn"),
    )


def heads() -> Table:
    return (
        (r"FCs\.fc_bin", "params/fcs/kernel", same),
        (r"BNNecks\.fc_bin", "params/necks/kernel", same),
        *norm(r"BNNecks\.bn1d", "necks/bn", parts),
    )


def over_time(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, in, 3, 1, 1] -> [3, 1, in, out]."""
    return conv(array[..., 0], num_parts)
