"""OpenGait's `GaitPart`, and its `Plain` backbones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gaitjax.interop.opengait import Network, Table, conv, same


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """A network without classifier."""
    layers = tuple(model_cfg["backbone_cfg"]["layers_cfg"])
    bins = tuple(model_cfg["bin_num"])
    return Network(
        backbone="gaitpart",
        args={
            "layers": layers,
            "bins": bins,
            "features": model_cfg["SeparateFCs"]["out_channels"],
        },
        num_classes=0,
        inputs=("sils",),
        num_parts=sum(bins),
        table=table(layers),
    )


def table(layers: Sequence[str]) -> Table:
    # Named by the kernels of the two convolutions; ours by the window of the pools.
    windows = {"conv1d3x1": 3, "conv1d3x3": 5}
    part = r"\.(\d+)\."
    return (
        *plain(layers, "Backbone", "backbone"),
        *(
            (
                rf"TFA\.pooling_func\.{name}{part}{2 * layer}\.conv\.weight",
                rf"params/temporal/window{window}_conv{layer}/part\1",
                conv,
            )
            for name, window in windows.items()
            for layer in (0, 1)
        ),
        (r"Head\.fc_bin", "params/fcs/kernel", same),
    )


def plain(layers: Sequence[str], pattern: str, path: str) -> Table:
    """A `Plain` backbone in a set wrapper; torch counts the activations as well."""
    rows, index = [], 0
    for number, layer in enumerate(layers):
        if layer != "M":
            key = rf"{pattern}\.forward_block\.feature\.{index}\.conv\.weight"
            rows.append((key, f"params/{path}/conv{number}/conv/kernel", conv))
        index += 1 if layer == "M" else 2
    return tuple(rows)
