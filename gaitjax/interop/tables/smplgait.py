"""OpenGait's `SMPLGait`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gaitjax.interop.opengait import Network, Table, dense, norm, parts, same
from gaitjax.interop.tables.gaitpart import plain


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    layers = tuple(model_cfg["backbone_cfg"]["layers_cfg"])
    bins = tuple(model_cfg["bin_num"])
    return Network(
        backbone="smplgait",
        args={
            "layers": layers,
            "bins": bins,
            "features": model_cfg["SeparateFCs"]["out_channels"],
        },
        num_classes=model_cfg["SeparateBNNecks"]["class_num"],
        inputs=("sils", "smpl"),
        num_parts=sum(bins),
        table=table(layers),
    )


def table(layers: Sequence[str]) -> Table:
    return (
        *plain(layers, "Backbone", "backbone"),
        (r"fc(\d)\.weight", r"params/straighten/fc\1/kernel", dense),
        (r"fc(\d)\.bias", r"params/straighten/fc\1/bias", same),
        *norm(r"bn(\d)", r"straighten/bn\1"),
        (r"FCs\.fc_bin", "params/fcs/kernel", same),
        (r"BNNecks\.fc_bin", "params/necks/kernel", same),
        *norm(r"BNNecks\.bn1d", "necks/bn", parts),
    )
