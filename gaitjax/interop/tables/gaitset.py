"""OpenGait's `GaitSet`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaitjax.interop.opengait import Network, Table, conv, same


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """A network without classifier."""
    bins = tuple(model_cfg["bin_num"])
    return Network(
        backbone="gaitset",
        args={
            "channels": tuple(model_cfg["in_channels"][1:]),
            "bins": bins,
            "features": model_cfg["SeparateFCs"]["out_channels"],
        },
        num_classes=0,
        inputs=("sils",),
        num_parts=2 * sum(bins),
        table=table(),
    )


def table() -> Table:
    return (
        *pair(r"set_block(\d)\.forward_block", r"block\1"),
        *pair(r"gl_block(\d)", r"global\1"),
        (r"Head\.fc_bin", "params/fcs/kernel", same),
    )


def pair(pattern: str, path: str) -> Table:
    """Two convolutions, each followed by an activation that torch counts too."""
    return tuple(
        (
            rf"{pattern}\.{2 * number}\.conv\.weight",
            f"params/{path}/conv{number}/conv/kernel",
            conv,
        )
        for number in (0, 1)
    )
