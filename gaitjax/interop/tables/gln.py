"""OpenGait's `GLN`, of both phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaitjax.interop.opengait import (
    Layout,
    Network,
    Table,
    conv,
    dense,
    norm,
    parts,
    pointwise2,
    same,
)
from gaitjax.interop.tables.gaitset import pair


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """The first phase (`Lateral_pretraining`) has no classifier."""
    bins = tuple(model_cfg["bin_num"])
    first = model_cfg["Lateral_pretraining"]
    return Network(
        backbone="gln",
        args={
            "channels": tuple(model_cfg["in_channels"][1:]),
            "bins": bins,
            "lateral": model_cfg["lateral_dim"],
            "features": model_cfg["hidden_dim"],
            "dropout": model_cfg["dropout"],
        },
        num_classes=0 if first else model_cfg["class_num"],
        inputs=("sils",),
        num_parts=3 * sum(bins),
        table=table(),
    )


def table() -> Table:
    """torch counts the levels of the pyramid from 1, the stages from 0."""
    reduce = Layout(_reduce_there, _reduce_back)
    pyramid = [
        row
        for number in (0, 1, 2)
        for row in (
            (
                rf"lateral_layer{number + 1}\.weight",
                f"params/lateral{number}/dense/kernel",
                pointwise2,
            ),
            (
                rf"smooth_layer{number + 1}\.weight",
                f"params/smooth{number}/conv/kernel",
                conv,
            ),
        )
    ]
    return (
        *pair(r"sil_stage_(\d)\.forward_block", r"frames\1"),
        *pair(r"set_stage_(\d)", r"set\1"),
        *pyramid,
        (r"Head\.fc_bin", "params/fcs/kernel", same),
        *norm("encoder_bn", "compact/bn", parts),
        (r"reduce_fc\.weight", "params/compact/reduce/kernel", reduce),
        *norm("reduce_bn", "compact/reduce_bn"),
        (r"reduce_cls\.weight", "params/compact/classifier/kernel", dense),
    )


def _reduce_there(array: np.ndarray, num_parts: int) -> np.ndarray:
    """[out, d p] with the parts running fastest -> [p d, out]."""
    array = array.reshape(len(array), -1, num_parts)  # [out, d, p]
    return array.transpose(2, 1, 0).reshape(-1, len(array))


def _reduce_back(array: np.ndarray, num_parts: int) -> np.ndarray:
    array = array.reshape(num_parts, -1, array.shape[-1])  # [p, d, out]
    return array.transpose(2, 1, 0).reshape(array.shape[-1], -1)
