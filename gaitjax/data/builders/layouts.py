"""What is known of each data set's folders: file names, rates, splits. No code path.

The general form is OpenGait's, `<id>/<type>/<view>/*.pkl`, one file per modality. Of
Outdoor-Gait and CASIA-E nothing more is known to us, and they are read as that; so is
`folder`, anybody's own tree. The split of some sets is a rule and stands here, that of
the others comes in the partition file of the data set or of OpenGait.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from gaitjax.arguments import unknown
from gaitjax.errors import GaitError

Ids = tuple[list[str], list[str]]  # of the training and of the test split


@dataclasses.dataclass(frozen=True)
class Layout:
    """A data set's files.

    files: by modality, patterns (`fnmatch`) that its file's name without the ending
      may fit, the first that fits counts; {view} is the folder's name, {rate} the
      pattern of the rate. modalities: those that are taken unless others are asked for.
    rates: by name, what {rate} stands for; the first one is taken unless another is
      asked for. split: the ids of a split that is a rule. partition: the file that
      has the split otherwise. shallow: types of ids whose views lie directly below.
    """

    files: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    modalities: tuple[str, ...] = ("sils",)
    rates: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split: Callable[[], Ids] | None = None
    partition: str = ""
    shallow: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def patterns(self, key: str, rate: str | None) -> tuple[str, ...]:
        """The patterns of a modality; those of the general form come last."""
        own = self.files.get(key, ())
        if rate:
            own = tuple(name.replace("{rate}", self.rates[rate]) for name in own)
        return own + GENERAL.get(key, ()) + (key,)


# Names of the general form, of Gait3D merged with SMPL (sils-, smpls-), of CCPG and the
# CASIA-B that was segmented anew (-aligned-sils), of skeleton maps (0_, 1_), and poses,
# which heat maps are drawn from.
GENERAL = {
    "sils": ("{view}", "sils-*", "*-aligned-sils", "1_sil"),
    "smpl": ("smpls-*",),
    "heatmaps": ("0_heatmap", "*pose*"),
}


def layouts() -> dict[str, Layout]:
    """Every data set by its name."""
    return {
        "casia_b": Layout(split=_casia_b),
        "oumvlp": Layout(split=_oumvlp),
        "grew": Layout(split=_grew, shallow={"probe": "03"}),
        "ccpg": Layout(split=_ccpg),
        "gait3d": Layout(partition="Gait3D.json"),
        "sustech1k": _sustech1k(),
        "freegait": _freegait(),
        "casia_e": Layout(partition="CASIA-E.json"),
        "outdoor_gait": Layout(partition="a file of your own"),
        "folder": Layout(partition="a file of your own"),
    }


def find(name: str) -> Layout:
    """The layout of a data set, or GaitError with the nearest that exists."""
    table = layouts()
    if name not in table:
        raise GaitError(unknown(name, table, "data set"))
    return table[name]


def _sustech1k() -> Layout:
    """16 files per sequence: eight at the rates of their sensors, camera 30 Hz and
    LiDAR 10 Hz, and the same eight at the moments that both have."""
    sensors = {
        "sils": "Camera-Sils_aligned",
        "ranges": "LiDAR-PCDs_depths",
        "points": "LiDAR-PCDs",
        "heatmaps": "Camera-Pose",
    }
    return Layout(
        files={key: (f"[0-9][0-9]-{{rate}}-{name}",) for key, name in sensors.items()},
        modalities=("sils", "ranges"),
        rates={"sync": "sync-*", "native": "[0-9]*"},
        partition="SUSTech1K.json",
    )


def _freegait() -> Layout:
    """Five files per sequence. Only the points' form is known for certain: the others
    are checked as they are read, and refused where they are something else."""
    return Layout(
        files={
            "sils": ("image",),
            "joints": ("kp3d",),
            "points": ("lidar",),
            "ranges": ("range_pkl",),
            "smpl": ("smpl",),
        },
        modalities=("sils", "ranges"),
        partition="FreeGait.json",
    )


def _casia_b() -> Ids:
    """The usual 74/50 split."""
    ids = [f"{number:03d}" for number in range(1, 125)]
    return ids[:74], ids[74:]


def _oumvlp() -> Ids:
    """Odd ids are for training, even ones and the last for the test."""
    train = [f"{number:05d}" for number in range(1, 10306, 2)]
    test = [f"{number:05d}" for number in range(2, 10307, 2)]
    return train, [*test, "10307"]


def _grew() -> Ids:
    """`00001train`... for training; the test's `probe` are people without a name."""
    train = [f"{number:05d}train" for number in range(1, 20001)]
    return train, [*(f"{number:05d}" for number in range(1, 6001)), "probe"]


def _ccpg() -> Ids:
    ids = [f"{number:03d}" for number in range(200)]
    return ids[:100], ids[100:]
