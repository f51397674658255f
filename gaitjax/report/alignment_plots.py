"""Pictures of what `report.alignment` finds: on white, for files; runs side by side."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from gaitjax.report import pictures, plots
from gaitjax.report.alignment import Ranked, headline, separation
from gaitjax.report.embedding_map import EmbeddingMap
from gaitjax.retrieval.rank_lists import RankList
from gaitjax.retrieval.verification import Distances

GAPS = {
    "rec": "cleaned latents, d_rec (dotted: end point)",
    "mid": "bridging states, d_mid",
    "eps": "predicted noise, d_eps",
    "noise": "predicted to true noise (not a gap)",
}
NUM_CANDIDATES = 3


def write_all(
    folder: pathlib.Path, numbers: Mapping[str, Mapping], drawn: Mapping[str, Mapping]
) -> None:
    """The PNGs of some runs.

    numbers: by run, `trajectory` (`step_gaps` or None) and what `headline` takes.
    drawn: by kind and run, `distances` (pairs by direction), `map` (or None) and
    `failures` (a figure by direction).
    """
    gaps = {run: one["trajectory"] for run, one in numbers.items() if one["trajectory"]}
    maps = {run: one for run, one in drawn["map"].items() if one is not None}
    panels = {"numbers": number_panels(headline(numbers))}
    if gaps:
        panels["trajectory"] = trajectory_curves(gaps)
    if maps:
        panels["map"] = map_panels(maps)
    panels["distances"] = distance_panels(drawn["distances"])
    for run, figures in drawn["failures"].items():
        for direction, figure in figures.items():
            if figure is None:
                continue
            name = f"failures_{run}_{direction.replace('>', '_in_')}"
            panels[name.replace("/", "_")] = figure
    for name, figure in panels.items():
        write_png(folder / f"{name}.png", figure)


def trajectory_curves(gaps: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """`step_gaps` by run: a panel per gap over the steps, the gap of the latents
    themselves (end) as a dotted line with the first."""
    figure = Figure((6.4, 4.8), layout="constrained")
    panels = figure.subplots(2, 2).flat
    for axes, (name, title) in zip(panels, GAPS.items(), strict=True):
        for number, (label, one) in enumerate(gaps.items()):
            style = plots.line_style(number)
            axes.plot(one["steps"], one[name], label=label, marker=".", **style)
            if name == "rec":
                end = {**style, "linestyle": ":", "linewidth": 1}
                axes.plot(one["steps"], one["end"], **end)
        axes.set_title(title, loc="left")
        axes.set_xlabel("step t")
        axes.set_ylabel("root mean square")
        axes.set_ylim(0, 1.1 * axes.dataLim.y1)
        plots.quiet(axes)
    _legend(figure, *panels[0].get_legend_handles_labels())
    return figure


def number_panels(
    numbers: Mapping[str, Mapping[str, tuple[float, float]]], columns: int = 2
) -> Figure:
    """{title: {run: (value, error)}}: a panel per title, runs from top to bottom."""
    rows = -(-len(numbers) // columns)
    most = max(map(len, numbers.values()))
    size = (4.2 * columns, (0.75 + 0.22 * most) * rows)
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(numbers) :]:
        axes.remove()
    for place, (title, values) in enumerate(numbers.items()):
        axes = panels.flat[place]
        for number, (value, error) in enumerate(values.values()):
            colour = plots.line_style(number)["color"]
            axes.errorbar(value, number, xerr=error or None, color=colour, fmt="o")
            label = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center"}
            axes.annotate(f"{value:.3g}", (value, number), fontsize=7, **label)
        names = list(values) if place % columns == 0 else [""] * len(values)
        axes.set_yticks(range(len(values)), names)
        axes.set_ylim(len(values) - 0.4, -0.7)
        right = max([value for value, _ in values.values() if value == value] + [0])
        axes.set_xlim(
            min(0, *(value for value, _ in values.values())), 1.15 * right or 1
        )
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_title(title, loc="left")
        plots.quiet(axes)
    return figure


def distance_panels(
    distances: Mapping[str, Mapping[str, Distances]],
) -> np.ndarray:
    """{run: {direction: pairs}}: a row per run, means as lines; u8[y,x,3]."""
    rows = []
    for run, directions in distances.items():
        figures = []
        for direction, pairs in directions.items():
            found = separation(pairs)
            figure = plots.distance_histogram(pairs.genuine, pairs.impostor)
            (axes,) = figure.axes
            for name, colour in zip(("genuine", "impostor"), plots.LINES, strict=False):
                axes.axvline(found[name], color=colour, linewidth=1)
            measures = f"d' {found['d_prime']:.2f}, EER {found['eer']:.1f} %"
            axes.set_title(f"{run}, {direction}: {measures}", loc="left", fontsize=9)
            figures.append(figure)
        rows.append(_beside(figures))
    return _below(rows)


def map_panels(maps: Mapping[str, EmbeddingMap]) -> np.ndarray:
    """{run: map}: a row per run, a panel per label, the modality first; u8[y,x,3]."""
    rows = []
    for run, one in maps.items():
        labels = sorted(one.labels.items(), key=lambda item: item[0] != "modality")
        rows.append(
            _beside(
                [
                    plots.scatter(one.places, values, f"{run}: {name}")
                    for name, values in labels
                ]
            )
        )
    return _below(rows)


def failure_pictures(
    found: Mapping[str, tuple[Ranked, np.ndarray]],
    frames: pictures.Frames,
    pair: tuple[str, str],
    names: Sequence[str],
) -> Figure | None:
    """{condition: (what was found, places in it)}: a column per condition.

    Each picture: the probe (grey), the three it found first (red, or green where
    right), and behind them the right one that it found first (green). None where
    nothing failed. frames, pair: see `pictures.rank_list_picture`. names: of records.
    """
    most = max((len(places) for _, places in found.values()), default=0)
    if not most:
        return None
    figure = Figure((3.6 * len(found), 1.55 * most), layout="constrained")
    panels = figure.subplots(most, len(found), squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for column, (condition, (ranks, places)) in zip(
        panels.T, found.items(), strict=True
    ):
        for axes, place in zip(column, places, strict=False):
            right = ranks.first[place]
            shown = [*range(min(NUM_CANDIDATES, ranks.items.shape[1])), right]
            one = RankList(
                probe=int(ranks.probes[place]),
                gallery=tuple(ranks.items[place, shown].tolist()),
                right=tuple(ranks.right[place, shown].tolist()),
            )
            axes.imshow(pictures.rank_list_picture(one, frames, *pair))
            title = f"{condition}, {names[one.probe]}: right at {right + 1}"
            axes.set_title(title, fontsize=7, loc="left")
    return figure


def write_png(path: str | os.PathLike, drawn: Figure | np.ndarray) -> None:
    """A figure, or u8[y,x,3]."""
    image = _pixels(drawn) if isinstance(drawn, Figure) else drawn
    Image.fromarray(image).save(path, optimize=True)


def _pixels(figure: Figure, dpi: int = 144) -> np.ndarray:
    """A figure on white, u8[y,x,3]."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _beside(figures: Sequence[Figure]) -> np.ndarray:
    """In a row, u8[y,x,3]."""
    images = [_pixels(figure) for figure in figures]
    height = max(len(image) for image in images)
    return np.concatenate([_fill(image, height, 0) for image in images], 1)


def _below(images: Sequence[np.ndarray]) -> np.ndarray:
    """One below the other, u8[y,x,3]."""
    width = max(image.shape[1] for image in images)
    return np.concatenate([_fill(image, width, 1) for image in images])


def _fill(image: np.ndarray, size: int, axis: int) -> np.ndarray:
    """White up to a size."""
    missing = [(0, 0)] * 3
    missing[axis] = (0, size - image.shape[axis])
    return np.pad(image, missing, constant_values=255)


def _legend(figure: Figure, handles: Sequence, labels: Sequence[str]) -> None:
    """Below all panels."""
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=min(len(labels), 5),
        frameon=False,
        labelcolor=plots.INK,
        fontsize=8,
    )
