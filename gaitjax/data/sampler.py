"""Which records, and which of their frames, make a batch: pure functions of a step.

Nothing here remembers anything, so the order of the data is a function of
(seed, round, step) and resuming is a number.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from gaitjax.errors import GaitError

Order = Literal["ordered", "unordered"]


class PKSampler:
    """P identities by K sequences each, the batch of the triplet loss."""

    def __init__(
        self,
        labels: np.ndarray,
        p: int,
        k: int,
        seed: int,
        round_: int = 0,
        *,
        clusters: bool = False,
    ):
        """labels i32 [records]; records labelled -1 are never drawn. clusters: labels
        are those of the round, and not people, for the message."""
        self.classes = np.unique(labels[labels >= 0])
        if len(self.classes) < p:
            wanted = "identities, the training set has"
            if clusters:
                wanted = f"clusters, round {round_} has"
            raise GaitError(
                f"a batch wants {p} {wanted} {len(self.classes)}; lower data.p to at "
                f"most {len(self.classes)}"
            )
        order = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[order], self.classes)
        ends = np.searchsorted(labels[order], self.classes, side="right")
        self.pools = [order[a:b] for a, b in zip(starts, ends, strict=True)]
        self.p, self.k, self.seed, self.round = p, k, seed, round_

    def __call__(self, step: int) -> np.ndarray:
        """The records of a step, i64 [p * k], the k of an identity side by side.

        As in the reference an identity with fewer than K sequences is drawn with
        replacement.
        """
        rng = np.random.default_rng((self.seed, 0, self.round, step))
        chosen = rng.choice(len(self.classes), self.p, replace=False)
        pools = [self.pools[c] for c in chosen]
        rows = [rng.choice(x, self.k, replace=len(x) < self.k) for x in pools]
        return np.concatenate(rows)


@dataclasses.dataclass(frozen=True)
class Clip:
    """How many frames are drawn of a sequence, and how.

    `most` is `least` for clips of a fixed length; else the length is uniform in
    [least, most]. An ordered clip comes from a window of `skip` frames more than
    it has.
    """

    least: int
    most: int
    order: Order = "unordered"
    skip: int = 0

    def draw(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """Frame numbers i64 [t], least <= t <= most, of a sequence of `length`.

        Unordered: t frames, without replacement where the sequence has as many.
        Ordered: t frames of a window, without replacement, in their order; a
        sequence shorter than the window is repeated as a whole until it is not.
        """
        t = int(rng.integers(self.least, self.most + 1))
        if self.order == "unordered":
            return rng.choice(length, t, replace=length < t)
        window = t + self.skip
        track = np.tile(np.arange(length), -(-window // length))
        start = rng.integers(len(track) - window + 1)
        return track[start + np.sort(rng.choice(window, t, replace=False))]
