"""TFDS writes what it got in order without its shuffler.

TFDS hands all records of a split to a shuffler, also where nothing is shuffled; from
1 GB on that one opens its files through TensorFlow, which is not installed.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

from tensorflow_datasets.core import shuffle


class Spool:
    """Records in the order of their keys, in one temporary file beside the set.

    The interface is that of TFDS's `Shuffler`.
    """

    def __init__(
        self, dirpath: str, hash_salt: str, disable_shuffling: bool, **_: object
    ):
        if not disable_shuffling:
            raise ValueError("a spool keeps the order; set disable_shuffling")
        self._path = pathlib.Path(dirpath) / f"spool_{hash_salt}.tmp"
        self._records: list[tuple[int, int]] = []  # key, bytes
        self.size = 0

    @property
    def num_examples(self) -> int:
        """Records so far."""
        return len(self._records)

    @property
    def bucket_lengths(self) -> Sequence[int]:
        """All are in one."""
        return [self.num_examples]

    def add(self, key: int, data: bytes) -> None:
        """Appends a record; keys rise."""
        if self._records and key <= self._records[-1][0]:
            raise ValueError(f"record {key} after {self._records[-1][0]}: not in order")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab" if self._records else "wb") as file:
            file.write(data)
        self._records.append((key, len(data)))
        self.size += len(data)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """All of them; the file is gone after the last one."""
        with self._path.open("rb") as file:
            for key, length in self._records:
                yield key, file.read(length)
        self._path.unlink()


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """What TFDS writes in here goes through a spool."""
    usual, shuffle.Shuffler = shuffle.Shuffler, Spool
    try:
        yield
    finally:
        shuffle.Shuffler = usual
