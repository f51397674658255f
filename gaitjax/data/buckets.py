"""Evaluation batches: whole sequences in a few static shapes, padded and masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def bucket_lengths(lengths: np.ndarray, limit: int, count: int = 4) -> list[int]:
    """At most `count` lengths to pad to, ascending; the last holds every sequence.

    Quantiles of the lengths, so that about as many sequences go in each; lengths
    beyond `limit` are cut to it.
    """
    lengths = np.minimum(lengths, limit)
    steps = np.linspace(0, 1, count + 1)[1:]
    return np.unique(np.quantile(lengths, steps, method="higher")).tolist()


def eval_batches(
    lengths: np.ndarray, buckets: Sequence[int], batch: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(length to pad to, records i64 [<= batch]) until every record was named."""
    which = np.searchsorted(buckets, np.minimum(lengths, buckets[-1]))
    for number, length in enumerate(buckets):
        rows = np.flatnonzero(which == number)
        for start in range(0, len(rows), batch):
            yield length, rows[start : start + batch]
