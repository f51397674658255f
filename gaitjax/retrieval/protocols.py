"""Evaluation protocols as data: who is gallery, who is probe, what is averaged.

A new data set is a new function here and a line in `for_dataset`; no code. The
splits are facts of the data sets: CASIA-B (Yu et al., ICPR 2006, in the usual
74/50 split), OU-MVLP (Takemura et al., 2018), CASIA-E (Song et al., TPAMI 2022),
SUSTech1K (Shen et al., CVPR 2023), Gait3D (Zheng et al., CVPR 2022), FreeGait (Han
et al., 2024), GREW (Zhu et al., ICCV 2021), CCPG (Li et al., CVPR 2023) and
Outdoor-Gait (Song et al., 2019), followed as OpenGait evaluates them where it does.
docs/evaluation.md has them in one table.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import typing
from collections.abc import Mapping

import numpy as np

from gaitjax.errors import GaitError

# A field of the index -> accepted patterns (`fnmatch`, upper and lower case differ).
# A row passes a field when it matches one of the patterns; a pattern behind "!"
# refuses. Fields: those of `column`, and `list`, whose values are the published
# lists that name the row. All fields of a rule must pass.
Rule = Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way of turning distances into numbers.

    name: printed with every number.
    gallery: which rows are searched.
    probes: by name of the probe condition, which rows search.
    breakdown: what is averaged.
      "view_pairs": Rank-k in every (probe view, gallery view) cell, the gallery
        being that one view; mean over gallery views, then over probe views. A
        probe without a match in a view is a miss.
      "list": Rank-k, mAP and mINP over the probes, in one gallery.
      "views": as "list" for the probes of each view, then the mean over views.
    exclude: a probe does not find a gallery row that is equal in all these fields.
      With "view_pairs": nothing, or the field of the pairs, which leaves out the
      same view.
    galleries: the rule of the gallery for conditions that have one of their own.
    group: the field that "view_pairs" and "views" go by, "view" or "camera".
    misses: with "list" and "views": in Rank-k, a probe without a match is a miss
      (True) or is left out and counted (False). mAP and mINP leave it out.
    ranks: reported besides those that are asked for.
    """

    name: str
    gallery: Rule
    probes: Mapping[str, Rule]
    breakdown: str
    exclude: tuple[str, ...] = ()
    galleries: Mapping[str, Rule] = dataclasses.field(default_factory=dict)
    group: str = "view"
    misses: bool = False
    ranks: tuple[int, ...] = ()

    def __post_init__(self):
        known = ("view_pairs", "list", "views")
        if self.breakdown not in known:
            raise ValueError(
                f"breakdown is {', '.join(known)}, got {self.breakdown!r}; choose one"
            )
        alone = ((), (self.group,))
        if self.breakdown == "view_pairs" and self.exclude not in alone:
            raise ValueError(
                f"view_pairs excludes {self.group} at most, got {self.exclude}"
            )
        unknown = self.galleries.keys() - self.probes.keys()
        if unknown:
            raise ValueError(f"galleries of no probe condition: {sorted(unknown)}")


class Labels(typing.Protocol):
    """What a protocol needs of an index (`data.index.Index` has it)."""

    @property
    def subject(self) -> np.ndarray: ...
    @property
    def condition(self) -> np.ndarray: ...
    @property
    def view(self) -> np.ndarray: ...
    @property
    def take(self) -> np.ndarray: ...
    @property
    def names(self) -> np.ndarray: ...
    @property
    def lists(self) -> Mapping[str, frozenset[str]]: ...
    def __len__(self) -> int: ...


def for_dataset(name: str) -> tuple[Protocol, ...]:
    """The protocols of a data set, headline first; a `walkers_` twin has them too, and
    so has a variant (`sustech1k/native-ranges`)."""
    known = {
        "casia_b": (casia_b(), casia_b_all_views()),
        "gait3d": (gait3d(),),
        "walkers": (walkers(),),
        "casia_e": (casia_e(),),
        "ccpg": (ccpg_gait(), ccpg_reid(), ccpg_gait_same_camera()),
        "freegait": (freegait(),),
        "grew": (grew_local(),),
        "oumvlp": (oumvlp(), oumvlp_all_views()),
        "folder": (folder(),),
        "outdoor_gait": (outdoor_gait(),),
        "sustech1k": (sustech1k(),),
    }
    original = name.removeprefix("walkers_").partition("/")[0]
    if original not in known:
        raise GaitError(
            f"no evaluation protocol for data set {name!r}; known: "
            f"{', '.join(known)} and their walkers_ twins; add it to "
            "gaitjax/retrieval/protocols.py"
        )
    return known[original]


def walkers() -> Protocol:
    """The synthetic default: CASIA-B's with fewer takes."""
    return Protocol(
        name="walkers",
        gallery={"condition": ("nm-01", "nm-02")},
        probes={
            "NM": {"condition": ("nm-03",)},
            "BG": {"condition": ("bg-01",)},
            "CL": {"condition": ("cl-01",)},
        },
        breakdown="view_pairs",
        exclude=("view",),
    )


def casia_b() -> Protocol:
    """Gallery: the first four normal walks; the same view is left out."""
    return Protocol(
        name="casia_b",
        gallery={"condition": ("nm-01", "nm-02", "nm-03", "nm-04")},
        probes={
            "NM": {"condition": ("nm-05", "nm-06")},
            "BG": {"condition": ("bg-01", "bg-02")},
            "CL": {"condition": ("cl-01", "cl-02")},
        },
        breakdown="view_pairs",
        exclude=("view",),
    )


def casia_b_all_views() -> Protocol:
    """One gallery of all views and of all three conditions; mAP besides Rank-k."""
    return Protocol(
        name="casia_b_all_views",
        gallery={"condition": ("nm-02", "bg-02", "cl-02")},
        probes={
            "NM": {"condition": ("nm-01",)},
            "BG": {"condition": ("bg-01",)},
            "CL": {"condition": ("cl-01",)},
        },
        breakdown="views",
        exclude=("subject", "view"),
        misses=True,
    )


def oumvlp() -> Protocol:
    """The second walk finds the first; the same view is left out."""
    return Protocol(
        name="oumvlp",
        gallery={"condition": ("01",)},
        probes={"NM": {"condition": ("00",)}},
        breakdown="view_pairs",
        exclude=("view",),
    )


def oumvlp_all_views() -> Protocol:
    """As `oumvlp`, in one gallery of all views; mAP besides Rank-k."""
    return dataclasses.replace(
        oumvlp(),
        name="oumvlp_all_views",
        breakdown="views",
        exclude=("subject", "view"),
        misses=True,
    )


def casia_e() -> Protocol:
    """Gallery: normal walks of scene 1; probes: scenes 2, 3 and 3_s. Without 270."""

    def walks(kind: str, *scenes: str) -> Rule:
        conditions = tuple(f"[HL]-{scene}-{kind}-[12]" for scene in scenes)
        return {"condition": conditions, "view": ("!270",)}

    others = ("scene2", "scene3", "scene3_s")
    return Protocol(
        name="casia_e",
        gallery=walks("nm", "scene1"),
        probes={kind.upper(): walks(kind, *others) for kind in ("nm", "bg", "cl")},
        breakdown="view_pairs",
        exclude=("view",),
    )


def sustech1k() -> Protocol:
    """By what the condition contains: a walk with several covariates counts in each."""
    covariates = {
        "Normal": ("01-nm",),
        "Bag": ("bg",),
        "Clothing": ("cl",),
        "Carrying": ("cr",),
        "Umbrella": ("ub",),
        "Uniform": ("uf",),
        "Occlusion": ("oc",),
        "Night": ("nt",),
        "Overall": ("01", "02", "03", "04"),
    }
    return Protocol(
        name="sustech1k",
        gallery={"condition": ("*00-nm*",)},
        probes={
            name: {"condition": tuple(f"*{part}*" for part in parts)}
            for name, parts in covariates.items()
        },
        breakdown="view_pairs",
        exclude=("view",),
        ranks=(1, 2, 3, 4, 5),
    )


def gait3d() -> Protocol:
    """Probes: the published list `probe`; gallery: every other test sequence."""
    return Protocol(
        name="gait3d",
        gallery={"list": ("!probe",)},
        probes={"all": {"list": ("probe",)}},
        breakdown="list",
    )


def freegait() -> Protocol:
    """As `gait3d`: the published gallery list is not used, as in the reference."""
    return dataclasses.replace(gait3d(), name="freegait")


def folder() -> Protocol:
    """As `gait3d`, for anybody's own sequences; the list is theirs, or the first
    sequence of each person of the test."""
    return dataclasses.replace(gait3d(), name="folder")


def grew_local() -> Protocol:
    """Between the labelled halves of GREW's test set; not what its server scores."""
    return Protocol(
        name="grew_local",
        gallery={"condition": ("01",)},
        probes={"all": {"condition": ("02",)}},
        breakdown="list",
        misses=True,
        ranks=(1, 5, 10, 20),
    )


def ccpg_gait() -> Protocol:
    """Camera pairs without the same camera; a gallery for each condition."""
    return Protocol(
        name="ccpg_gait",
        gallery={"condition": ("U1_D1", "U2_D2", "U3_D3")},
        probes={
            "CL": {"condition": ("U0_D0_BG", "U0_D0")},
            "UP": {"condition": ("U3_D3",)},
            "DN": {"condition": ("U1_D0",)},
            "BG": {"condition": ("U0_D0_BG",)},
        },
        breakdown="view_pairs",
        exclude=("camera",),
        galleries={
            "UP": {"condition": ("U0_D3",)},
            "DN": {"condition": ("U1_D1",)},
            "BG": {"condition": ("U0_D0",)},
        },
        group="camera",
    )


def ccpg_gait_same_camera() -> Protocol:
    """As `ccpg_gait`, the pairs of a camera with itself averaged in."""
    return dataclasses.replace(ccpg_gait(), name="ccpg_gait_same_camera", exclude=())


def ccpg_reid() -> Protocol:
    """One gallery over cameras; the same person under the same camera is left out."""
    return dataclasses.replace(
        ccpg_gait(),
        name="ccpg_reid",
        breakdown="list",
        exclude=("subject", "camera"),
    )


def outdoor_gait() -> Protocol:
    """Gallery: normal walks 1 to 4 of scene 3; probes: all walks of the others.

    The names of the conditions (`scene3-nm-01`) are ours: the original has no
    folders of this form.
    """
    return Protocol(
        name="outdoor_gait",
        gallery={"condition": ("scene3-nm-0[1-4]",)},
        probes={
            kind.upper(): {"condition": (f"scene[12]-{kind}-*",)}
            for kind in ("nm", "cl", "bg")
        },
        breakdown="list",
        misses=True,
    )


def column(field: str, index: Labels) -> np.ndarray:
    """A label of every row, str [n]: subject, condition, view, take or camera.

    The camera is the view up to its first `_`, as CCPG names its videos.
    """
    if field == "camera":
        return np.array([view.partition("_")[0] for view in index.view], np.str_)
    return getattr(index, field)


def rows_of(rule: Rule, index: Labels) -> np.ndarray:
    """Row numbers that a rule accepts, ascending, int[n]."""
    accepted = np.ones(len(index), bool)
    for field, patterns in rule.items():
        if field == "list":
            accepted &= _on_lists(patterns, index)
        else:
            accepted &= _matching(patterns, column(field, index))
    return np.flatnonzero(accepted)


def _matching(patterns: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """bool[n]: some pattern accepts (or all only refuse) and none refuses."""
    unique, where = np.unique(values, return_inverse=True)
    refuse = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    accept = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]

    def fits(value: str, some: list[str]) -> bool:
        return any(fnmatch.fnmatchcase(value, pattern) for pattern in some)

    passed = [fits(value, accept) and not fits(value, refuse) for value in unique]
    return np.array(passed, bool)[where]


def _on_lists(patterns: tuple[str, ...], index: Labels) -> np.ndarray:
    """bool[n]: like `_matching`, on the published lists that name a row."""
    names = index.names
    refuse = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    accept = [pattern for pattern in patterns if not pattern.startswith("!")]

    def named(some: list[str]) -> np.ndarray:
        missing = [name for name in some if name not in index.lists]
        if missing:
            raise GaitError(
                f"the protocol needs the published list {missing[0]!r}, the data set "
                f"has {sorted(index.lists)}; prepare it again with its partition file"
            )
        listed = frozenset().union(*(index.lists[name] for name in some))
        return np.array([name in listed for name in names], bool)

    accepted = named(accept) if accept else np.ones(len(names), bool)
    return accepted & ~named(refuse)
