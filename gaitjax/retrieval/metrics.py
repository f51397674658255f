"""Retrieval metrics, pure numpy, over `matches`.

`matches` is bool[q,g]: row i is the gallery sorted by distance to probe i, True
where the identity is the same. Items that a probe may not find go last, as
False. The definitions are those of the person re-identification field:

    CMC(k) = share of probes with a match among the k nearest
    AP     = mean over the matches j = 1, 2, ... of j / r_j, r_j its position
    INP    = number of matches / position of the last one

Whether probes without any match are misses or are left out is the protocol's
choice, so nothing here decides it: `average_precision` and
`inverse_negative_penalty` are NaN there, `cmc` counts every row it is given.
"""

from __future__ import annotations

import numpy as np


def has_match(matches: np.ndarray) -> np.ndarray:
    """bool[q,g] -> bool[q]."""
    return matches.any(1)


def first_match(matches: np.ndarray) -> np.ndarray:
    """Position of the nearest match, from 1; 0 without one: bool[q,g] -> int[q]."""
    if not matches.shape[1]:
        return np.zeros(len(matches), int)
    return np.where(matches.any(1), matches.argmax(1) + 1, 0)


def cmc(matches: np.ndarray, num_ranks: int) -> np.ndarray:
    """CMC at ranks 1..num_ranks, shares: bool[q,g] -> f64[num_ranks]."""
    return cmc_from_first(first_match(matches), num_ranks)


def cmc_from_first(first: np.ndarray, num_ranks: int) -> np.ndarray:
    """As `cmc`, from what `first_match` gave (which is all that it needs)."""
    if not len(first):
        return np.full(num_ranks, np.nan)
    found = np.bincount(first[first > 0] - 1, minlength=num_ranks)[:num_ranks]
    return np.cumsum(found) / len(first)


def rank(matches: np.ndarray, k: int) -> float:
    """Rank-k, a share: probes with a match among the k nearest."""
    return float(cmc(matches, k)[-1])


def average_precision(matches: np.ndarray) -> np.ndarray:
    """AP of every probe, NaN without a match: bool[q,g] -> f64[q]."""
    position = np.arange(1, matches.shape[1] + 1)
    precision = np.cumsum(matches, 1) / position
    return _ratio((precision * matches).sum(1), matches.sum(1))


def inverse_negative_penalty(matches: np.ndarray) -> np.ndarray:
    """INP of every probe, NaN without a match: bool[q,g] -> f64[q]."""
    position = np.arange(1, matches.shape[1] + 1)
    last = (position * matches).max(1, initial=0)
    return _ratio(matches.sum(1), last)


def mean_defined(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean over what is not NaN; NaN (without a warning) where nothing is left."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis), defined.sum(axis))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, NaN where bottom is 0."""
    undefined = np.full(np.shape(bottom), np.nan)
    return np.divide(top, bottom, out=undefined, where=np.asarray(bottom) > 0)[()]
