"""OpenGait's `DeepGaitV2`: all modes and depths, and SkeletonGait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaitjax.interop.opengait import (
    Layout,
    Network,
    Table,
    conv,
    norm,
    parts,
    pointwise2,
    pointwise3,
    same,
)


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
        table=table(backbone["mode"]),
    )


def table(mode: str) -> Table:
    return (*stages(mode), *heads())


def stages(mode: str) -> Table:
    """layer0 to layer4, also under a prefix such as "sil_"."""
    flat = block_rows(r"(\w*layer1)\.forward_block\.(\d+)\.", pointwise2)
    if mode == "2d":
        rest = block_rows(r"(\w*layer[234])\.forward_block\.(\d+)\.", pointwise2)
    else:
        block = r"(\w*layer[234])\.(\d+)\."
        rest = block_rows(block, pointwise3)
        if mode == "p3d":
            rest = (*wrapped_rows(block), *rest)
    return (*frame_conv(r"(\w*layer0)\.forward_block", 0, r"\1"), *flat, *rest)


def block_rows(block: str, pointwise: Layout) -> Table:
    """A residual block of convolutions of one kind; pointwise: its shortcut's."""
    path = r"\1/block\2/"
    return (
        (block + r"conv(\d)\.weight", rf"params/{path}conv\3/conv/kernel", conv),
        *norm(block + r"bn(\d)", rf"{path}bn\3"),
        (
            block + r"downsample\.0\.weight",
            f"params/{path}shortcut/dense/kernel",
            pointwise,
        ),
        *norm(block + r"downsample\.1", f"{path}shortcut_bn"),
    )


def wrapped_rows(block: str) -> Table:
    """What p3d has in place of those: convolutions over frames, and one over time."""
    path = r"\1/block\2/"
    wrapped = block + r"conv(\d)\.forward_block\."
    return (
        (wrapped + r"0\.weight", rf"params/{path}conv\3/conv/kernel", conv),
        *norm(wrapped + "1", rf"{path}bn\3"),
        (
            block + r"shortcut3d\.weight",
            f"params/{path}temporal/conv/kernel",
            Layout(_time_there, _time_back),
        ),
        *norm(block + "sbn", f"{path}temporal_bn"),
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


def _time_there(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, in, 3, 1, 1] -> [3, 1, in, out]."""
    return conv(array[..., 0], num_parts)


def _time_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    return conv.back(array, num_parts)[..., None]
