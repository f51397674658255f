"""What all benchmarks share: repeated timing, and rows with their spread."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure: the median of its repeats, the least and the most; None where this
    machine does not tell."""

    what: str
    unit: str
    median: float | None
    least: float | None
    most: float | None


def rate(
    what: str, unit: str, number: int, fn: Callable[[], object], times: int
) -> Row:
    """`number` things per second of wall time; fn does all of them, once to warm up."""
    fn()
    return row(what, unit, [number / seconds(fn) for _ in range(times)])


def duration(what: str, fn: Callable[[], object], times: int) -> Row:
    """Seconds of wall time that fn takes, once to warm up."""
    fn()
    return row(what, "s", [seconds(fn) for _ in range(times)])


def seconds(fn: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


def interleaved(
    fns: Mapping[str, Callable[[], object]], times: int
) -> dict[str, list[float]]:
    """{name: seconds of each of its calls}, once to warm up, then in turns, so that
    what else the machine does falls on all alike."""
    for fn in fns.values():
        fn()
    took: dict[str, list[float]] = {name: [] for name in fns}
    for _ in range(times):
        for name, fn in fns.items():
            took[name].append(seconds(fn))
    return took


def ratios(took: Mapping[str, Sequence[float]], name: str, of: str) -> list[float]:
    """How many times as long as `of` one took, turn by turn."""
    return [one / base for one, base in zip(took[name], took[of], strict=True)]


def figure(what: str, unit: str, value: float | None) -> Row:
    """What is counted rather than timed, and so has no spread."""
    return Row(what, unit, value, value, value)


def row(what: str, unit: str, values: Sequence[float]) -> Row:
    """Of repeats."""
    return Row(what, unit, float(np.median(values)), min(values), max(values))
