"""Synthetic walkers: identities and their sequences as a function of a seed.

    sils = make_sequence(seed=0, subject=7, condition="nm", take=0, view=90.0)["sils"]

The same arguments give the same bits in any process. Identities come from one stream,
bags and clothes from one per take, so that all views of a take wear the same, and
every (take, view) is a fresh walk: one walk seen by all cameras would leak its phase
and noise from view to view. Each sensor's noise has a stream of its own. Figures on
walkers are simulated and must say so.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from gaitjax.arguments import between
from gaitjax.errors import GaitError
from gaitjax.walkers.body import Body, sample_body
from gaitjax.walkers.camera import Sight, sample_camera
from gaitjax.walkers.gait import Gait, sample_gait, walk
from gaitjax.walkers.lidar import sample_lidar
from gaitjax.walkers.look import LIDAR_KEYS, Shot, look
from gaitjax.walkers.rates import paired_moments
from gaitjax.walkers.scene import sample_occluder
from gaitjax.walkers.wear import (
    Wear,
    combine,
    sample_bag,
    sample_clothing,
    sample_load,
    sample_lower,
    sample_plain,
    sample_umbrella,
    sample_uniform,
    sample_upper,
)

VERSION = "2.0.0"  # of the generator: another version, other pictures

# A condition is one word or several with "-" between them. What is worn and carried;
# what the sensors meet; a garment of the person's own wardrobe, as in u0-d2.
WORN: dict[str, Callable[[np.random.Generator], Wear]] = {
    "nm": sample_plain,
    "bg": sample_bag,
    "cl": sample_clothing,
    "cr": sample_load,
    "ub": sample_umbrella,
    "uf": sample_uniform,
}
MET = ("oc", "nt", "tr")  # occluded, at night, truncated
WARDROBE = {"u": sample_upper, "d": sample_lower}
# New words go to the end: a word's place is part of its seed.
CONDITIONS = (*WORN, *MET)
FIT_SPREAD = 0.03  # chosen: log girth of everyday clothes, between takes


@dataclasses.dataclass(frozen=True)
class Spread:
    """Multipliers of the variation; 0 freezes one, as in gait=0: all walk alike.

    identity: bodies. gait: ways of walking. take: what differs between walks of one
    person. noise: of all sensors.
    """

    identity: float = 1.3
    gait: float = 1.3
    take: float = 0.6
    noise: float = 1.0


@dataclasses.dataclass(frozen=True)
class Sensors:
    """How the walker is looked at.

    fps: the camera's rate, Hz. lidar_fps: the LiDAR's; None is the camera's, at the
    same moments. With two rates a sequence that has both modalities has the pairs that
    belong together (`rates.pair`), one with only LiDAR modalities the LiDAR's frames.
    elevation: degrees above the horizontal; None is the nominal height. distance:
    factor on the nominal distance. frame: of 3D labels, "camera" (x right, y down, z
    away) or "world" (x forward, y left, z up, the walk passes the origin); metres.
    """

    fps: float = 25.0
    lidar_fps: float | None = None
    elevation: float | None = None
    distance: float = 1.0
    frame: str = "camera"


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
    spread: Spread = Spread(),
    keys: Sequence[str] = ("sils",),
    sensors: Sensors = Sensors(),
) -> dict[str, np.ndarray]:
    """One sequence of one walker, {key: [t, ...]}.

    condition: words of `CONDITIONS` (and of the wardrobe) joined by "-", as in "nm" or
    "cl-ub-nt". view: degrees; 0 is a camera in front of the walker, 90 on the left, 180
    behind. keys: which of `look.KEYS`: `sils` u8 [t, 64, 64], `ranges` u8
    [t, 64, 64, 3], `points` f32 [t, 512, 3] (sensor frame, rows of NaN at the end),
    `heatmaps` u8 [t, 64, 64, 2], `joints` f32 [t, 24, 3], `markers` f32 [t, 64, 3],
    `vertices` f32 [t, v, 3], `smpl` f32 [t, 85].
    """
    _check(seed, subject, take, view, num_frames, spread, sensors)
    words = _words(condition)
    identity = make_identity(seed, subject, spread)
    body = identity.body
    wear = make_wear(seed, subject, condition, take, spread)
    name = (subject, _number(words), take, round(view * 10) % 3600)

    def stream(kind: int) -> np.random.Generator:
        return np.random.default_rng((seed, kind, *name))

    rng = stream(2)
    rate, seen, swept = _moments(stream(3), num_frames, keys, sensors)
    num_moments = int(max(seen.max(), swept.max())) + 1
    motion = walk(rng, body, identity.gait, num_moments, rate, wear, spread.take)
    place = (view, spread.take, sensors.elevation, sensors.distance)
    camera = sample_camera(rng, *place)
    occluder = None
    if "oc" in words:
        path = motion.joints[:, 0]
        occluder = sample_occluder(stream(4), path, view, rate, 6.0 * sensors.distance)
    lidar_rng = stream(5)
    lidar = sample_lidar(lidar_rng, *place)
    shot = Shot(body, motion, wear, occluder, seen, swept)
    return look(
        shot,
        keys,
        camera=camera,
        lidar=lidar,
        sight=Sight(spread.noise, night="nt" in words, truncated="tr" in words),
        rngs={"camera": rng, "lidar": lidar_rng, "pose": stream(6), "smpl": stream(9)},
        frame=sensors.frame,
    )


def _check(
    seed: int,
    subject: int,
    take: int,
    view: float,
    num_frames: int,
    spread: Spread,
    sensors: Sensors,
) -> None:
    """Numbers that make sense; seeds above 2^32 would repeat lower ones."""
    between(0, 2**32 - 1, seed=seed, subject=subject, take=take)
    between(1, 10_000, num_frames=num_frames)
    between(-3600, 3600, view=view)
    between(1, 1000, fps=sensors.fps, lidar_fps=sensors.lidar_fps)
    between(-5, 80, elevation=sensors.elevation)
    between(0.3, 20, distance=sensors.distance)
    between(0, 10, **{f"spread__{name}": size for name, size in vars(spread).items()})


def make_wear(
    seed: int, subject: int, condition: str, take: int, spread: Spread = Spread()
) -> Wear:
    """What the walker wears and carries on a take, whatever the view."""
    words = _words(condition)
    rng = np.random.default_rng((seed, 1, subject, _number(words), take))
    wears = []
    for word in words:
        if word in WORN:
            wears.append(WORN[word](rng))
        elif word[0] in WARDROBE:
            kind, number = list(WARDROBE).index(word[0]), int(word[1:])
            own = np.random.default_rng((seed, 7, subject, kind, number))
            wears.append(WARDROBE[word[0]](own))
    wear = combine(wears)
    fit = float(np.exp(rng.normal(0.0, FIT_SPREAD * spread.take)))
    return dataclasses.replace(wear, fit=fit)


def _words(condition: str) -> list[str]:
    """The words of a condition, checked, in the order of `CONDITIONS`."""
    words = condition.split("-") if isinstance(condition, str) else [""]
    for word in words:
        if word not in CONDITIONS and not re.fullmatch("[ud][0-7]", word):
            raise GaitError(
                f"expected words of {', '.join(CONDITIONS)}, u0..u7 or d0..d7, joined "
                f'by "-", as a condition of the walkers, got {condition!r}; use these'
            )
    return sorted(set(words), key=lambda word: ((*CONDITIONS, word).index(word), word))


def _number(words: list[str]) -> int:
    """The number of a condition, part of the seed of its sequences."""
    if len(words) == 1 and words[0] in CONDITIONS:
        return CONDITIONS.index(words[0])
    number = 1
    for word in words:
        if word in CONDITIONS:
            number += 1 << (16 + CONDITIONS.index(word))
        else:
            shift = 8 + 4 * list(WARDROBE).index(word[0])
            number += (int(word[1:]) + 1) << shift
    return number


def _moments(
    rng: np.random.Generator, num_frames: int, keys: Sequence[str], sensors: Sensors
) -> tuple[float, np.ndarray, np.ndarray]:
    """A rate in Hz, and the moments at it of the camera's and the LiDAR's frames."""
    frames = np.arange(num_frames)
    swept = LIDAR_KEYS.intersection(keys)
    if sensors.lidar_fps is None or not swept:
        return sensors.fps, frames, frames
    if len(swept) == len(keys):
        return sensors.lidar_fps, frames, frames
    return paired_moments(rng, num_frames, sensors.fps, sensors.lidar_fps)
