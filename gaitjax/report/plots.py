"""Pictures of a run. Figures are objects: no pyplot, so no global state.

What is drawn in `INK` takes the text colour of the page once a figure is inlined
(`inline_svg`), which makes one drawing good for light and dark.
"""

from __future__ import annotations

import base64
import io
import numbers
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from gaitjax.retrieval.search import RankList

INK = "#010203"
# After Okabe and Ito, the blue lighter: they read on white and on black.
LINES = ("#1f86cc", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
RIGHT, WRONG, PROBE = (0, 158, 115), (213, 64, 50), (128, 128, 128)


def learning_curves(metrics: Sequence[Mapping[str, float]]) -> dict[str, Figure]:
    """One small figure per metric, over `step`; entries that lack it are skipped."""
    names = sorted({name for entry in metrics for name in entry} - {"step"})
    figures = {}
    for name in names:
        points = [
            (entry["step"], entry[name])
            for entry in metrics
            if "step" in entry and _is_number(entry.get(name))
        ]
        if len(points) > 1:
            figure, axes = _figure(3.0, 2.1)
            axes.plot(*zip(*points, strict=True), color=LINES[0], linewidth=1.5)
            axes.set_title(name, loc="left")
            axes.set_xlabel("step")
            figures[name] = figure
    return figures


def cmc_curves(cmc: Mapping[str, np.ndarray]) -> Figure:
    """Rank-k % over k, a line per condition."""
    figure, axes = _figure(4.8, 3.2)
    for number, (name, curve) in enumerate(cmc.items()):
        ranks = np.arange(1, len(curve) + 1)
        style = {"color": LINES[number % len(LINES)], "label": name}
        # With more conditions than colours, dashes tell the second round apart.
        style["linestyle"] = ("-", "--", ":")[number // len(LINES) % 3]
        axes.plot(ranks, 100 * curve, marker="o", markersize=3, **style)
    axes.set_xlabel("rank k")
    axes.set_ylabel("probes with a match, %")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return figure


def view_heat_map(views: Sequence[str], table: np.ndarray, title: str = "") -> Figure:
    """Rank-1 % of probe view x gallery view: f64[v,v]; grey = undefined."""
    side = 1.2 + 0.29 * len(views)
    figure, axes = _figure(side, side)
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#88888855")
    axes.imshow(table, cmap=colours, vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(table):
        text = "n/a" if np.isnan(value) else f"{value:.0f}"
        dark = "#000000" if value > 60 else "#ffffff"  # viridis ends light
        colour = INK if np.isnan(value) else dark
        place = {"ha": "center", "va": "center", "fontsize": 7}
        axes.text(column, row, text, color=colour, **place)
    axes.set_xticks(range(len(views)), views, rotation=90 if len(views) > 6 else 0)
    axes.set_yticks(range(len(views)), views)
    axes.set_xlabel("gallery view")
    axes.set_ylabel("probe view")
    axes.set_title(title, loc="left")
    axes.grid(False)
    return figure


def rank_list_picture(
    one: RankList,
    frames: Callable[[int], np.ndarray],
    num_frames: int = 4,
) -> np.ndarray:
    """The probe (grey frame) and what it found, side by side: u8[y,x,3].

    Each sequence is a strip of frames, downwards, spread evenly over its time. A
    right one has a green frame, a wrong one a red frame with gaps.

    frames: record number -> u8[t,h,w], or u8[t,h,w,3] for range views.
    """
    strips = [_framed(_strip(frames(one.probe), num_frames), PROBE, True)]
    for row, right in zip(one.gallery, one.right, strict=True):
        strip = _strip(frames(row), num_frames)
        strips.append(_framed(strip, RIGHT if right else WRONG, right))
    height = max(len(strip) for strip in strips)
    return np.concatenate([_fill(strip, height) for strip in strips], 1)


def inline_svg(figure: Figure, label: str) -> str:
    """An `<svg>` element for a page, its ink in the colour of the text."""
    text = io.StringIO()
    # Text stays text: smaller, selectable, in the font of the page.
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def png_data(image: np.ndarray) -> str:
    """u8[y,x,3] as the address of an `<img>` that needs no file."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _figure(width: float, height: float):
    """A figure (inches) with one quiet pair of axes."""
    figure = Figure((width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(color="#88888844", linewidth=0.6)
    axes.set_axisbelow(True)
    _ink(axes)
    return figure, axes


def _ink(axes) -> None:
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title):
        text.set_color(INK)
        text.set_fontsize(9)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and bool(np.isfinite(value))


def _strip(images: np.ndarray, num_frames: int) -> np.ndarray:
    """u8[t,h,w] or u8[t,h,w,3] -> u8[num_frames*h,w,3]."""
    chosen = np.linspace(0, len(images) - 1, num_frames).round().astype(int)
    strip = np.concatenate(images[chosen])
    return strip if strip.ndim == 3 else np.repeat(strip[:, :, None], 3, 2)


def _framed(strip: np.ndarray, colour: tuple[int, int, int], whole: bool) -> np.ndarray:
    """A frame of 4 pixels around a strip and a margin outside it."""
    width, margin = 4, 3
    around = ((width, width), (width, width), (0, 0))
    inside = np.pad(np.zeros(strip.shape[:2], bool), width, constant_values=True)
    framed = np.pad(strip, around)
    if not whole:  # also for those who do not tell red from green
        row, column = np.indices(inside.shape)
        inside &= (row + column) // 8 % 2 == 0
    framed[inside] = colour
    return _margin(framed, margin)


def _margin(strip: np.ndarray, margin: int) -> np.ndarray:
    around = ((margin, margin), (margin, margin), (0, 0))
    return np.pad(strip, around)


def _fill(strip: np.ndarray, height: int) -> np.ndarray:
    return np.pad(strip, ((0, height - len(strip)), (0, 0), (0, 0)))
