"""What a walker wears and carries on one take: surface geometry, never morphology.

Thicknesses and radii are fractions of stature and all chosen. A Wear belongs to a
take: all its views show the same bag or coat, no identity keeps one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

BAG_KINDS = ("back", "shoulder", "hand")
LOAD_KINDS = ("box", "trolley")
# Degrees that an arm is held at, shoulder and elbow bent forwards.
BOX_ARM, UMBRELLA_ARM, TROLLEY_ARM = (-8.0, 88.0), (24.0, 112.0), (-22.0, 12.0)


@dataclasses.dataclass(frozen=True)
class Wear:
    """Clothes as thickness on top of the body, and at most one bag and one load.

    fit: factor on the girth of trunk and legs, everyday clothing.
    torso, arm, leg: thickness. abduction: arms held away by it, degrees.
    hem: where a coat or skirt ends, as a share of the thigh; 0 is none.
    flare: radius of that hem. bag: one of BAG_KINDS or None. bag_side: +1 left,
    -1 right. bag_radius: half its width. load: one of LOAD_KINDS or None, a box in both
    hands or a trolley pulled by one. load_radius: half its width. umbrella: radius of
    its canopy, 0 is none. hand: +1 or -1, the one that pulls, or holds it up.
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
    load: str | None = None
    load_radius: float = 0.0
    umbrella: float = 0.0
    hand: int = 1

    @property
    def arm_swing(self) -> tuple[float, float]:
        """Factor on the swing of the left and the right arm."""
        held = [0.1 if angles else 1.0 for angles in self.arms_held]
        if self.bag == "hand":
            held[0 if self.bag_side > 0 else 1] *= 0.35
        return held[0], held[1]

    @property
    def arms_held(self) -> tuple[tuple[float, float] | None, ...]:
        """Where the left and the right arm are held, (shoulder, elbow) in degrees;
        None swings freely."""
        if self.load == "box":
            return BOX_ARM, BOX_ARM
        held: dict[int, tuple[float, float]] = {}
        if self.umbrella:
            held[self.umbrella_hand] = UMBRELLA_ARM
        if self.load == "trolley":
            held[self.hand] = TROLLEY_ARM
        return held.get(1), held.get(-1)

    @property
    def umbrella_hand(self) -> int:
        """The one that holds it up; a trolley takes the other."""
        return -self.hand if self.load == "trolley" else self.hand


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


def sample_load(rng: np.random.Generator) -> Wear:
    """A box in both hands, or a trolley."""
    return Wear(
        load=LOAD_KINDS[rng.integers(len(LOAD_KINDS))],
        load_radius=rng.uniform(0.032, 0.046),
        hand=int(rng.choice((-1, 1))),
    )


def sample_umbrella(rng: np.random.Generator) -> Wear:
    """An open umbrella in one hand."""
    return Wear(umbrella=rng.uniform(0.22, 0.28), hand=int(rng.choice((-1, 1))))


def sample_uniform(rng: np.random.Generator) -> Wear:
    """The same wide working clothes, cap and all, on everybody."""
    del rng
    return Wear(torso=0.008, arm=0.005, leg=0.005, hat=True)


def sample_upper(rng: np.random.Generator) -> Wear:
    """One garment for the upper body out of somebody's wardrobe."""
    u = rng.uniform
    long = rng.random() < 0.25
    return Wear(
        torso=u(0.0, 0.018),
        arm=u(0.0, 0.012),
        abduction=u(0.0, 3.0),
        hem=u(0.30, 0.80) if long else 0.0,
        flare=u(0.045, 0.058) if long else 0.0,
        hat=bool(rng.random() < 0.2),
    )


def sample_lower(rng: np.random.Generator) -> Wear:
    """One garment for the legs: trousers of some width, or a skirt."""
    u = rng.uniform
    skirt = rng.random() < 0.3
    return Wear(
        leg=u(0.0, 0.013),
        hem=u(0.35, 0.90) if skirt else 0.0,
        flare=u(0.045, 0.060) if skirt else 0.0,
    )


def combine(wears: list[Wear]) -> Wear:
    """All of it worn at once: the thickest counts, and a hand holds one thing."""
    values = {}
    for field in dataclasses.fields(Wear):
        worn = [getattr(wear, field.name) for wear in wears]
        changed = [value for value in worn if value != field.default]
        values[field.name] = field.default
        if changed:
            numbers = isinstance(field.default, float)
            values[field.name] = max(changed) if numbers else changed[0]
    if values["bag"] == "hand" and (values["load"] or values["umbrella"]):
        values["bag"] = "back"
    if values["load"] == "box" and values["umbrella"]:
        values["load"] = "trolley"
    return Wear(**values)
