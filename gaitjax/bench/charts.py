"""What the plots of studies in experiments/ share."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito: told apart without red and green.
BLUE, ORANGE, GREEN, BAND = "#0072b2", "#d55e00", "#009e73", "#8888884d"


def panels(
    titles: Sequence[str], height: float, label: str = "", *, alike: bool = False
) -> tuple[Figure, list[Axes]]:
    """Side by side, a title each. label: of their x axes. alike: with common axes."""
    number = len(titles)
    figure = Figure((4.2 + 2.2 * number, height), layout="constrained")
    (found,) = figure.subplots(1, number, sharex=alike, sharey=alike, squeeze=False)
    for axes, title in zip(found, titles, strict=True):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(found)


def seeds(axes: Axes, rows: Mapping[str, Iterable[float]]) -> None:
    """A point per seed, a bar for their mean; the first row on top."""
    for at, values in enumerate(map(list, rows.values())):
        axes.scatter(
            values, [at] * len(values), s=28, color=BLUE, alpha=0.7, label="a seed"
        )
        if values:
            mean = statistics.fmean(values)
            ends = [at - 0.3, at + 0.3]
            axes.plot([mean, mean], ends, color=ORANGE, lw=2.5, label="mean")
    _name_rows(axes, rows)


def changes(
    axes: Axes,
    rows: Mapping[str, float | None],
    others: Sequence[float] = (),
    of: str = "",
) -> None:
    """Rows of one seed less a reference; the first row on top.

    others: the reference's own seeds less the one that is compared with, drawn as a
    band. of: its name.
    """
    for at, change in enumerate(rows.values()):
        if change is not None:
            axes.plot([0, change], [at, at], color=BLUE, lw=1.2)
            axes.scatter([change], [at], s=28, color=BLUE, label="a row, 1 seed")
    if others:
        label = f"range of the {len(others)} seeds of {of}"
        axes.axvspan(min(others), max(others), color=BAND, lw=0, label=label)
    axes.axvline(0, color="black", lw=0.8, zorder=1)
    _name_rows(axes, rows)


def legend_below(figure: Figure, found: Iterable[Axes]) -> None:
    """One for all panels, a line per label."""
    lines = {}
    for axes in found:
        handles, labels = axes.get_legend_handles_labels()
        lines |= dict(zip(labels, handles, strict=True))
    if lines:
        place = "outside lower center"
        figure.legend(lines.values(), lines, loc=place, ncols=len(lines), frameon=False)


def _name_rows(axes: Axes, rows: Iterable[str]) -> None:
    names = list(rows)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
