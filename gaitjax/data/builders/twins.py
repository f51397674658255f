"""The twins: which sequences a walker of each set has, under the original's names.

A twin has the folders, views, conditions and protocol of its original, and by default
fewer people. What a real set does not publish, or what could not be learnt, is chosen
and says so. In the wild (Gait3D, GREW, FreeGait) people come from any side, dressed
anyhow, sometimes half hidden or half out of the picture.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sequence:
    """One sequence of a person: its labels, and how it is made.

    words: the walker's condition. number: of the take; sequences that share words and
    number share bag and clothes. azimuth, elevation: degrees. distance, noise: factors.
    lists: the published lists that name it.
    """

    condition: str
    view: str
    words: str
    number: int
    azimuth: float
    take: str = "01"
    elevation: float | None = None
    distance: float = 1.0
    noise: float = 1.0
    subject: str | None = None
    lists: tuple[str, ...] = ()


Plan = Callable[[int, bool, np.random.Generator], list[Sequence]]


@dataclasses.dataclass(frozen=True)
class Twin:
    """A set of walkers.

    plan(person, is_test, rng): the sequences of a person; people are counted from 0 in
    each split. subject(person, is_test, num_train): the label. first: number of the
    first walker, so that no two sets share a person. fps, lidar_fps: Hz.
    """

    plan: Plan
    subject: Callable[[int, bool, int], str]
    num_train: int
    num_test: int
    first: int
    frames: int = 20
    modalities: tuple[str, ...] = ("sils",)
    fps: float = 25.0
    lidar_fps: float | None = None


def twins() -> dict[str, Twin]:
    """Every walkers set by its name."""
    pair = ("sils", "ranges")
    # Numbers of people are chosen for a laptop; frames, too.
    return {
        "walkers": Twin(_walkers, _numbered(3, 1, 160), 160, 40, 0),
        "walkers_casia_b": Twin(_casia_b, _numbered(3, 1, 74), 74, 50, 100_000),
        "walkers_oumvlp": Twin(_oumvlp, _oumvlp_subject, 120, 60, 200_000),
        "walkers_sustech1k": Twin(
            _sustech1k,
            _numbered(4, 0, 250),
            *(100, 50, 300_000),
            frames=10,
            modalities=pair,
            fps=30.0,
            lidar_fps=10.0,
        ),
        "walkers_freegait": Twin(
            _freegait,
            _numbered(4, 1, 500),
            *(200, 100, 400_000),
            frames=10,
            modalities=pair,
            fps=30.0,
            lidar_fps=10.0,
        ),
        "walkers_gait3d": Twin(_gait3d, _numbered(4, 0, 3000), 300, 100, 500_000),
        "walkers_grew": Twin(_grew, _grew_subject, 400, 120, 600_000),
        "walkers_outdoor_gait": Twin(
            _outdoor_gait, _numbered(3, 1, 69), 69, 69, 700_000
        ),
        "walkers_ccpg": Twin(_ccpg, _numbered(3, 0, 100), 60, 40, 800_000, frames=15),
    }


def _numbered(
    digits: int, first: int, original: int
) -> Callable[[int, bool, int], str]:
    """Labels that count people, those of the test from where the original's begin."""

    def subject(person: int, is_test: bool, num_train: int) -> str:
        before = max(original, num_train) if is_test else 0
        return f"{first + before + person:0{digits}d}"

    return subject


def _takes(takes: tuple[tuple[str, int], ...], views: range) -> list[Sequence]:
    """CASIA-B's scheme: (`nm`, 3) is nm-01, nm-02, nm-03, each from all views."""
    return [
        Sequence(f"{word}-{take:02d}", f"{view:03d}", word, take, view, f"{take:02d}")
        for word, count in takes
        for take in range(1, count + 1)
        for view in views
    ]


def _walkers(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    views = range(0, 181, 18) if is_test else range(0, 181, 36)
    return _takes((("nm", 3), ("bg", 1), ("cl", 1)), views)


def _casia_b(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    return _takes((("nm", 6), ("bg", 2), ("cl", 2)), range(0, 181, 18))


def _oumvlp_subject(person: int, is_test: bool, num_train: int) -> str:
    """Odd people are for training, even ones for the test."""
    return f"{2 * person + 1 + is_test:05d}"


def _oumvlp(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    """Two walks (00, 01) from 14 views."""
    views = (*range(0, 91, 15), *range(180, 271, 15))
    return [
        Sequence(take, f"{view:03d}", "nm", int(take), view, take)
        for take in ("00", "01")
        for view in views
    ]


# The sides SUSTech1K was taken from; far and near are chosen factors on the distance.
SUSTECH1K_VIEWS = (
    *("000", "000-far", "045", "090", "090-near", "135"),
    *("180", "180-far", "225", "270", "270-far", "315"),
)
SUSTECH1K_DISTANCE = {"far": 1.4, "near": 0.75}
SUSTECH1K_CONDITIONS = ("bg", "cl", "cr", "ub", "uf", "oc", "nt")
SUSTECH1K_COMPANIONS = {"bg": "cr", "cl": "nt", "cr": "cl", "ub": "cl", "uf": "cr"}


def _sustech1k(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    """00-nm and 01-nm, then three takes that go round the seven other conditions.

    Chosen: three of seven per person, every fifth of them a combination.
    """
    types = ["nm", "nm"]
    for slot in range(3):
        turn = 3 * person + slot
        word = SUSTECH1K_CONDITIONS[turn % len(SUSTECH1K_CONDITIONS)]
        second = SUSTECH1K_COMPANIONS.get(word) if turn % 5 == 4 else None
        types.append(f"{word}-{second}" if second else word)
    sequences = []
    for (number, words), view in itertools.product(enumerate(types), SUSTECH1K_VIEWS):
        angle, _, place = view.partition("-")
        distance = SUSTECH1K_DISTANCE.get(place, 1.0)
        sequences.append(
            Sequence(
                f"{number:02d}-{words}",
                view,
                words,
                number,
                float(angle),
                take=f"{number:02d}",
                distance=distance,
            )
        )
    return sequences


# What is worn and met in the wild; chosen. Each of the last two comes on top.
WILD_WORDS = (("nm", 0.55), ("bg", 0.20), ("cl", 0.15), ("cr", 0.07), ("ub", 0.03))
WILD_OCCLUDED, WILD_TRUNCATED = 0.08, 0.10


def _wild(rng: np.random.Generator, elevated: bool = False) -> dict:
    """Any clothes, any side; the arguments of a Sequence that say so."""
    words, shares = zip(*WILD_WORDS, strict=True)
    drawn = [str(rng.choice(words, p=shares))]
    drawn += ["oc"] * int(rng.random() < WILD_OCCLUDED)
    drawn += ["tr"] * int(rng.random() < WILD_TRUNCATED)
    return {
        "words": "-".join(drawn),
        "azimuth": round(float(rng.uniform(0.0, 360.0)), 1),
        "elevation": round(float(rng.uniform(5.0, 30.0)), 1) if elevated else None,
        "distance": round(float(rng.uniform(0.8, 1.5)), 2),
        "noise": round(float(rng.uniform(0.8, 1.8)), 2),
    }


def _gait3d(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    """Six sequences from cameras under a ceiling; one of the test's is a probe."""
    return [
        Sequence(
            f"camid{rng.integers(39)}_videoid{1 + rng.integers(4)}",
            f"seq{number}",
            number=number,
            take=f"{number:02d}",
            lists=("probe",) if is_test and number == 0 else (),
            **_wild(rng, elevated=True),
        )
        for number in range(6)
    ]


def _freegait(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    """Seven sequences of three devices; five of the test's are probes."""
    return [
        Sequence(
            f"devid_{1 + rng.integers(3)}",
            f"seq_{number:02d}_new",
            number=number,
            take=f"{number:02d}",
            lists=("probe",) if is_test and number < 5 else (),
            **_wild(rng),
        )
        for number in range(7)
    ]


def _grew_subject(person: int, is_test: bool, num_train: int) -> str:
    return f"{person + 1:05d}" + ("" if is_test else "train")


def _grew(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    """Five training sequences; 01 and 02 of the test, and two probes (03) whose person
    the original keeps secret."""
    types = ("01", "02", "03", "03") if is_test else ("00",) * 5
    return [
        Sequence(
            kind,
            f"{rng.integers(2**32):08x}",
            number=number,
            take=f"{number:02d}",
            subject="probe" if kind == "03" else None,
            **_wild(rng),
        )
        for number, kind in enumerate(types)
    ]


OUTDOOR_NOISE = (1.0, 1.3, 1.7)  # chosen: simple, complex, moving background


def _outdoor_gait(
    person: int, is_test: bool, rng: np.random.Generator
) -> list[Sequence]:
    """Three scenes; the walkers pass from the right or from the left.

    Chosen: the folder names, and two takes each with a bag and in other clothes.
    """
    sequences = []
    for scene, noise in enumerate(OUTDOOR_NOISE, 1):
        for word, count in (("nm", 4), ("bg", 2), ("cl", 2)):
            for take in range(1, count + 1):
                view = 90 if take % 2 else 270
                sequences.append(
                    Sequence(
                        f"scene{scene}-{word}-{take:02d}",
                        f"{view:03d}",
                        word,
                        10 * scene + take,
                        view,
                        take=f"{take:02d}",
                        noise=noise,
                    )
                )
    return sequences


CCPG_TYPES = ("U0_D0_BG", "U0_D0", "U0_D3", "U1_D0", "U1_D1", "U2_D2", "U3_D3")
# Ten cameras, azimuth and elevation in degrees; chosen.
CCPG_CAMERAS = (
    *((0, 5), (40, 10), (75, 5), (110, 15), (150, 10)),
    *((180, 20), (215, 5), (250, 15), (290, 10), (330, 20)),
)


def _ccpg(person: int, is_test: bool, rng: np.random.Generator) -> list[Sequence]:
    """Upper and lower garments of one's own wardrobe, from ten cameras, once each."""
    sequences = []
    for number, kind in enumerate(CCPG_TYPES):
        upper, lower, *bag = kind.lower().split("_")
        words = "-".join([*bag, upper, lower])
        for camera, (azimuth, elevation) in enumerate(CCPG_CAMERAS, 1):
            view = f"{camera:02d}_{kind}_1"
            sequences.append(
                Sequence(kind, view, words, number, azimuth, elevation=elevation)
            )
    return sequences
