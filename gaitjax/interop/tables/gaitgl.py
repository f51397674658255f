"""OpenGait's `GaitGL`, which looks at the data set's name to choose the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaitjax.interop.opengait import Network, Table, conv, norm, parts, same


def network(model_cfg: Mapping[str, Any], dataset_name: str | None) -> Network:
    """The larger network for exactly two names; the BNNeck head where it is named."""
    larger = dataset_name in ("OUMVLP", "GREW")
    channels = tuple(model_cfg["channels"])
    necks = model_cfg.get("SeparateBNNecks")
    return Network(
        backbone="gaitgl",
        args={
            "channels": channels if larger else (*channels, channels[-1]),
            "convs": 2 if larger else 1,
            "halvings": 1 if larger else 3,
            "bnneck": necks is not None,
        },
        num_classes=(necks or model_cfg)["class_num"],
        inputs=("sils",),
        num_parts=64,
        table=table(larger),
    )


def table(larger: bool) -> Table:
    """larger: two convolutions per stage, which are numbered then."""
    rows = []
    for stage, name in enumerate(("GLConvA0", "GLConvA1", "GLConvB2")):
        key = rf"{name}\.(\d)" if larger else name
        kind = r"\.(global|local)_conv3d\.conv3d\.weight"
        path = rf"stage{stage}_\1/\2" if larger else rf"stage{stage}_0/\1"
        rows.append((key + kind, f"params/{path}/conv/kernel", conv))
    return (
        (r"conv3d\.0\.conv3d\.weight", "params/stem0/conv/kernel", conv),
        (r"conv3d\.2\.conv3d\.weight", "params/stem1/conv/kernel", conv),
        (r"LTA\.0\.conv3d\.weight", "params/lta/conv/kernel", conv),
        *rows,
        (r"HPP\.p", "params/power", same),
        (r"Head0\.fc_bin", "params/fcs/kernel", same),
        *norm("Bn", "bn"),
        (r"Head1\.fc_bin", "params/classifier/kernel", same),
        (r"BNNecks\.fc_bin", "params/necks/kernel", same),
        *norm(r"BNNecks\.bn1d", "necks/bn", parts),
    )
