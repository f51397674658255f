"""Sequences to shards: a part of a split is converted by one worker, whole or not."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds
from array_record.python import array_record_module

from gaitjax.data.builders import common, manifest
from gaitjax.data.builders.manifest import Row
from gaitjax.data.builders.modalities import Unusable
from gaitjax.data.builders.reading import read_sequence
from gaitjax.data.builders.recipe import Recipe
from gaitjax.data.builders.source import Found
from gaitjax.errors import GaitError
from gaitjax.files import replacing, write_json

SMALLEST_PART, MOST_PARTS = 64, 256  # sequences of a part, parts of a split; chosen


@dataclasses.dataclass(frozen=True)
class Part:
    """Some sequences of a split, the content of one shard."""

    split: str
    number: int
    found: Sequence[Found]


def parts_of(splits: Mapping[str, Sequence[Found]]) -> list[Part]:
    """The sequences in parts, in the order of the splits and of their names."""
    parts = []
    for split, found in splits.items():
        size = max(SMALLEST_PART, -(-len(found) // MOST_PARTS))
        for number, start in enumerate(range(0, len(found), size)):
            parts.append(Part(split, number, found[start : start + size]))
    return parts


def convert_part(part: Part, recipe: Recipe, folder: pathlib.Path | None) -> list[Row]:
    """Makes a part where it is not there; without a folder it is only checked."""
    if folder and is_done(part, folder):
        return rows_of(part, folder)
    rows, records = [], []
    for one in part.found:
        row, record = convert(one, recipe)
        rows.append(dataclasses.replace(row, split=part.split))
        if record is not None and folder:
            records.append(record)
    if folder:
        path = shard_of(part, folder)
        with replacing(path) as partial:
            writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1")
            for record in records:
                writer.write(record)
            writer.close()
        write_json(path.with_suffix(".json"), [dataclasses.astuple(r) for r in rows])
    return rows


def convert(one: Found, recipe: Recipe) -> tuple[Row, bytes | None]:
    """What becomes of one sequence, and its record as TFDS stores it."""
    try:
        arrays, notes = read_sequence(one.path, recipe)
        number = len(arrays[recipe.keys[0]])
        features = _features(tuple(recipe.frame_shapes.items()))
        record = features.serialize_example(
            {**labels_of(one), "num_frames": number, **arrays}
        )
    except Unusable as error:
        return Row(one.path, "", "dropped", 0, _line(error)), None
    except Exception as error:  # damaged files raise all sorts; the others go on
        kind = "refused" if "refusing" in str(error) else "unreadable"
        line = _line(error) if isinstance(error, GaitError) else repr(error)
        return Row(one.path, "", "dropped", 0, _line(f"{kind}: {line}")), None
    if number == 1:
        notes.append("1 frame: no gait in it")
    damaged = any(note.startswith("unreadable") for note in notes)
    note = "; ".join(_line(note).replace(";", ",") for note in notes)
    return Row(one.path, "", "damaged" if damaged else "kept", number, note), record


def is_kept(row: Row) -> bool:
    """Whether there is a record of it."""
    return row.status in ("kept", "damaged")


def labels_of(one: Found) -> dict[str, str]:
    """subject, condition, view and take of a sequence."""
    # nm-01, and SUSTech1K's 00-nm: the take is the number at one of the ends.
    take = re.search(r"^\d+(?=-)|(?<=-)\d+$", one.condition)
    return {
        "subject": one.subject,
        "condition": one.condition,
        "view": one.view,
        "take": take.group() if take else one.condition,
    }


@functools.cache
def _features(shapes: tuple) -> tfds.features.FeaturesDict:
    return common.features(dict(shapes))


def _line(text: object) -> str:
    return " ".join(str(text).split())


def shard_of(part: Part, folder: pathlib.Path) -> pathlib.Path:
    return folder / f"{part.split}-{part.number:05d}.shard"


def rows_of(part: Part, folder: pathlib.Path) -> list[Row]:
    path = shard_of(part, folder).with_suffix(".json")
    return [Row(*values) for values in json.loads(path.read_text())]


def is_done(part: Part, folder: pathlib.Path) -> bool:
    """Whether a part is there, whole; one that lost something is made again."""
    if not shard_of(part, folder).with_suffix(".json").exists():
        return False
    rows = rows_of(part, folder)
    same = [row.path for row in rows] == [one.path for one in part.found]
    return same and not manifest.failed(rows)
