"""What a walker wears and carries on one take: surface geometry, never morphology.

Thicknesses and radii are fractions of stature and all chosen. A Wear belongs to a
take: all its views show the same bag or coat, no identity keeps one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

BAG_KINDS = ("back", "shoulder", "hand")


@dataclasses.dataclass(frozen=True)
class Wear:
    """Clothes as thickness on top of the body, and at most one bag.

    fit: factor on the girth of trunk and legs, everyday clothing.
    torso, arm, leg: thickness. abduction: arms held away by it, degrees.
    hem: where a coat or skirt ends, as a share of the thigh; 0 is none.
    flare: radius of that hem. bag: one of BAG_KINDS or None. bag_side: +1 left,
    -1 right. bag_radius: half its width.
    """

    fit: float = 1.0
    torso: float = 0.0
    arm: float = 0.0
    leg: float = 0.0
    abduction: float = 0.0
    hem: float = 0.0
    flare: float = 0.0
    hat: bool = False
    bag: str | None = None
    bag_side: int = 1
    bag_radius: float = 0.0

    @property
    def arm_swing(self) -> tuple[float, float]:
        """Factor on the swing of the left and the right arm."""
        if self.bag != "hand":
            return (1.0, 1.0)
        return (0.35, 1.0) if self.bag_side > 0 else (1.0, 0.35)


def sample_plain(rng: np.random.Generator) -> Wear:
    """Nothing but everyday clothes."""
    del rng
    return Wear()


def sample_bag(rng: np.random.Generator) -> Wear:
    """A rucksack, a shoulder bag or a bag in the hand."""
    return Wear(
        bag=BAG_KINDS[rng.integers(len(BAG_KINDS))],
        bag_side=int(rng.choice((-1, 1))),
        bag_radius=rng.uniform(0.050, 0.075),
    )


def sample_clothing(rng: np.random.Generator) -> Wear:
    """A down jacket, a long coat, a skirt, or padded clothes with a hat."""
    kind = rng.integers(4)
    u = rng.uniform
    if kind == 0:
        return Wear(torso=u(0.012, 0.022), arm=u(0.008, 0.014), abduction=u(2.0, 5.0))
    if kind == 1:
        return Wear(
            torso=u(0.008, 0.015),
            arm=u(0.005, 0.010),
            hem=u(0.50, 0.95),
            flare=u(0.045, 0.060),
            abduction=2.0,
        )
    if kind == 2:
        return Wear(
            torso=u(0.003, 0.008),
            arm=u(0.002, 0.006),
            leg=u(0.006, 0.012),
            hem=u(0.35, 0.60),
            flare=u(0.050, 0.060),
        )
    return Wear(
        torso=u(0.008, 0.016),
        arm=u(0.006, 0.010),
        leg=u(0.000, 0.008),
        hat=True,
        abduction=2.0,
    )
