"""OpenGait's `Baseline` with a `ResNet9`: GaitBase and LidarGait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaitjax.errors import GaitError
from gaitjax.interop.opengait import Network, Table, conv, norm, parts, pointwise2, same


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """Three input channels are LidarGait's range views."""
    backbone = model_cfg["backbone_cfg"]
    kind = backbone.get("type", "ResNet9"), backbone.get("maxpool", False)
    if kind != ("ResNet9", False):
        raise GaitError(
            "Baseline: expected backbone_cfg of type ResNet9 with maxpool false, got "
            f"type {kind[0]} with maxpool {kind[1]}; there is no such network here"
        )
    bins = tuple(model_cfg["bin_num"])
    return Network(
        backbone="gaitbase",
        args={
            "channels": tuple(backbone["channels"]),
            "strides": tuple(backbone["strides"]),
            "bins": bins,
            "features": model_cfg["SeparateFCs"]["out_channels"],
        },
        num_classes=model_cfg["SeparateBNNecks"]["class_num"],
        inputs=("ranges",) if backbone.get("in_channel") == 3 else ("sils",),
        num_parts=sum(bins),
        table=table(),
    )


def table() -> Table:
    """A set wrapper around the backbone, then FCs and BNNecks."""
    root = r"Backbone\.forward_block\."
    block = root + r"layer(\d)\.(\d)\."
    layer = r"backbone/layer\1_\2/"
    return (
        (root + r"conv1\.conv\.weight", "params/backbone/stem/conv/kernel", conv),
        *norm(root + "bn1", "backbone/bn1"),
        (block + r"conv(\d)\.weight", rf"params/{layer}conv\3/conv/kernel", conv),
        *norm(block + r"bn(\d)", rf"{layer}bn\3"),
        (
            block + r"downsample\.0\.weight",
            rf"params/{layer}shortcut/dense/kernel",
            pointwise2,
        ),
        *norm(block + r"downsample\.1", rf"{layer}shortcut_bn"),
        (r"FCs\.fc_bin", "params/fcs/kernel", same),
        (r"BNNecks\.fc_bin", "params/necks/kernel", same),
        *norm(r"BNNecks\.bn1d", "necks/bn", parts),
    )
