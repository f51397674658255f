"""People in plain folders: what there is to enrol, read as the builders read it.

`DIR/<person>/...`: every folder below a person's that holds pictures or arrays is a
sequence, at whatever depth. Pictures are masks of any size and go through the standard
normalisation; arrays are silhouettes as OpenGait's pretreatment leaves them.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gaitjax.data.builders.modalities import Unusable
from gaitjax.data.builders.reading import ARRAYS, PICTURES, read_sequence
from gaitjax.data.builders.recipe import Recipe
from gaitjax.data.builders.source import is_stray
from gaitjax.data.index import Index
from gaitjax.errors import GaitError


@dataclasses.dataclass(frozen=True)
class Clips:
    """Some sequences in memory, to be embedded as if they were a split's.

    arrays: by modality [t,...], one dict per sequence.
    """

    arrays: Sequence[Mapping[str, np.ndarray]]

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, row: int) -> Mapping[str, np.ndarray]:
        return self.arrays[row]

    @property
    def index(self) -> Index:
        """Lengths alone: nothing is known about anybody."""
        nothing = np.full(len(self), "", np.str_)
        frames = [len(next(iter(clip.values()))) for clip in self.arrays]
        return Index(*[nothing] * 4, np.array(frames, np.int32))

    def with_keys(self, keys: Sequence[str]) -> Clips:
        """The same sequences in these modalities, in this order."""
        return Clips([{key: clip[key] for key in keys} for clip in self.arrays])


def find(root: pathlib.Path) -> list[tuple[str, str]]:
    """(person, sequence) of every folder of frames, sorted; GaitError without any.

    The sequence is its path below `root`, the person that path's first folder; a
    root that holds frames itself is the sequence "." of nobody.
    """
    if not root.is_dir():
        raise GaitError(f"{root} is not a folder; give one of <person>/<sequence>/")
    found = []
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not is_stray(name))
        if any(_is_frames(name) for name in files):
            path = pathlib.Path(folder).relative_to(root)
            found.append((path.parts[0] if path.parts else "", path.as_posix()))
    if not found:
        raise GaitError(
            f"{root} holds no sequences; expected folders <person>/<sequence>/ of mask "
            "pictures (.png), or with a .pkl or .npy as OpenGait's pretreatment writes"
        )
    return sorted(found)


def read(
    recipe: Recipe, sequences: Sequence[str], fill: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Mapping[str, np.ndarray] | None, str]]:
    """(modalities [t,...] or None, what was wrong or repaired) of each sequence.

    fill: shapes of one frame of modalities that are not read; they become zeros.
    """
    for path in sequences:
        try:
            arrays, notes = read_sequence(path, recipe)
        except (Unusable, GaitError) as error:
            yield None, " ".join(str(error).split())
            continue
        number = len(arrays[recipe.keys[0]])
        zeros = {key: np.zeros((number, *shape)) for key, shape in fill.items()}
        yield {**arrays, **zeros}, "; ".join(notes)


def _is_frames(name: str) -> bool:
    return not is_stray(name) and name.lower().endswith((*ARRAYS, *PICTURES))
