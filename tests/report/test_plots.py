"""What is drawn is the data; nothing global is touched."""

import subprocess
import sys

import matplotlib
import numpy as np

from gaitjax.report import plots
from gaitjax.retrieval.search import RankList


def test_learning_curves_are_the_logged_numbers():
    metrics = [
        {"step": 1, "loss": 3.0, "note": "text"},
        {"step": 2, "loss": 2.0, "rank-1": 5.0},
        {"step": 3, "loss": float("nan")},
        {"step": 4, "loss": np.float32(1.0)},
    ]
    figures = plots.learning_curves(metrics)
    assert list(figures) == ["loss"]  # one point is no curve, text is no number
    (line,) = figures["loss"].axes[0].lines
    assert line.get_xydata().tolist() == [[1, 3], [2, 2], [4, 1]]


def test_cmc_is_drawn_in_percent_over_ranks_from_one():
    curves = {str(i): np.array([0.5, 0.75, 1.0]) for i in range(9)}
    axes = plots.cmc_curves(curves).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 50], [2, 75], [3, 100]]
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(styles) == 9


def test_heat_map_shows_probes_down_and_na():
    table = np.array([[100.0, 20.0], [np.nan, 0.0]])
    axes = plots.view_heat_map(["000", "090"], table).axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "100", (1, 0): "20", (0, 1): "n/a", (1, 1): "0"}


def _frames(row):
    return np.full((5, 8, 6), 10 * row, np.uint8)


def test_rank_list_picture():
    one = RankList(probe=1, gallery=(2, 3), right=(True, False))
    image = plots.rank_list_picture(one, _frames, num_frames=2)
    # Three strips of two frames, each with a border of 4 and a margin of 3.
    assert image.shape == (2 * 8 + 14, 3 * (6 + 14), 3) and image.dtype == np.uint8
    colours = [tuple(image[3, x].tolist()) for x in (3, 23, 43)]
    assert colours == [plots.PROBE, plots.RIGHT, plots.WRONG]
    assert [image[12, x, 0] for x in (9, 29, 49)] == [10, 20, 30]
    border = image[3:27, 43:46].reshape(-1, 3)  # that of the wrong one has gaps
    assert {tuple(pixel) for pixel in border.tolist()} == {plots.WRONG, (0, 0, 0)}


def test_a_strip_of_a_short_sequence_repeats_frames():
    one = RankList(probe=1, gallery=(), right=())
    image = plots.rank_list_picture(one, lambda row: _frames(row)[:1], num_frames=4)
    assert image.shape[0] == 4 * 8 + 14


def test_range_views_keep_their_colours():
    ranges = np.zeros((3, 8, 6, 3), np.uint8) + np.uint8([1, 2, 3])
    image = plots.rank_list_picture(RankList(0, (), ()), lambda row: ranges)
    assert image.shape == (4 * 8 + 14, 6 + 14, 3)
    assert image[20, 10].tolist() == [1, 2, 3]


def test_inlined_figures_take_the_colour_of_the_page():
    settings = dict(matplotlib.rcParams)
    figure = plots.cmc_curves({"a<b": np.array([0.5, 1.0])})
    svg = plots.inline_svg(figure, "CMC")
    assert svg.startswith('<svg role="img" aria-label="CMC"')
    assert "currentColor" in svg and plots.INK not in svg
    assert "a&lt;b" in svg
    assert dict(matplotlib.rcParams) == settings


def test_pyplot_stays_out():
    """It would pick a window system and keep every figure alive."""
    code = (
        "import sys, gaitjax.report.html; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
