"""Where the frames of a training split lie when a device holds them all.

The frames of the records are put end to end, so that a clip is a row of numbers, and
that is what the host sends. Numpy alone; `runtime.inputs` holds the arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.data.augment import cut_sides
from gaitjax.data.records import Split


@dataclasses.dataclass(frozen=True)
class Store:
    """rows: the records that are kept, i64. starts: i64, where each record of the split
    begins; -1 for one that is not kept. lengths: of every record. shapes: one frame of
    each modality as it is kept."""

    rows: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def frames(self) -> int:
        """Of all records together."""
        return int(self.lengths[self.rows].sum())

    @property
    def bytes(self) -> int:
        """Of all modalities."""
        return self.frames * sum(int(np.prod(s)) for s in self.shapes.values())


def make_store(
    split: Split, rows: np.ndarray, shapes: Mapping[str, tuple[int, ...]]
) -> Store:
    """Of `rows` of a split, in their order."""
    lengths = np.asarray(split.index.num_frames, np.int64)
    starts = np.full(len(lengths), -1, np.int64)
    starts[rows] = np.cumsum(lengths[rows]) - lengths[rows]
    return Store(rows, starts, lengths, shapes)


def read(
    store: Store, split: Split, first: int, last: int, cut: Sequence[str]
) -> dict[str, np.ndarray]:
    """Frames first..last-1 of the store, u8 {key: [last - first, ...]}; zeros beyond
    its end. cut: modalities that lose their empty sides."""
    split = split.with_keys(tuple(store.shapes))
    found = {k: np.zeros((last - first, *s), np.uint8) for k, s in store.shapes.items()}
    starts = store.starts[store.rows]
    ends = starts + store.lengths[store.rows]
    for row in store.rows[(starts < last) & (ends > first)]:
        begin = int(store.starts[row])
        a, b = max(first, begin), min(last, begin + int(store.lengths[row]))
        for key, frames in split[int(row)].items():
            frames = cut_sides(frames) if key in cut else frames
            found[key][a - first : b - first] = frames[a - begin : b - begin]
    return found
