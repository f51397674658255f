"""What the study of Selective Fusion trains: main rows by three seeds and at two rates,
the rest by one seed.

A row is a name and what it changes in configs/casia_bn_selective_fusion.py:walkers.
All stand on one pre-training and one classifier of views, trained once and first; a
seed is one of what comes after them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gaitjax.bench.study import args

SEEDS = (0, 1, 2)
ROUND, ROUNDS, FUSION = 40, 6, 3  # steps of a round; rounds; the first with fusion
STEPS = ROUND * ROUNDS
# Of the recipe's 40 nearest of 2,640 sequences two in five are the same person, of 20
# half (pre-trained network, training people).
NEIGHBOURS = 20
BATCH = {"data.p": 8, "data.k": 4, "data.frames": 3}  # 96 frames
VIEWS = BATCH | {"data.p": 2, "data.k": 16}  # as many, of front and back and of others
FAST = {"optim.lr": 3e-4}  # three times the paper's: there are few steps
# What is trained before, by name: (steps, of the classifier of views).
BASES = {
    "pretraining": (1500, False),
    "views": (150, True),
    "pretraining_short": (500, False),
    "views_degraded": (10, True),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One run. study: the table it belongs to; row: its line there.

    changes: of the config, by dotted key. start, views: the bases that it stands on.
    upper: with the labels of the set, from the same start. looked: how it takes clothes
    is measured, too; of the method itself there are pictures.
    """

    study: str
    row: str
    seed: int
    changes: Mapping[str, Any]
    start: str = "pretraining"
    views: str = "views"
    upper: bool = False
    looked: bool = False

    @property
    def name(self) -> str:
        """The folder of the run."""
        return self.row if self.study == "bases" else f"{self.row}-seed{self.seed}"


def no_fusion() -> dict[str, Any]:
    """Clusters as they are in every round: Cluster-Contrast."""
    return args(fusion_round=None, fuse_clothes=False, fuse_views=False)


def main_rows() -> dict[str, dict[str, Any]]:
    """Parts of the method, and the rival without clusters. `pretraining`, of the
    bases, and `upper` are beside them."""
    return {
        "both": {},
        "baseline": no_fusion(),
        "scf": args(fuse_views=False),
        "ssf": args(fuse_clothes=False),
        "instances": args(
            objective="instances",
            fusion_round=None,
            fuse_clothes=False,
            fuse_views=False,
        )
        # Two clips of a sequence, so that a batch has as many frames; which are to be
        # unlike each other, as GaitSSB's are. There is nothing to cluster.
        | {"data.p": 16, "data.k": 2, "train.refresh_every": STEPS}
        | {"data.perspective": 0.2, "data.flip": 0.2, "data.rotate": 0.2},
    }


def single_rows() -> dict[str, dict[str, dict[str, Any]]]:
    """One seed each, by study; the first two beside `both`, the rest `baseline`."""
    constant = {f"{m:g}": args(momentum_max=m, momentum_min=m) for m in (0.1, 0.2, 0.5)}
    sweeps = {
        "eps": {f"{x:g}": args(eps=x) for x in (0.3, 0.4, 0.6)},
        "similarity": {f"{x:g}": args(similarity=x) for x in (0.9, 0.95)},
        "neighbours": {str(x): args(neighbours=x) for x in (10, 40, 60)},
        "temperature": {f"{x:g}": args(temperature=x) for x in (0.03, 0.1)},
        "momentum": constant | {"0.8": args(momentum_max=0.8, momentum_min=0.8)},
    }
    return {
        "support": {f"support_{size}": args(support=size) for size in (3, 4)},
        "rate": {"constant_rate": args(adaptive=False)},
        **{
            name: {f"{name}_{x}": no_fusion() | more for x, more in values.items()}
            for name, values in sweeps.items()
        },
    }


def bases() -> list[Job]:
    """What the others stand on."""
    return [Job("bases", name, 0, {}, looked=name == "pretraining") for name in BASES]


def jobs() -> list[Job]:
    """All of them, in an order that makes partial results useful."""

    def main(seed: int) -> list[Job]:
        found = [
            Job("main", row, seed, changes, looked=seed == 0)
            for row, changes in main_rows().items()
        ]
        return [*found, Job("main", "upper", seed, {}, upper=True, looked=seed == 0)]

    fast = [
        Job("fast", f"{row}_fast", seed, changes | FAST)
        for seed in SEEDS
        for row, changes in main_rows().items()
        if row != "instances"
    ]

    singles = [
        Job(study, row, 0, changes)
        for study, rows in single_rows().items()
        for row, changes in rows.items()
    ]
    limits = [
        Job("limits", "short_pretraining", 0, {}, start="pretraining_short"),
        Job("limits", "degraded_views", 0, {}, views="views_degraded"),
    ]
    return [
        *bases(),
        *main(0),
        *singles[:3],
        *limits,
        *main(1),
        *main(2),
        *singles[3:],
        *fast,
    ]
