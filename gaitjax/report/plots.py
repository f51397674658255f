"""Pictures of a run. Figures are objects: no pyplot, so no global state.

What is drawn in `INK` takes the text colour of the page once a figure is inlined
(`inline_svg`), which makes one drawing good for light and dark.
"""

from __future__ import annotations

import functools
import io
import numbers
import re
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from gaitjax.retrieval import verification

INK = "#010203"
# After Okabe and Ito, the blue lighter: they read on white and on black.
LINES = ("#1f86cc", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
QUIET = "#8888884d"
DASHES = {"-": "solid", "--": "dashed", ":": "dotted"}  # as CSS calls them


def learning_curves(
    runs: Mapping[str, Sequence[Mapping[str, float]]],
) -> dict[str, Figure]:
    """One small figure per metric, over `step`, with a line per run.

    runs: logged entries by name of the run; entries without the metric are skipped.
    """
    names = sorted({name for run in runs.values() for entry in run for name in entry})
    figures = {}
    for name in names:
        lines = {label: _points(run, name) for label, run in runs.items()}
        if name == "step" or max(map(len, lines.values())) < 2:
            continue
        figure, axes = make_axes(3.0, 2.1)
        for number, (label, points) in enumerate(lines.items()):
            if points:
                axes.plot(*zip(*points, strict=True), label=label, **line_style(number))
        axes.set_title(name, loc="left")
        axes.set_xlabel("step")
        figures[name] = figure
    return figures


def cmc_curves(cmc: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Rank-k % over k, a line per condition (or per run, [] for one without)."""
    figure, axes = make_axes(4.8, 3.2)
    for number, (name, curve) in enumerate(cmc.items()):
        if not len(curve):
            continue
        ranks = np.arange(1, len(curve) + 1)
        style = {"marker": "o", "markersize": 3, **line_style(number)}
        axes.plot(ranks, 100 * np.asarray(curve), label=name, **style)
    axes.set_xlabel("rank k")
    axes.set_ylabel("probes with a match, %")
    axes.set_title(title, loc="left")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, labelcolor=INK, loc="lower right", fontsize=8)
    return figure


def distance_histogram(genuine: np.ndarray, impostor: np.ndarray) -> Figure:
    """How far apart pairs of the same and of different people are."""
    figure, axes = make_axes(4.8, 3.2)
    both = np.concatenate([genuine, impostor])
    edges = np.linspace(both.min(), both.max() + 1e-6, 61)
    for values, label, style in (
        (genuine, "same person", LINES[0]),
        (impostor, "different people", LINES[1]),
    ):
        shares = np.histogram(values, edges)[0] / len(values) * 100
        axes.stairs(shares, edges, fill=True, color=style, alpha=0.45, label=label)
        axes.stairs(shares, edges, color=style, linewidth=1.2)
    _, threshold = verification.equal_error(genuine, impostor)
    axes.axvline(threshold, color=INK, linewidth=1, linestyle="--", label="EER")
    axes.set_xlabel("distance")
    axes.set_ylabel("pairs, %")
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return figure


def det_curve(genuine: np.ndarray, impostor: np.ndarray) -> Figure:
    """False non-matches over false matches, on normal deviates, EER marked."""
    figure, axes = make_axes(3.7, 3.2)
    _, *rates = verification.det(genuine, impostor)
    # A rate of 0 only says: less than one pair in so many.
    floors = 0.5 / len(impostor), 0.5 / len(genuine)
    x, y = (
        norm.ppf(np.clip(rate, floor, 1 - floor))
        for rate, floor in zip(rates, floors, strict=True)
    )
    axes.plot(x, y, color=LINES[0], linewidth=1.6)
    eer, _ = verification.equal_error(genuine, impostor)
    ticks = np.array([0.1, 1, 5, 20, 50, 80])
    low, high = norm.ppf([0.0005, 0.85])
    axes.axline((low, low), slope=1, color=QUIET, linewidth=1, zorder=0)
    if eer > 0.0005:
        point = norm.ppf(eer)
        axes.plot([point], [point], "o", color=LINES[1])
        offset = {"xytext": (6, 6), "textcoords": "offset points"}
        label = f"EER {100 * eer:.1f} %"
        axes.annotate(label, (point, point), color=INK, fontsize=9, **offset)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_xticks(norm.ppf(ticks / 100), [f"{tick:g}" for tick in ticks])
    axes.set_yticks(norm.ppf(ticks / 100), [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("false matches, %")
    axes.set_ylabel("false non-matches, %")
    return figure


def scatter(places: np.ndarray, values: np.ndarray, title: str) -> Figure:
    """Points f32[n,2] coloured by a label str[n]; "" is grey and behind the others."""
    figure = Figure((3.1, 3.9))
    # Placed by hand: panels of the same points should lie alike, whatever the legend.
    axes = figure.add_axes((0.02, 0.18, 0.96, 0.76), xticks=[], yticks=[])
    _ink(axes)
    names = sorted(set(values.tolist()) - {""})
    for name in [""] * ("" in values) + names:
        tint = _tint(names.index(name), len(names)) if name else QUIET
        style = {"s": 7, "linewidths": 0, "rasterized": True}
        mine = places[values == name]
        axes.scatter(*mine.T, color=tint, label=name or "others", **style)
    axes.set_title(title, loc="left")
    _ink(axes)
    handles, labels = axes.get_legend_handles_labels()
    columns = 5 if max(map(len, labels)) < 5 else 3
    every = -(-len(handles) // (3 * columns))  # of many some are named, in order
    figure.legend(
        handles[::every],
        labels[::every],
        loc="upper left",
        bbox_to_anchor=(0, 0.17),
        ncols=columns,
        frameon=False,
        labelcolor=INK,
        fontsize=8,
        markerscale=2,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    return figure


def line_style(number: int) -> dict:
    """Of the n-th line; with more than colours, dashes tell the rounds apart."""
    dashes = list(DASHES)[number // len(LINES) % 3]
    return {"color": LINES[number % len(LINES)], "linestyle": dashes, "linewidth": 1.5}


def inline_svg(figure: Figure, label: str) -> str:
    """An `<svg>` element for a page, its ink in the colour of the text."""
    text = io.StringIO()
    # Text stays text: smaller, selectable, in the font of the page.
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        # Metadata would name schemas by address, and the page has none.
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=none, dpi=144)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)  # within HTML it is known
    # Comments, indents, and what every one of hundreds of texts would say again.
    noise = r'<!--.*?-->|^\s+|font-family: [^;"]*; ?| transform="rotate\(-0 [^"]*"'
    svg = re.sub(noise, "", svg, flags=re.M | re.S)
    # Hundredths of a point will do; the text between the tags stays as it is.
    short = functools.partial(re.sub, r"(\.\d\d)\d+", r"\1")
    svg = re.sub(r"<[^>]*>", lambda tag: short(tag.group()), svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def make_axes(width: float, height: float):
    """A figure (inches) with one quiet pair of axes."""
    figure = Figure((width, height), layout="constrained")
    axes = figure.subplots()
    quiet(axes)
    return figure, axes


def quiet(axes) -> None:
    """A light grid, no frame, small text in `INK`."""
    axes.grid(color="#88888844", linewidth=0.6)
    axes.set_axisbelow(True)
    _ink(axes)


def _ink(axes) -> None:
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title):
        text.set_color(INK)
        text.set_fontsize(9)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and bool(np.isfinite(value))


def _points(
    entries: Sequence[Mapping[str, float]], name: str, most: int = 600
) -> list[tuple[float, float]]:
    """(step, value), thinned evenly where there are more than `most`; chosen."""
    points = [
        (entry["step"], entry[name])
        for entry in entries
        if "step" in entry and _is_number(entry.get(name))
    ]
    every = -(-len(points) // most) or 1
    return points[::-1][::every][::-1]  # the last one stays


def _tint(number: int, of: int) -> str:
    """A colour for one of several labels: of many, in the order of their names."""
    if of <= len(LINES):
        return LINES[number]
    # Without the ends of the ramp, which are too dark for a dark page.
    place = 0.08 + 0.87 * number / (of - 1)
    return matplotlib.colors.to_hex(matplotlib.colormaps["turbo"](place))
