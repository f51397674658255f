"""Bodies: stature, limb lengths and girths of one walker, and its skeleton.

Lengths are fractions of stature after the segment diagram of Drillis & Contini
(as reprinted by Winter), quoted from memory; the variation between people, the sex
factors and everything else is chosen. Metres; x forward, y to the walker's left,
z up. The skeleton has the 24 joints of SMPL in its order, but its rest pose stands
with the arms hanging.
"""

from __future__ import annotations

import dataclasses

import numpy as np

# SMPL's joints. Pairs are (left, right).
PELVIS, WAIST, SPINE, CHEST, NECK, HEAD = 0, 3, 6, 9, 12, 15
HIPS, KNEES, ANKLES, FEET = (1, 2), (4, 5), (7, 8), (10, 11)
COLLARS, SHOULDERS, ELBOWS = (13, 14), (16, 17), (18, 19)
WRISTS, HANDS = (20, 21), (22, 23)
SIDES = (1.0, -1.0)  # the sign of y on the left and on the right
# fmt: off
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
           9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# fmt: on


@dataclasses.dataclass(frozen=True)
class Body:
    """One person. All but stature (m) and sex are ratios to the average person."""

    male: bool
    stature: float
    leg: float
    thigh: float  # share of the leg
    arm: float
    forearm: float  # on top of `arm`
    head: float
    neck: float
    shoulders: float
    hips: float
    foot: float
    thigh_girth: float
    calf_girth: float
    arm_girth: float
    chest_girth: float
    belly_girth: float
    hip_girth: float
    head_girth: float


# Between people, all chosen: standard deviation of the log, factor of men, of women.
LENGTHS = {
    "leg": (0.022, 1.0, 1.0),
    "thigh": (0.018, 1.0, 1.0),
    "arm": (0.030, 1.0, 1.0),
    "forearm": (0.025, 1.0, 1.0),
    "head": (0.040, 1.0, 1.0),
    "neck": (0.080, 1.0, 1.0),
    "shoulders": (0.045, 1.03, 0.95),
    "hips": (0.055, 0.97, 1.05),
    "foot": (0.040, 1.0, 1.0),
    "head_girth": (0.040, 1.0, 1.0),
}
# The same, then the power of the common factor ("how heavy") that girths share.
GIRTHS = {
    "thigh_girth": (0.06, 0.97, 1.05, 1),
    "calf_girth": (0.06, 1.0, 1.0, 1),
    "arm_girth": (0.07, 1.04, 0.95, 1),
    "chest_girth": (0.05, 1.0, 1.0, 1),
    "belly_girth": (0.08, 1.0, 1.0, 2),
    "hip_girth": (0.05, 0.96, 1.05, 1),
}
COMMON_GIRTH = 0.13 * 0.55  # chosen: spread of BMI, and how much of it girths follow
STATURE = (1.69, 0.065, 0.068)  # chosen: mean, men above and women below it, deviation

# Fractions of stature: legs and arms Drillis & Contini, the rest chosen.
LEG, UPPER_ARM, FOREARM = 0.491, 0.180, 0.146
TRUNK, HIP, SHOULDER, NECK_LENGTH = 0.288, 0.052, 0.108, 0.045

# The sole in fractions of stature, chosen so that it is flat .039 under the ankle
# (Drillis & Contini): centre from the ankle (heel) or the foot joint, and radius. Ball
# and toe are those of the left side of a foot and have a mirror image.
FOOT = (0.075, 0.0, -0.023)  # the foot joint, seen from the ankle
HEEL = ((-0.022, 0.0, -0.019), 0.020)
BALL = ((0.0, 0.012, -0.001), 0.015)
TOE = ((0.030, 0.007, -0.003), 0.013)


def sample_body(rng: np.random.Generator, spread: float = 1.0) -> Body:
    """Draws a person; `spread` multiplies the variation, 0 is the average body."""
    male = bool(rng.random() < 0.5)
    sexed = min(spread, 1.0)  # the sexes grow no further apart than measured

    def ratio(deviation: float) -> float:
        return float(np.exp(np.clip(rng.normal(), -2.2, 2.2) * deviation * spread))

    mean, sex_gap, deviation = STATURE
    mean += sexed * (sex_gap if male else -sex_gap)
    stature = float(np.clip(rng.normal(mean, deviation * spread), 1.45, 2.05))
    common = ratio(COMMON_GIRTH)
    ratios = {}
    for name, (deviation, man, woman) in LENGTHS.items():
        ratios[name] = ratio(deviation) * (man if male else woman) ** sexed
    for name, (deviation, man, woman, power) in GIRTHS.items():
        sex_factor = (man if male else woman) ** sexed
        ratios[name] = ratio(deviation) * sex_factor * common**power
    return Body(male=male, stature=stature, **ratios)


def joint_offsets(body: Body) -> np.ndarray:
    """Every joint seen from its parent in the rest pose, metres: f[24, 3]."""
    leg = LEG * body.leg
    thigh = 0.499 * leg * body.thigh
    # Long legs take part of their length from the trunk.
    trunk = TRUNK - 0.6 * (leg - LEG)
    shoulder = SHOULDER * body.shoulders
    x, y, z = 0, 1, 2
    offsets = np.zeros((24, 3))
    offsets[[WAIST, SPINE, CHEST, NECK], z] = np.array([0.30, 0.32, 0.28, 0.22]) * trunk
    offsets[HEAD] = (0.010, 0.0, NECK_LENGTH * body.neck)
    for side, sign in enumerate(SIDES):
        offsets[HIPS[side]] = (0.0, sign * HIP * body.hips, -0.020)
        offsets[KNEES[side], z] = -thigh
        offsets[ANKLES[side], z] = thigh - leg
        offsets[FEET[side]] = FOOT
        offsets[FEET[side], x] *= body.foot
        offsets[COLLARS[side]] = (0.0, sign * 0.35 * shoulder, 0.08 * trunk)
        offsets[SHOULDERS[side], y] = sign * 0.65 * shoulder
        offsets[ELBOWS[side], z] = -UPPER_ARM * body.arm
        offsets[WRISTS[side], z] = -FOREARM * body.arm * body.forearm
        offsets[HANDS[side], z] = -0.055 * body.arm
    return offsets * body.stature


def mirrored(sphere: tuple, sign: float) -> tuple:
    """A sphere (centre, radius) of the left side, or its image for sign -1."""
    (x, y, z), radius = sphere
    return ((x, sign * y, z), radius)


def sole(body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The spheres a walker stands on: joint i[10], centre in its frame f[10, 3] and
    radius f[10], metres."""
    joints, spheres = [], []
    for ankle, foot in zip(ANKLES, FEET, strict=True):
        joints += [ankle, foot, foot, foot, foot]
        spheres += [HEEL, *(mirrored(s, sign) for s in (BALL, TOE) for sign in SIDES)]
    centres = np.array([centre for centre, _ in spheres]) * body.stature
    centres[:, 0] *= body.foot
    radii = np.array([radius for _, radius in spheres]) * body.stature
    return np.array(joints), centres, radii
