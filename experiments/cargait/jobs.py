"""What the study of CarGait trains: bases, and what sorts their lists again.

A job is one base, by twin, backbone and seed, and all that stands on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

SEEDS = (0, 1, 2)
# One right item per list of a gallery view, and several.
TWINS = ("oumvlp", "gait3d")
BACKBONES = ("gaitbase", "gaitset", "deepgaitv2")
DEPTHS = (3, 5, 20, 40)  # of K, beside the recipe's 10


@dataclasses.dataclass(frozen=True)
class Job:
    """rows: runs on this base, by name, with what each changes in the recipe."""

    twin: str
    backbone: str
    seed: int
    rows: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The folder of the job."""
        return f"{self.backbone}-{self.twin}-seed{self.seed}"


def args(**values: Any) -> dict[str, Any]:
    """Changes of `method_args`."""
    return {f"method_args.{key}": value for key, value in values.items()}


def single_rows() -> dict[str, dict[str, Any]]:
    """The paper's table 5 and what it does not state; one base of each twin."""
    return {
        "binary": args(scorer="binary"),
        "alpha_0": args(ce_weight=0.0),
        "beta_1": args(damping=1.0),
        "v_10": args(nearest=10),
        "v_20": args(nearest=20),
        "v_40": args(nearest=40),
        "pre_norm": args(pre_norm=True),
        "random_output": args(zero_init=False),
    }


def jobs() -> list[Job]:
    """All of them, in an order that makes partial results useful."""
    found = []
    for seed in SEEDS:
        for backbone in BACKBONES:
            for twin in TWINS:
                first = seed == 0 and backbone == BACKBONES[0]
                rows = {"cargait": {}} | (single_rows() if first else {})
                found.append(Job(twin, backbone, seed, rows))
    return found
