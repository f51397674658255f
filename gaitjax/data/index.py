"""The label index of one split: who, how and from where, without any frames."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Index:
    """Labels of n sequences, row i being record i of the split.

    subject, condition, view, take: str arrays [n]; `condition` is the middle
      level of the `subject/condition/view/` layout, such as `nm-01`.
    num_frames: int32 [n].
    lists: names of sequences that a data set publishes, such as the probes of
      Gait3D, as `subject-condition-view` strings.
    """

    subject: np.ndarray
    condition: np.ndarray
    view: np.ndarray
    take: np.ndarray
    num_frames: np.ndarray
    lists: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.subject)

    @property
    def names(self) -> np.ndarray:
        """`subject-condition-view` of every row, str [n]."""
        rows = zip(self.subject, self.condition, self.view, strict=True)
        return np.array(["-".join(row) for row in rows], dtype=np.str_)

    @property
    def digest(self) -> str:
        """A hash of names, lengths and order: the same digest, the same records."""
        rows = "\n".join(
            f"{n} {t}" for n, t in zip(self.names, self.num_frames, strict=True)
        )
        return hashlib.sha256(rows.encode()).hexdigest()[:16]

    def select(self, rows: np.ndarray) -> Index:
        """The index of some rows (a boolean mask or row numbers), in that order."""
        columns = ("subject", "condition", "view", "take", "num_frames")
        picked = {name: getattr(self, name)[rows] for name in columns}
        return Index(**picked, lists=self.lists)
