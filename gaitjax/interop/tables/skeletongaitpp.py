"""OpenGait's `SkeletonGaitPP`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaitjax.interop.opengait import Network, Table, norm, pointwise2
from gaitjax.interop.tables.deepgaitv2 import frame_conv, heads, stages


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """`C` is the width in units of 32 channels."""
    backbone = model_cfg["Backbone"]
    channels = tuple(32 * backbone["C"] * 2**i for i in range(4))
    return Network(
        backbone="skeletongaitpp",
        args={
            "layers": tuple(backbone["blocks"]),
            "channels": channels,
            "features": channels[2],
        },
        num_classes=model_cfg["SeparateBNNecks"]["class_num"],
        inputs=("heatmaps", "sils"),
        num_parts=16,
        table=table(),
    )


def table() -> Table:
    """DeepGaitV2's, with two stems and the fusion's list of seven modules."""
    root = r"fusion\.conv\.forward_block"
    return (
        *stages("p3d"),
        (root + r"\.0\.weight", "params/fusion/squeeze/conv/dense/kernel", pointwise2),
        *norm(root + r"\.1", "fusion/squeeze/bn"),
        *frame_conv(root, 3, "fusion/mix"),
        (root + r"\.6\.weight", "params/fusion/expand/dense/kernel", pointwise2),
        *heads(),
    )
