"""What the tables of studies in experiments/ share: means, differences, Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping


def paired(values: Mapping[int, float], rival: Mapping[int, float]) -> list[float]:
    """Differences to the rival of the same seed, of the seeds that both have."""
    return [values[seed] - rival[seed] for seed in values if seed in rival]


def shown(values: Iterable[float], digits: int = 1) -> str:
    """Mean, and the sample's deviation over seeds where there are several."""
    values = list(values)
    if not values:
        return "n/a"
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def gain(values: list[float]) -> str:
    """Mean difference, deviation, and how many seeds are higher."""
    if not values:
        return "n/a"
    mean = f"{statistics.fmean(values):+.1f}"
    if len(values) == 1:
        return f"{mean} (1 seed)"
    higher = sum(value > 0 for value in values)
    return f"{mean} ± {statistics.stdev(values):.1f}, {higher} of {len(values)}"


def table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Markdown."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def listed(names: Iterable[str]) -> str:
    """As code, with commas."""
    return ", ".join(f"`{name}`" for name in names)
