"""Gaits: how one person walks, and one walk of that person as moving joints.

Hip, knee and ankle follow Fourier series of the stride (phase 0 is the left heel
strike), chosen near Winter's and Perry's curves of normal walking; all other means,
and all variation, are chosen. Angles in degrees, phases and lags in radians, cadence
in steps per minute; joints in metres, x forward, y left, z up, the ground at 0.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gaitjax.walkers.body import (
    ANKLES,
    CHEST,
    ELBOWS,
    FEET,
    HEAD,
    HIPS,
    KNEES,
    NECK,
    PELVIS,
    SHOULDERS,
    SIDES,
    SPINE,
    WAIST,
    Body,
    joint_offsets,
    sole,
)
from gaitjax.walkers.kinematics import forward, rotations_of, turn
from gaitjax.walkers.wear import Wear


@dataclasses.dataclass(frozen=True)
class Gait:
    """One person's way of walking. Rows of the series are hip, knee, ankle:
    angle = mean + sum over k of amplitude cos(k phase - lag), flexion positive."""

    mean: np.ndarray  # [3]
    amplitude: np.ndarray  # [3, 5]
    lag: np.ndarray  # [3, 5]
    asymmetry: np.ndarray  # [3], left over right amplitude, less 1
    late: float  # the right leg's phase behind half a stride
    cadence: float
    pelvis_rotation: float
    pelvis_tilt: float
    pelvis_obliquity: float
    trunk_rotation: float
    lean: float
    lean_swing: float
    sway: float
    hunch: float
    neck: float
    arm_swing: float
    arm_mean: float
    arm_lag: float
    arm_asymmetry: float
    arm_abduction: float
    elbow_mean: float
    elbow_swing: float
    elbow_lag: float
    forearm_in: float
    toe_out: float
    hip_abduction: float


@dataclasses.dataclass(frozen=True)
class Walk:
    """A walk in the world: joints f[t, 24, 3], their orientations in the world and
    their rotations against the parent, both f[t, 24, 3, 3]."""

    joints: np.ndarray
    orientations: np.ndarray
    rotations: np.ndarray


# Series of hip, knee and ankle: chosen, near Winter's curves.
MEAN = (9.9, 22.1, -1.3)
AMPLITUDE = (
    (19.9, 3.4, 0.9, 0.1, 0.1),
    (19.1, 17.1, 4.0, 0.5, 0.2),
    (4.7, 9.5, 2.9, 1.6, 0.3),
)
LAG = (
    (-0.23, -2.82, 2.44, 3.10, -3.11),
    (-1.79, 2.61, 1.55, 0.60, 2.05),
    (1.94, -1.39, 1.98, -0.41, -1.89),
)
# Deviations between people, chosen: of means, log-amplitudes and lags; the last two
# grow with the harmonic.
MEAN_SPREAD = (3.0, 2.5, 2.5)
AMPLITUDE_SPREAD = np.outer((0.12, 0.09, 0.18), (1.0, 1.0, 1.3, 1.6, 2.0))
LAG_SPREAD = np.outer((0.08, 0.06, 0.10), (1.0, 1.3, 1.6, 2.0, 2.0))
# Everything else that is a habit, chosen: mean, deviation, least, most.
ANY = (-np.inf, np.inf)
HABITS = {
    "late": (0.0, 0.03, *ANY),
    "cadence": (112.0, 8.0, 88.0, 138.0),
    "pelvis_rotation": (5.0, 2.0, 0.0, 11.0),
    "pelvis_tilt": (0.0, 1.0, *ANY),
    "pelvis_obliquity": (4.5, 1.5, 0.5, 9.0),
    "trunk_rotation": (5.0, 2.0, 0.0, 12.0),
    "lean": (4.0, 3.0, *ANY),
    "lean_swing": (1.5, 0.6, 0.0, 4.0),
    "sway": (2.0, 1.0, *ANY),
    "hunch": (4.0, 4.0, *ANY),
    "neck": (8.0, 6.0, *ANY),
    "arm_swing": (14.0, 6.0, 1.0, 32.0),
    "arm_mean": (-6.0, 5.0, *ANY),
    "arm_lag": (0.0, 0.25, *ANY),
    "arm_asymmetry": (0.0, 0.25, *ANY),
    "arm_abduction": (8.0, 3.5, 1.0, 20.0),
    "elbow_mean": (24.0, 9.0, 5.0, 60.0),
    "elbow_swing": (9.0, 4.0, 0.0, 22.0),
    "elbow_lag": (0.5, 0.3, *ANY),
    "forearm_in": (10.0, 8.0, *ANY),
    "toe_out": (7.0, 5.0, *ANY),
    "hip_abduction": (0.0, 1.8, *ANY),
}
OBLIQUITY_BY_SEX = 0.5  # chosen: women above, men below the mean
STRIDE = 0.81  # chosen: stride length over stature at medium speed
TOE_BEND = 35.0  # chosen, near Perry: extension of the toes at push-off


def sample_gait(rng: np.random.Generator, body: Body, spread: float = 1.0) -> Gait:
    """Draws a way of walking; `spread` multiplies the variation, 0 is the mean gait
    of both sexes."""
    amplitude = rng.normal(size=(3, 5)) * AMPLITUDE_SPREAD * spread
    habits = {}
    for name, (mean, deviation, least, most) in HABITS.items():
        if name == "pelvis_obliquity":
            gap = OBLIQUITY_BY_SEX * min(spread, 1.0)
            mean += -gap if body.male else gap
        draw = rng.normal(mean, deviation * spread)
        habits[name] = min(max(draw, least), most)
    return Gait(
        mean=MEAN + rng.normal(size=3) * MEAN_SPREAD * spread,
        amplitude=AMPLITUDE * np.exp(amplitude),
        lag=LAG + rng.normal(size=(3, 5)) * LAG_SPREAD * spread,
        asymmetry=rng.normal(size=3) * 0.05 * spread,
        **habits,
    )


def walk(
    rng: np.random.Generator,
    body: Body,
    gait: Gait,
    num_frames: int,
    fps: float = 25.0,
    wear: Wear | None = None,
    spread: float = 1.0,
) -> Walk:
    """A fresh walk along x through the origin, from a random point of the stride.

    `spread` multiplies what differs between walks of one person: pace, posture, noise.
    """
    wear = wear or Wear()
    log_pace = rng.normal(0.0, 0.06 * spread)
    vigour = float(np.exp(0.5 * log_pace))  # half of the pace each in step and cadence
    strides_per_s = gait.cadence / 120.0 * vigour
    phase = rng.uniform(0.0, 2.0 * np.pi)
    phase = phase + 2.0 * np.pi * strides_per_s / fps * np.arange(num_frames)
    jitter = 0.012 * np.sqrt(25.0 / fps) * spread  # the same per second at any rate
    wander = np.cumsum(rng.normal(0.0, jitter, num_frames))
    phase = phase + wander - wander.mean()  # [t]
    heading = rng.normal(0.0, 2.5 * spread)

    angles = np.zeros((3, num_frames, 24))  # roll, pitch, yaw; degrees
    swing = vigour * gait.pelvis_rotation * np.cos(phase)
    _set_legs(angles, rng, gait, phase, vigour, swing, spread)
    lean = _set_trunk(angles, rng, gait, phase, vigour, swing, spread)
    _set_arms(angles, rng, gait, phase, vigour, lean, wear, spread)
    angles[2, :, PELVIS] += heading

    rotations = rotations_of(*np.deg2rad(angles))  # [t, 24, 3, 3]
    joints, orientations = forward(joint_offsets(body), rotations)
    stand(joints, orientations, body)
    pace = STRIDE * body.stature * strides_per_s * vigour / fps  # metres per frame
    way = pace * (np.arange(num_frames) - 0.5 * (num_frames - 1))
    # A heading turns the body twice as far as the path: people correct on the way.
    course = np.deg2rad(0.5 * heading)
    joints[..., 0] += (way * np.cos(course))[:, None]
    joints[..., 1] += (way * np.sin(course))[:, None]
    return Walk(joints, orientations, rotations)


def leg_phases(gait: Gait, phase: np.ndarray) -> np.ndarray:
    """Phase of the left and the right leg, half a stride apart: [t] -> [2, t]."""
    return np.stack([phase, phase + np.pi + gait.late])


def _set_legs(
    angles: np.ndarray,
    rng: np.random.Generator,
    gait: Gait,
    phase: np.ndarray,
    vigour: float,
    swing: np.ndarray,
    spread: float,
) -> None:
    """Pelvis and legs. Legs undo the pelvis' turn and drop, so they go straight on."""
    roll, pitch, yaw = angles
    drop = gait.pelvis_obliquity * np.sin(phase + 0.3)
    roll[:, PELVIS], pitch[:, PELVIS], yaw[:, PELVIS] = drop, gait.pelvis_tilt, -swing
    sided = 1.0 + 0.5 * np.outer(SIDES, gait.asymmetry)[..., None]  # [2, 3, 1]
    noise = np.exp(rng.normal(0.0, 0.05 * spread, (2, 3, 5)))
    amplitude = vigour * sided * gait.amplitude * noise  # [2, 3, 5]
    lag = gait.lag + rng.normal(0.0, 0.04 * spread, (2, 3, 5))
    mean = gait.mean + rng.normal(0.0, 1.3 * spread, (2, 3))
    phases = leg_phases(gait, phase)
    turns = np.arange(1, 6) * phases[..., None]  # [2, t, 5]
    waves = np.cos(turns[:, :, None] - lag[:, None])  # [2, t, 3, 5]
    flexion = mean[:, None] + (amplitude[:, None] * waves).sum(-1)  # [2, t, 3]
    push = np.exp(8.0 * (np.cos(phases - 0.58 * 2.0 * np.pi) - 1.0))  # [2, t]
    for side, sign in enumerate(SIDES):
        hip, knee, ankle = flexion[side].T
        roll[:, HIPS[side]] = sign * gait.hip_abduction - drop
        pitch[:, HIPS[side]] = -hip
        yaw[:, HIPS[side]] = swing
        pitch[:, KNEES[side]] = np.maximum(knee, -2.0)
        # The toes point out half from the hip, half from the ankle.
        yaw[:, KNEES[side]] = yaw[:, ANKLES[side]] = sign * 0.5 * gait.toe_out
        pitch[:, ANKLES[side]] = -ankle
        pitch[:, FEET[side]] = -TOE_BEND * push[side]


def _set_trunk(
    angles: np.ndarray,
    rng: np.random.Generator,
    gait: Gait,
    phase: np.ndarray,
    vigour: float,
    swing: np.ndarray,
    spread: float,
) -> np.ndarray:
    """Spine and head against the pelvis; returns the lean [t], degrees."""
    roll, pitch, yaw = angles
    counter = vigour * gait.trunk_rotation * np.cos(phase)
    lean = gait.lean + rng.normal(0.0, 1.5 * spread)
    lean = lean + gait.lean_swing * np.cos(2.0 * phase - 0.5)
    nod = gait.neck + rng.normal(0.0, 2.5 * spread)
    roll[:, WAIST] = 0.5 * gait.sway * np.cos(phase) - roll[:, PELVIS]
    pitch[:, WAIST] = pitch[:, SPINE] = 0.5 * lean
    yaw[:, WAIST] = 0.5 * (counter + swing)
    yaw[:, SPINE] = 0.5 * counter
    pitch[:, CHEST] = gait.hunch
    pitch[:, NECK] = 0.5 * nod - 0.5 * gait.hunch - 0.3 * lean
    pitch[:, HEAD] = 0.3 * nod
    yaw[:, HEAD] = rng.normal(0.0, 4.0 * spread) - 0.5 * counter
    return lean


def _set_arms(
    angles: np.ndarray,
    rng: np.random.Generator,
    gait: Gait,
    phase: np.ndarray,
    vigour: float,
    lean: np.ndarray,
    wear: Wear,
    spread: float,
) -> None:
    """Arms swing against their leg, hanging plumb whatever the trunk does."""
    roll, pitch, yaw = angles
    reach = gait.arm_swing * vigour * np.exp(rng.normal(0.0, 0.12 * spread))
    mean = gait.arm_mean + rng.normal(0.0, 2.0 * spread)
    bend = gait.elbow_mean + rng.normal(0.0, 3.0 * spread)
    abduction = gait.arm_abduction + rng.normal(0.0, 1.2 * spread) + wear.abduction
    phases = leg_phases(gait, phase)
    for side, sign in enumerate(SIDES):
        free = wear.arm_swing[side]
        amplitude = free * reach * (1.0 + sign * gait.arm_asymmetry)
        held = wear.arms_held[side]
        middle, bent = held or (mean, bend)
        shoulder = middle - amplitude * np.cos(phases[side] - 0.35 - gait.arm_lag)
        elbow = free * gait.elbow_swing * np.cos(phases[side] - gait.elbow_lag)
        roll[:, SHOULDERS[side]] = sign * abduction
        pitch[:, SHOULDERS[side]] = -shoulder - gait.hunch - 0.8 * lean
        pitch[:, ELBOWS[side]] = -np.maximum(bent - elbow, 2.0)
        yaw[:, ELBOWS[side]] = -sign * gait.forearm_in


def stand(joints: np.ndarray, orientations: np.ndarray, body: Body) -> None:
    """Lifts every frame, in place, so that the lowest point of the soles is at 0."""
    on, centres, radii = sole(body)
    spheres = joints[:, on] + turn(orientations[:, on], centres)  # [t, 10, 3]
    lowest = (spheres[..., 2] - radii).min(1)  # [t]
    joints[..., 2] -= lowest[:, None]
