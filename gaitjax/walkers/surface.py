"""The dressed body as tapered capsules in the world, for any sensor to look at.

A part is a row of plain numbers, fixed to the skeleton: for each of its two ends the
joint, the point in that joint's frame and the radius, in fractions of stature. All are
chosen, near the breadths and depths of adults. Metres in the world.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from gaitjax.walkers.body import (
    ANKLES,
    BALL,
    CHEST,
    ELBOWS,
    FEET,
    HANDS,
    HEAD,
    HEEL,
    HIPS,
    KNEES,
    PELVIS,
    SHOULDERS,
    SIDES,
    SPINE,
    TOE,
    TRUNK,
    WAIST,
    WRISTS,
    Body,
    joint_offsets,
    mirrored,
)
from gaitjax.walkers.gait import Walk
from gaitjax.walkers.kinematics import turn
from gaitjax.walkers.wear import Wear

End = tuple[int, tuple[float, float, float], float]  # joint, point, radius
Part = tuple[End, End]
ORIGIN = (0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Capsules:
    """c balls that each glide and swell from start to end, over t frames; metres."""

    start: np.ndarray  # [t, c, 3]
    end: np.ndarray  # [t, c, 3]
    start_radius: np.ndarray  # [c]
    end_radius: np.ndarray  # [c]
    canopy: np.ndarray | None = None  # bool[c]: an umbrella, which masks may leave out


def capsules(body: Body, walk: Walk, wear: Wear | None = None) -> Capsules:
    """Body, clothes and bag of a walk."""
    wear = wear or Wear()
    thigh = -joint_offsets(body)[KNEES[0], 2] / body.stature
    parts = body_parts(body, wear)
    if wear.bag in ("back", "shoulder"):
        parts += _worn_bag(body, wear)
    pieces = [_place(parts, body, walk)]
    if wear.hem:
        pieces.append(_coat(body, walk, wear, thigh))
    if wear.bag == "hand":
        pieces.append(_hand_bag(body, walk, wear))
    if wear.load:
        pieces.append((_box if wear.load == "box" else _trolley)(body, walk, wear))
    if not wear.umbrella:
        return join(pieces)
    pieces.append(_umbrella(body, walk, wear))
    dressed = join(pieces)
    parts = np.arange(dressed.start.shape[1])
    canopy = parts >= len(parts) - pieces[-1].start.shape[1]
    return dataclasses.replace(dressed, canopy=canopy)


def join(pieces: list[Capsules]) -> Capsules:
    """All of them as one."""
    return Capsules(
        start=np.concatenate([piece.start for piece in pieces], 1),
        end=np.concatenate([piece.end for piece in pieces], 1),
        start_radius=np.concatenate([piece.start_radius for piece in pieces]),
        end_radius=np.concatenate([piece.end_radius for piece in pieces]),
    )


def body_parts(body: Body, wear: Wear | None = None) -> list[Part]:
    """The body and the clothes that only thicken it, always in this order."""
    wear = wear or Wear()
    parts = _torso(body, wear) + _head(body, wear)
    for side, sign in enumerate(SIDES):
        parts += _leg(body, wear, side) + _foot(body, side)
        parts += _shoulder(body, wear, side, sign) + _arm(body, wear, side)
    return parts


def _place(parts: list[Part], body: Body, walk: Walk) -> Capsules:
    """Parts at the joints they are fixed to."""
    ends = []
    for end in zip(*parts, strict=True):
        on = [joint for joint, _, _ in end]
        points = np.array([point for _, point, _ in end]) * body.stature  # [c, 3]
        radii = np.array([radius for _, _, radius in end]) * body.stature  # [c]
        frames = walk.orientations[:, on]
        ends.append((walk.joints[:, on] + turn(frames, points), radii))  # [t, c, 3]
    (start, start_radius), (end, end_radius) = ends
    return Capsules(start, end, start_radius, end_radius)


def _girths(body: Body, wear: Wear) -> tuple[float, float, float]:
    """Radii of the dressed hip, belly and chest."""
    return (
        0.060 * body.hip_girth * wear.fit + wear.torso,
        0.054 * body.belly_girth * wear.fit + wear.torso,
        0.055 * body.chest_girth * wear.fit + wear.torso,
    )


def _torso(body: Body, wear: Wear) -> list[Part]:
    """Pelvis, two flanks from hip over waist to chest, and a belly."""
    hip, belly, chest = _girths(body, wear)
    hip_y = 0.035 * body.hips
    front = 0.012 * (body.belly_girth - 0.9)
    bulge = front + 0.020 * max(body.belly_girth - 1.0, 0.0)
    parts = [
        (
            (PELVIS, (-0.008, hip_y, -0.005), hip),
            (PELVIS, (-0.008, -hip_y, -0.005), hip),
        ),
        (
            (WAIST, (front, 0.0, 0.0), 1.02 * belly),
            (WAIST, (bulge, 0.0, 0.15 * TRUNK), 1.02 * belly),
        ),
    ]
    for sign in SIDES:
        pelvis = (PELVIS, (-0.002, sign * hip_y, 0.015), 0.97 * hip)
        waist = (SPINE, (0.002, sign * 0.033 * body.chest_girth, -0.030), 0.96 * belly)
        ribs = (CHEST, (0.002, sign * 0.040 * body.shoulders, -0.070), chest)
        top = (CHEST, (-0.002, sign * 0.032 * body.shoulders, -0.022), 0.82 * chest)
        parts += [(pelvis, waist), (waist, ribs), (ribs, top)]
    return parts


def _shoulder(body: Body, wear: Wear, side: int, sign: float) -> list[Part]:
    """Collar, the slope from the neck to the shoulder, and the armpit's muscles.

    The chest ends below it: a chest as wide as the shoulders looks like a robot.
    """
    _, _, chest = _girths(body, wear)
    thick = 0.028 * body.chest_girth**0.5 + 0.6 * wear.torso
    shoulder = SHOULDERS[side]
    neck = (CHEST, (-0.004, sign * 0.010, 0.066), 0.75 * thick)
    ribs = (CHEST, (0.004, sign * 0.046 * body.shoulders, -0.040), 0.80 * chest)
    # Adds nothing to the outline: keeps eroded masks from opening between the others.
    collar = (CHEST, (0.0, sign * 0.015, 0.008), 0.042 * body.chest_girth**0.5)
    return [
        (collar, (shoulder, (0.0, -sign * 0.026, -0.012), thick)),
        ((shoulder, (0.0, -sign * 0.010, -0.008), 0.90 * thick), neck),
        (ribs, (shoulder, (0.0, -sign * 0.006, -0.016), 0.95 * thick)),
    ]


def _head(body: Body, wear: Wear) -> list[Part]:
    """Neck, face from jaw to crown, back of the skull; perhaps a hat."""
    size, wide = body.head, body.head * body.head_girth
    parts = [
        (
            (CHEST, (0.000, 0.0, 0.014), 0.042 + 0.6 * wear.torso),
            (HEAD, (0.004, 0.0, 0.008), 0.028 * body.neck**0.5),
        ),
        (
            (HEAD, (0.017, 0.0, -0.006), 0.032 * wide),
            (HEAD, (0.012, 0.0, 0.040 * size), 0.043 * wide),
        ),
        (
            (HEAD, (0.010, 0.0, 0.042 * size), 0.044 * wide),
            (HEAD, (-0.012, 0.0, 0.038 * size), 0.042 * wide),
        ),
    ]
    if wear.hat:
        brim = (HEAD, (0.030, 0.0, 0.066 * size), 0.028)
        parts.append((brim, (HEAD, (-0.008, 0.0, 0.056 * size), 0.049 * wide)))
    return parts


def _leg(body: Body, wear: Wear, side: int) -> list[Part]:
    """Thigh, and a calf that bulges backwards a third of its way down."""
    hip, knee, ankle = HIPS[side], KNEES[side], ANKLES[side]
    inwards = -0.005 * SIDES[side]
    thigh = 0.048 * body.thigh_girth * wear.fit + wear.leg
    calf = 0.031 * body.calf_girth * wear.fit + wear.leg
    bulge = (knee, (-0.006, 0.0, -0.070), calf)
    return [
        (
            (hip, (0.0, inwards, -0.010), thigh),
            (knee, ORIGIN, 0.032 * body.calf_girth**0.7 + wear.leg),
        ),
        ((knee, ORIGIN, 0.031 * body.calf_girth**0.6 + wear.leg), bulge),
        (bulge, (ankle, ORIGIN, 0.020 * body.calf_girth**0.6 + wear.leg)),
    ]


def _foot(body: Body, side: int) -> list[Part]:
    """Heel to ball, instep and ball to toes, on the spheres of `body.sole`."""
    ankle, foot = ANKLES[side], FEET[side]

    def end(joint: int, centre: tuple[float, float, float], radius: float) -> End:
        x, y, z = centre
        return (joint, (x * body.foot, y, z), radius)

    (_, _, z), radius = BALL
    instep = end(foot, (-0.010, 0.0, 0.002), radius)
    parts = [
        (end(ankle, *HEEL), end(foot, (0.0, 0.0, z), radius)),
        ((ankle, (0.004, 0.0, -0.006), 0.022), instep),
    ]
    for sign in SIDES:
        ball, toe = mirrored(BALL, sign), mirrored(TOE, sign)
        parts.append((end(foot, *ball), end(foot, *toe)))
    return parts


def _arm(body: Body, wear: Wear, side: int) -> list[Part]:
    """Upper arm, forearm and hand."""
    shoulder, elbow, wrist = SHOULDERS[side], ELBOWS[side], WRISTS[side]
    elbow_radius = 0.022 * body.arm_girth**0.7 + wear.arm
    return [
        (
            (shoulder, (0.0, 0.0, -0.014), 0.028 * body.arm_girth + wear.arm),
            (elbow, ORIGIN, elbow_radius),
        ),
        (
            (elbow, (0.002, 0.0, -0.015), elbow_radius + 0.0005),
            (wrist, ORIGIN, 0.0155 + 0.7 * wear.arm),
        ),
        ((wrist, (0.0, 0.0, -0.014), 0.0155), (HANDS[side], (0.005, 0.0, 0.0), 0.0145)),
    ]


def _worn_bag(body: Body, wear: Wear) -> list[Part]:
    """A rucksack on the back, or a bag at the hip with a strap across the chest."""
    _, belly, chest = _girths(body, wear)
    r = wear.bag_radius
    if wear.bag == "back":
        upper = (CHEST, (-chest - 0.55 * r, 0.0, -0.020), 0.9 * r)
        return [(upper, (SPINE, (-belly - 0.60 * r, 0.0, -0.020), r))]
    y = wear.bag_side * (0.100 + 0.5 * r)
    upper = (PELVIS, (-0.020, y, 0.0), 0.80 * r)
    strap = (PELVIS, (-0.020, y, 0.0), 0.008)
    far = SHOULDERS[1 if wear.bag_side > 0 else 0]
    return [
        (upper, (PELVIS, (-0.020, y, -0.050), 0.85 * r)),
        ((far, (0.0, 0.0, 0.010), 0.008), strap),
    ]


def _hand_bag(body: Body, walk: Walk, wear: Wear) -> Capsules:
    """A bag that hangs plumb from the hand."""
    r = wear.bag_radius * body.stature
    hand = walk.joints[:, HANDS[0 if wear.bag_side > 0 else 1]]  # [t, 3]
    middle = hand - (0.0, 0.0, 0.050 * body.stature + r)
    along = np.array((0.7 * r, 0.0, 0.0))
    return Capsules(
        start=np.stack([hand, middle + along], 1),
        end=np.stack([middle, middle - along], 1),
        start_radius=np.array([0.010 * body.stature, 0.8 * r]),
        end_radius=np.array([0.9 * r, 0.8 * r]),
    )


def _coat(body: Body, walk: Walk, wear: Wear, thigh: float) -> Capsules:
    """The skirt of a coat: from each hip to a hem on its thigh, closed in between."""
    hip, _, _ = _girths(body, wear)
    hem_parts = [(h, (0.0, 0.0, -wear.hem * thigh), wear.flare) for h in HIPS]
    sides = [
        ((joint, ORIGIN, hip), hem) for joint, hem in zip(HIPS, hem_parts, strict=True)
    ]
    skirt = _place([*sides, tuple(hem_parts)], body, walk)
    middle = skirt.end[:, :2].mean(1, keepdims=True)  # [t, 1, 3]
    flare = wear.flare * body.stature
    return Capsules(
        start=np.concatenate([skirt.start, walk.joints[:, [PELVIS]]], 1),
        end=np.concatenate([skirt.end, middle], 1),
        start_radius=np.append(skirt.start_radius, 1.05 * hip * body.stature),
        end_radius=np.append(skirt.end_radius, flare),
    )


def _box(body: Body, walk: Walk, wear: Wear) -> Capsules:
    """A box in front of the belly, between the hands."""
    r = wear.load_radius * body.stature
    forward, left = _heading(walk)  # [t, 3]
    middle = walk.joints[:, HANDS].mean(1) + 0.4 * r * forward + (0.0, 0.0, 0.3 * r)
    y, z = 1.5 * r * left, np.array((0.0, 0.0, 0.6 * r))
    low, high = middle - z, middle + z
    return Capsules(
        start=np.stack([low + y, high + y], 1),
        end=np.stack([low - y, high - y], 1),
        start_radius=np.full(2, r),
        end_radius=np.full(2, r),
    )


def _heading(walk: Walk) -> tuple[np.ndarray, np.ndarray]:
    """Forwards and to the left on the ground, as the pelvis looks: f[t, 3] each."""
    forward = walk.orientations[:, PELVIS, :, 0] * (1.0, 1.0, 0.0)
    forward = forward / np.linalg.norm(forward, axis=1, keepdims=True)
    return forward, np.stack([-forward[:, 1], forward[:, 0], 0.0 * forward[:, 0]], 1)


def _trolley(body: Body, walk: Walk, wear: Wear) -> Capsules:
    """A case on wheels behind the hand that pulls it."""
    r = wear.load_radius * body.stature
    hand = walk.joints[:, HANDS[0 if wear.hand > 0 else 1]]  # [t, 3]
    forward, left = _heading(walk)  # [t, 3]
    ground = hand - 0.22 * body.stature * forward
    ground = ground * (1.0, 1.0, 0.0) + (0.0, 0.0, 0.9 * r)
    up = ground + body.stature * (0.10 * forward + (0.0, 0.0, 0.25))
    wide = 0.6 * r * left
    return Capsules(
        start=np.stack([ground + wide, ground - wide, up], 1),
        end=np.stack([up + wide, up - wide, hand], 1),
        start_radius=np.array((0.9 * r, 0.9 * r, 0.010)),
        end_radius=np.array((0.8 * r, 0.8 * r, 0.010)),
    )


SPOKES = 10
# Distance from the shaft and depth under the tip, in radii of the canopy; thickness.
CANOPY = (
    (0.0, 0.0, 0.012),
    (0.35, 0.05, 0.030),
    (0.70, 0.19, 0.030),
    (1.0, 0.42, 0.018),
)


def _umbrella(body: Body, walk: Walk, wear: Wear) -> Capsules:
    """A shaft from the hand, and a canopy of spokes and rings around its tip."""
    size = wear.umbrella * body.stature
    hand = walk.joints[:, HANDS[0 if wear.umbrella_hand > 0 else 1]]  # [t, 3]
    head = walk.joints[:, HEAD]
    tip = 0.45 * hand + 0.55 * head  # over the head as far as the arm allows
    tip[:, 2] = head[:, 2] + 0.16 * body.stature
    angle = 2.0 * np.pi * np.arange(SPOKES) / SPOKES
    way = np.stack([np.cos(angle), np.sin(angle), np.zeros(SPOKES)], 1)  # [s, 3]
    rings = []  # [t, s, 3] each
    for far, deep, _ in CANOPY:
        rings.append(tip[:, None] + size * (far * way - (0.0, 0.0, deep)))
    thick = [radius * body.stature for _, _, radius in CANOPY]
    starts, ends, radii = [hand[:, None]], [tip[:, None]], [(thick[0], thick[0])]
    for inner, outer in itertools.pairwise(range(len(CANOPY))):
        starts += [rings[inner], rings[outer]]
        ends += [rings[outer], np.roll(rings[outer], 1, axis=1)]
        radii += [(thick[inner], thick[outer])] * SPOKES
        radii += [(thick[outer], thick[outer])] * SPOKES
    return Capsules(
        start=np.concatenate(starts, 1),
        end=np.concatenate(ends, 1),
        start_radius=np.array([start for start, _ in radii]),
        end_radius=np.array([end for _, end in radii]),
    )
