"""What the study of DiffCrossGait trains: every row of the paper's ablations.

A row is a name and what it changes in the recipe; main rows have three seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gaitjax.bench.study import args

SEEDS = (0, 1, 2)
ELEVATIONS = (0, 15, 30, 45, 60)  # degrees, where the paper's own study looks


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run. study: the table it belongs to; row: its line there.

    changes: of the config, by dotted key. elevations: where its network is tested too.
    """

    study: str
    row: str
    seed: int
    changes: Mapping[str, Any]
    elevations: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The folder of the run."""
        return f"{self.row}-seed{self.seed}"


def shared_stages(scale: str) -> int:
    """Of the shared trunk: a modality has its stem and the first stage for itself."""
    return {"narrow": 3, "full": 4}[scale] - 1


def main_rows(scale: str) -> dict[str, dict[str, Any]]:
    """The rivals, the method, and its phases; three seeds each."""
    trunk = dict(shared_stages=shared_stages(scale), shared_head=False)
    return {
        "endpoint": args(phases=()),
        "full": {},
        "shared_trunk": {"method": "crossmodal", **args(**trunk)},
        "phase_1": args(phases=(1,)),
        "phases_1_2": args(phases=(1, 2)),
        "phases_1_3": args(phases=(1, 3)),
        "phases_2_3": args(phases=(2, 3)),
    }


def beyond_rows() -> dict[str, dict[str, Any]]:
    """Without the constant between the modalities; three seeds each."""
    return {
        "endpoint_centred": args(phases=(), centre=True),
        "full_centred": args(centre=True),
    }


def plug_in_rows() -> dict[str, dict[str, Any]]:
    """The same losses on other encoders; three seeds each."""
    return {
        "deepgaitv2": args(encoder="deepgaitv2", phases=()),
        "deepgaitv2_full": args(encoder="deepgaitv2"),
    }


def single_rows(scale: str) -> dict[str, dict[str, dict[str, Any]]]:
    """One seed each, by study."""
    heavy = {"narrow": 64, "full": 512}[scale]
    raw = {
        "data.args.modalities": ("sils", "ranges", "points"),
        **args(phases=(), inputs=("sils", "points")),
    }
    return {
        "table 5": {
            "no_shared_noise": args(shared_noise=False),
            "coupled_heads": args(decoupled=False),
            "no_token": args(token=False),
            "no_axial": args(axial=False),
        },
        "rivals": {
            "shared_trunk_and_head": {
                "method": "crossmodal",
                **args(shared_stages=shared_stages(scale), shared_head=True),
            },
        },
        "inputs": {
            "pseudo_silhouettes": args(phases=(), binary=("ranges",)),
            "points": raw,
        },
        "table 7": {
            "independent": args(independent=True),
            "heavy": args(denoiser_features=heavy, denoiser_block="full"),
        },
        "choices": {
            "cosine": args(schedule="cosine"),
            "free_targets": args(fixed_targets=False),
            "no_prior_gradient": args(prior_gradient=False),
            "random_heads": args(identity_heads=False),
            "endpoint_random_heads": args(phases=(), identity_heads=False),
            "raw_latents": args(unit_latents=False),
            "noise_loss": args(noise_weight=1.0),
            # As the code has them without a config.
            "weights_1_0.5_0.5_0.1": args(
                id_weight=1.0, eps_weight=0.5, mid_weight=0.5, rec_weight=0.1
            ),
        },
        "table 8": {
            "id_0.5": args(id_weight=0.5),
            "eps_0.5": args(eps_weight=0.5),
            "mid_0.5": args(mid_weight=0.5),
            "rec_0.3": args(rec_weight=0.3),
            "small_0.90": args(small_noise=0.90),
            "small_0.98": args(small_noise=0.98),
            "large_0.40": args(large_noise=0.40),
            "large_0.60": args(large_noise=0.60),
            "steps_50": args(num_steps=50),
            "steps_200": args(num_steps=200),
        },
        "three times as long": {
            "endpoint_long": {**args(phases=()), "train.steps": 1500},
            "full_long": {"train.steps": 1500},
        },
    }


def jobs(scale: str) -> list[Job]:
    """All of them, in an order that makes partial results useful."""
    tilted = ("endpoint", "full", "no_axial")

    def made(study: str, row: str, seed: int, changes: dict[str, Any]) -> Job:
        at = ELEVATIONS if row in tilted and seed == 0 else ()
        return Job(study, row, seed, changes, at)

    repeated = {"main": main_rows(scale), "beyond the paper": beyond_rows()}
    found = [
        made(study, row, seed, changes)
        for seed in SEEDS
        for study, rows in repeated.items()
        for row, changes in rows.items()
    ]
    single = [
        made(study, row, 0, changes)
        for study, rows in single_rows(scale).items()
        for row, changes in rows.items()
    ]
    plugged = [
        made("plug-in", row, seed, changes)
        for seed in SEEDS
        for row, changes in plug_in_rows().items()
    ]
    cut = sum(job.study in ("table 5", "rivals", "inputs") for job in single)
    return [*found, *single[:cut], *plugged, *single[cut:]]
