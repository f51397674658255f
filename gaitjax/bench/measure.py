"""What all benchmarks share: repeated timing, and rows with their spread."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure: the median of its repeats, the least and the most."""

    what: str
    unit: str
    median: float
    least: float
    most: float


def rate(
    what: str, unit: str, number: int, fn: Callable[[], object], times: int
) -> Row:
    """`number` things per second of wall time; fn does all of them, once to warm up."""
    fn()
    return _row(what, unit, [number / seconds(fn) for _ in range(times)])


def duration(what: str, fn: Callable[[], object], times: int) -> Row:
    """Seconds of wall time that fn takes, once to warm up."""
    fn()
    return _row(what, "s", [seconds(fn) for _ in range(times)])


def seconds(fn: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


def _row(what: str, unit: str, values: Sequence[float]) -> Row:
    return Row(what, unit, float(np.median(values)), min(values), max(values))
