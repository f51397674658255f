"""Evaluation protocols as data: who is gallery, who is probe, what is averaged.

A new data set is a new function here and a line in `for_dataset`; no code. The
splits are facts of the data sets: CASIA-B (Yu et al., ICPR 2006, in the usual
74/50 split) and Gait3D (Zheng et al., CVPR 2022).
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
# refuses. Fields: subject, condition, view, take, and `list`, whose values are
# the published lists that name the row. All fields of a rule must pass.
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
      "list": Rank-k, mAP and mINP over the probes with a match in one gallery;
        the others are left out and counted.
    exclude: a probe does not find a gallery row that is equal in all these fields.
      With "view_pairs": nothing, or ("view",), which leaves out the same view.
    """

    name: str
    gallery: Rule
    probes: Mapping[str, Rule]
    breakdown: str
    exclude: tuple[str, ...] = ()

    def __post_init__(self):
        if self.breakdown not in ("view_pairs", "list"):
            raise ValueError(f"breakdown is view_pairs or list, got {self.breakdown!r}")
        if self.breakdown == "view_pairs" and self.exclude not in ((), ("view",)):
            raise ValueError(f"view_pairs excludes view at most, got {self.exclude}")


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
    """The protocols of a data set; a `walkers_` twin has those of its original."""
    known = {
        "casia_b": (casia_b(),),
        "gait3d": (gait3d(),),
        "walkers": (walkers(),),
    }
    original = name.removeprefix("walkers_")
    if original not in known:
        raise GaitError(
            f"no evaluation protocol for data set {name!r}; known: "
            f"{', '.join(known)} and their walkers_ twins; add it to "
            "gaitjax/retrieval/protocols.py"
        )
    return known[original]


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


def gait3d() -> Protocol:
    """Probes: the published list `probe`; gallery: every other test sequence."""
    return Protocol(
        name="gait3d",
        gallery={"list": ("!probe",)},
        probes={"all": {"list": ("probe",)}},
        breakdown="list",
    )


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


def rows_of(rule: Rule, index: Labels) -> np.ndarray:
    """Row numbers that a rule accepts, ascending, int[n]."""
    accepted = np.ones(len(index), bool)
    for field, patterns in rule.items():
        if field == "list":
            accepted &= _on_lists(patterns, index)
        else:
            accepted &= _matching(patterns, getattr(index, field))
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
