"""What the study of Mesh-Gait trains: main rows by three seeds, the rest by one.

A row is a name and what it changes in configs/*_meshgait.py:walkers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gaitjax.bench.study import args
from gaitjax.methods.meshgait import WEIGHTS

SEEDS = (0, 1, 2)
TWINS = ("oumvlp", "gait3d")
STEPS = 300
FRAMES = 72  # of a batch: people x sequences x frames of a clip
SIDE, CLIP = 8, 3  # voxels along a heat map, and frames of a clip
# Test clips are changed: how strongly silhouettes are spoilt, how long a clip is.
CHANGED = {
    "noise": (0.05, 0.2),
    "occlusion": (0.125, 0.375),
    "frames": (5, 10, 50),
}
# A third of the batch and of the steps, fewer test people.
BRIEF = {"train.steps": 100, "data.p": 4, "data.k": 2, "data.args.num_test": 16}
SHOWN = ("2d", "concat", "unsupervised")  # rows that are tested more closely
BARE = args(**dict.fromkeys(WEIGHTS.values(), 0.0))
BODIES = args(fusion="3d", triplet_weight=0.0, ce_weight=0.0)  # nobody is recognised


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run. study: the table it belongs to; row: its line there.

    changes: of the config, by dotted key. twin: it is trained on; elsewhere: it is
    tested on the other one, too. start: the row that its weights are from, of the same
    seed. changed: it is tested on changed clips, too.
    """

    study: str
    row: str
    seed: int
    changes: Mapping[str, Any]
    twin: str = "oumvlp"
    start: str | None = None
    elsewhere: bool = False
    changed: bool = False

    @property
    def name(self) -> str:
        """The folder of the run."""
        return f"{self.row}-seed{self.seed}"


def main_rows() -> dict[str, dict[str, Any]]:
    """The method, its branches, its rivals."""
    return {
        "2d": args(fusion="2d"),
        "concat": {},
        "unsupervised": BARE,
        "3d": args(fusion="3d"),
        "add": args(fusion="add"),
    }


def single_rows() -> dict[str, dict[str, dict[str, Any]]]:
    """One seed each, by study; each differs from `concat` by one thing, those of
    `brief` from the first of them."""
    weights = {
        "joint_weight": 100.0,
        "marker_weight": 100.0,
        "mesh_weight": 10.0,
        "triplet_weight": 1.0,
        "ce_weight": 1.0,
    }
    return {
        # Of no sequence at all: `unsupervised`, the same but for parts without a use.
        "labels": {
            "labelled_25": args(labelled=0.25),
            "labelled_05": args(labelled=0.05),
            # Where recognition does not spoil the maps.
            "labelled_25_detached": args(labelled=0.25, detach_features=True),
            "labelled_05_detached": args(labelled=0.05, detach_features=True),
        },
        "choices": {
            "bodies": BODIES,
            "alpha_5": args(alpha=5.0),
            "alpha_10": args(alpha=10.0),
            "probabilities": args(feed="probabilities"),
            "detach_features": args(detach_features=True),
            "detach_mesh": args(detach_mesh=True),
            "volume_1": args(volume=(64,)),
            "volume_2": args(volume=(8, 64)),
            "volume_4": args(volume=(8, 16, 32, 64)),
            **{f"fused_after_{i}": args(fused_after=i) for i in (2, 3)},
        },
        "clips": {f"frames_{t}": clip(t) for t in (2, 6, 9)},
        "weights": {
            "labels_x0.1": args(
                **{name: weights[name] / 10 for name in WEIGHTS.values()}
            ),
        }
        | {
            f"{name.removesuffix('_weight')}_x{factor:g}": args(**{name: value})
            for name, usual in weights.items()
            for factor in (0.1, 10)
            for value in (usual * factor,)
        },
        "margin": {
            "margin_0.1": args(margin=0.1),
            "margin_0.4": args(margin=0.4),
        },
        "resolution": {"side_4": args(side=4)},
        # 16 voxels a side and more in full would take a CPU core long.
        "brief": {
            "brief_8": BRIEF | args(side=8),
            "brief_16": BRIEF | args(side=16),
            # The usual 64 sequences would want 44 GB.
            "brief_32": BRIEF | args(side=32) | {"eval.batch": 4},
        },
    }


def clip(frames: int) -> dict[str, int]:
    """Clips of another length in a batch of as many frames: fewer people, then fewer
    sequences of each."""
    sequences = FRAMES // frames
    k = 4 if sequences > 8 else 2
    return {"data.frames": frames, "data.p": sequences // k, "data.k": k}


def jobs() -> list[Job]:
    """All of them, in an order that makes partial results useful."""

    def main(seed: int) -> list[Job]:
        return [
            Job(
                *("main", row, seed, changes),
                elsewhere=seed == 0 and row in SHOWN,
                changed=seed == 0 and row in SHOWN,
            )
            for row, changes in main_rows().items()
        ]

    twins = [
        Job("twins", f"gait3d_{row}", 0, changes, "gait3d", elsewhere=True)
        for row, changes in main_rows().items()
        if row in SHOWN
    ]
    # Other people, other cameras: their 3D branch alone, with and without recognition,
    # and then no label any more.
    twins.append(Job("twins", "gait3d_3d", 0, args(fusion="3d"), "gait3d"))
    twins.append(Job("twins", "gait3d_bodies", 0, BODIES, "gait3d"))
    later = [
        Job("labels", "pretrained_3d", 0, BARE, start="gait3d_3d"),
        Job("labels", "pretrained_bodies", 0, BARE, start="gait3d_bodies"),
    ]
    singles = [
        Job(study, row, 0, changes)
        for study, rows in single_rows().items()
        for row, changes in rows.items()
    ]
    return [*main(0), *main(1), *main(2), *twins, *singles[:4], *later, *singles[4:]]
