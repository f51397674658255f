"""Synthetic walkers: identities and their sequences as a function of a seed.

    sils = make_sequence(seed=0, subject=7, condition="nm", take=0, view=90.0)["sils"]

The same arguments give the same bits in any process. Identities come from one stream,
bags and clothes from one per take, so that all views of a take wear the same, and
every (take, view) is a fresh walk: one walk seen by all cameras would leak its phase
and noise from view to view. Figures on walkers are simulated and must say so.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gaitjax.errors import GaitError
from gaitjax.walkers.body import Body, sample_body
from gaitjax.walkers.camera import sample_camera, silhouettes
from gaitjax.walkers.gait import Gait, sample_gait, walk
from gaitjax.walkers.normalise import normalise
from gaitjax.walkers.surface import capsules
from gaitjax.walkers.wear import Wear, sample_bag, sample_clothing, sample_plain

VERSION = "1.0.0"  # of the generator: another version, other pictures

# New conditions go to the end: a condition's place is part of its seed.
CONDITIONS = {"nm": sample_plain, "bg": sample_bag, "cl": sample_clothing}
FIT_SPREAD = 0.03  # chosen: log girth of everyday clothes, between takes


@dataclasses.dataclass(frozen=True)
class Spread:
    """Multipliers of the variation; 0 freezes one, as in gait=0: all walk alike.

    identity: bodies. gait: ways of walking. take: what differs between walks of one
    person. segmentation: noise of the masks.
    """

    identity: float = 1.3
    gait: float = 1.3
    take: float = 0.6
    segmentation: float = 1.0


@dataclasses.dataclass(frozen=True)
class Identity:
    """One walker."""

    body: Body
    gait: Gait


def make_identity(seed: int, subject: int, spread: Spread = Spread()) -> Identity:
    """The walker number `subject` of the world `seed`."""
    rng = np.random.default_rng((seed, 0, subject))
    body = sample_body(rng, spread.identity)
    return Identity(body=body, gait=sample_gait(rng, body, spread.gait))


def make_sequence(
    seed: int,
    subject: int,
    condition: str,
    take: int,
    view: float,
    num_frames: int = 20,
    fps: float = 25.0,
    spread: Spread = Spread(),
) -> dict[str, np.ndarray]:
    """One sequence of one walker: `sils`, uint8 [t, 64, 64].

    condition: "nm" (normal), "bg" (bag) or "cl" (other clothes). view: degrees; 0 is a
    camera in front of the walker, 90 on the left, 180 behind.
    """
    number = _condition_number(condition)
    identity = make_identity(seed, subject, spread)
    wear = make_wear(seed, subject, condition, take, spread)
    tenths = round(view * 10) % 3600
    rng = np.random.default_rng((seed, 2, subject, number, take, tenths))
    body = identity.body
    motion = walk(rng, body, identity.gait, num_frames, fps, wear, spread.take)
    camera = sample_camera(rng, view, spread.take)
    surface = capsules(body, motion, wear)
    return {"sils": normalise(silhouettes(rng, surface, camera, spread.segmentation))}


def make_wear(
    seed: int, subject: int, condition: str, take: int, spread: Spread = Spread()
) -> Wear:
    """What the walker wears and carries on a take, whatever the view."""
    number = _condition_number(condition)
    rng = np.random.default_rng((seed, 1, subject, number, take))
    wear = CONDITIONS[condition](rng)
    fit = float(np.exp(rng.normal(0.0, FIT_SPREAD * spread.take)))
    return dataclasses.replace(wear, fit=fit)


def _condition_number(condition: str) -> int:
    if condition not in CONDITIONS:
        known = ", ".join(CONDITIONS)
        raise GaitError(
            f"expected a condition of the walkers ({known}), got {condition!r}; "
            "choose one of these"
        )
    return list(CONDITIONS).index(condition)
