"""Finds the sequences of a tree, and which split each belongs to."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from gaitjax.data.builders.layouts import Layout
from gaitjax.data.builders.manifest import Row
from gaitjax.errors import GaitError

STRAY = ("__MACOSX", "Thumbs.db")  # besides names that begin with a dot
VIDEOS = (".mp4", ".avi", ".mov", ".mkv")
ENOUGH = 0.95  # of a split's ids must be there


@dataclasses.dataclass(frozen=True)
class Found:
    """A sequence of the source: its labels, and its folder within the source."""

    subject: str
    condition: str
    view: str
    path: str

    @property
    def name(self) -> str:
        """As published lists name it."""
        return f"{self.subject}-{self.condition}-{self.view}"


@dataclasses.dataclass(frozen=True)
class Partition:
    """Ids by split, and names of sequences by published list."""

    ids: Mapping[str, Sequence[str]]
    lists: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)


def scan(root: pathlib.Path, layout: Layout) -> tuple[list[Found], list[Row]]:
    """The sequences below `root`, sorted, and what else lies there.

    Raises GaitError where there are none.
    """
    if not root.is_dir():
        raise GaitError(f"--source {root} is not a folder; give the one of the ids")
    found, strays = [], []
    for subject in _folders(root, root, strays):
        above = layout.shallow.get(subject.name)
        for kind in _folders(subject, root, strays):
            if above and kind.name != above:
                found.append(_found(root, subject.name, above, kind))
                continue
            for view in _folders(kind, root, strays):
                found.append(_found(root, subject.name, kind.name, view))
    if not found:
        raise GaitError(_no_sequences(root, strays))
    return found, strays


def read_partition(path: pathlib.Path | None, name: str, layout: Layout) -> Partition:
    """The split: of the file where one is given, else the data set's own rule.

    Raises GaitError where neither is there, and for a file that is not a partition.
    """
    if path is None:
        if layout.split is None:
            raise GaitError(
                f"the split of {name} is not a rule: give its partition file "
                f'({layout.partition}; {{"TRAIN_SET": [ids], "TEST_SET": [ids]}}) '
                "with --partition"
            )
        train, test = layout.split()
        return Partition({"train": train, "test": test})
    ids, lists = {}, {}
    for key, names in _lists_of(path).items():
        kind = key.removesuffix("_SET").lower()
        (ids if kind in ("train", "test") else lists)[kind] = names
    for split in ("train", "test"):
        if not ids.get(split):
            raise GaitError(f"{path}: expected ids in {split.upper()}_SET; add them")
    if both := sorted(set(ids["train"]) & set(ids["test"])):
        raise GaitError(
            f"{path}: {len(both)} ids are in both splits ({_some(both)}); people of "
            "the test must be new, take them out of one"
        )
    return Partition(ids, lists)


def assign(
    found: Sequence[Found], partition: Partition, *, partial: bool = False
) -> dict[str, list[Found]]:
    """The sequences of each split, and under "" those of no split.

    Raises GaitError where a split is empty, or fewer than 95 % of its ids are there
    and `partial` does not allow it.
    """
    split_of = {id: split for split, ids in partition.ids.items() for id in ids}
    chosen: dict[str, list[Found]] = {split: [] for split in (*partition.ids, "")}
    for one in found:
        chosen[split_of.get(one.subject, "")].append(one)
    there = {one.subject for one in found}
    for split, ids in partition.ids.items():
        present = sum(1 for id in ids if id in there)
        if not present or (present < ENOUGH * len(ids) and not partial):
            missing = [id for id in ids if id not in there]
            way = "check --source and --partition"
            if present:
                way += ", or give --partial to go on with fewer"
            raise GaitError(
                f"{split}: {len(ids)} ids in the split, {present} found; found are "
                f"{_some(sorted(there))}, missing {_some(missing)}; {way}"
            )
    return chosen


def counts(found: Sequence[Found], partition: Partition) -> Iterator[str]:
    """Per split: ids in it, found, missing; per list: names in it, found, missing."""
    there = {one.subject for one in found}
    names = {one.name for one in found}
    for split, ids in partition.ids.items():
        yield _three(split, "ids", ids, there)
    for name, listed in partition.lists.items():
        yield _three(f"list {name}", "sequences", listed, names)


def _three(name: str, what: str, wanted: Sequence[str], there: set[str]) -> str:
    missing = [one for one in wanted if one not in there]
    line = f"{name}: {len(wanted)} {what}, {len(wanted) - len(missing)} found, "
    line += f"{len(missing)} missing"
    return line + (f" ({_some(missing)})" if missing else "")


def _lists_of(path: pathlib.Path) -> dict[str, list[str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GaitError(
            f"cannot read --partition {path}: {error}; give its JSON"
        ) from (error)
    good = isinstance(content, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in content.values()
    )
    if not good:
        raise GaitError(
            f'{path}: expected {{"TRAIN_SET": [ids], "TEST_SET": [ids]}} with ids in '
            "quotes; write it like that"
        )
    return content


def _found(root: pathlib.Path, subject: str, kind: str, view: os.DirEntry) -> Found:
    path = pathlib.Path(view.path).relative_to(root).as_posix()
    return Found(subject, kind, view.name, path)


def _folders(
    folder: os.DirEntry | pathlib.Path, root: pathlib.Path, strays: list[Row]
) -> list[os.DirEntry]:
    """The folders in a folder, sorted; the rest goes to `strays`."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if is_stray(entry.name) or not entry.is_dir():
                path = pathlib.Path(entry.path).relative_to(root).as_posix()
                strays.append(Row(path, "", "ignored", 0, "stray: no sequence"))
            else:
                folders.append(entry)
    return folders


def is_stray(name: str) -> bool:
    """Whether an operating system left it there."""
    return name.startswith(".") or name in STRAY


def _no_sequences(root: pathlib.Path, strays: Sequence[Row]) -> str:
    if any(row.path.lower().endswith(VIDEOS) for row in strays):
        return (
            f"{root} holds videos, gaitjax needs person masks: run a tracker and a "
            "segmenter first, and write <id>/<type>/<view>/*.png"
        )
    return (
        f"{root} holds no sequences, expected <id>/<type>/<view>/ with a .pkl in each "
        "as OpenGait's pretreatment writes them; give the folder of all ids"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
