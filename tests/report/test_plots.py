"""What is drawn is the data; nothing global is touched."""

import re
import subprocess
import sys

import matplotlib
import numpy as np

from gaitjax.report import plots
from gaitjax.retrieval import verification


def test_learning_curves_are_the_logged_numbers():
    metrics = [
        {"step": 1, "loss": 3.0, "note": "text"},
        {"step": 2, "loss": 2.0, "rank-1": 5.0},
        {"step": 3, "loss": float("nan")},
        {"step": 4, "loss": np.float32(1.0)},
    ]
    figures = plots.learning_curves({"": metrics})
    assert list(figures) == ["loss"]  # one point is no curve, text is no number
    (line,) = figures["loss"].axes[0].lines
    assert line.get_xydata().tolist() == [[1, 3], [2, 2], [4, 1]]


def test_cmc_is_drawn_in_percent_over_ranks_from_one():
    curves = {str(i): np.array([0.5, 0.75, 1.0]) for i in range(9)}
    axes = plots.cmc_curves(curves).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 50], [2, 75], [3, 100]]
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(styles) == 9


def test_a_long_curve_is_thinned_to_its_last_point():
    metrics = [{"step": step, "loss": 1.0} for step in range(1, 5001)]
    (line,) = plots.learning_curves({"": metrics})["loss"].axes[0].lines
    steps = line.get_xdata()
    assert 500 < len(steps) <= 600 and steps[-1] == 5000


def test_runs_share_a_figure():
    runs = {
        "a": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}],
        "b": [{"step": 1, "loss": 3.0}],
        "c": [],
    }
    lines = plots.learning_curves(runs)["loss"].axes[0].lines
    assert [line.get_label() for line in lines] == ["a", "b"]
    assert lines[0].get_color() != lines[1].get_color()


def test_histogram_and_det_show_the_distances():
    genuine, impostor = np.array([1.0, 1, 2, 9]), np.array([3.0, 4, 5, 6])
    axes = plots.distance_histogram(genuine, impostor).axes[0]
    shares = [patch.get_data().values.sum() for patch in axes.patches]
    np.testing.assert_allclose(shares, 100)
    (threshold,) = {line.get_xdata()[0] for line in axes.lines}
    assert threshold == verification.equal_error(genuine, impostor)[1] == 3
    texts = [t.get_text() for t in plots.det_curve(genuine, impostor).axes[0].texts]
    assert texts == ["EER 25.0 %"]


def test_scatter_puts_nobody_behind():
    values = np.array(["b", "", "a", "b"])
    figure = plots.scatter(np.arange(8.0).reshape(4, 2), values, "identity")
    clouds = figure.axes[0].collections
    assert [cloud.get_label() for cloud in clouds] == ["others", "a", "b"]
    assert clouds[2].get_offsets().tolist() == [[0, 1], [6, 7]]


def test_the_legend_of_many_views_stays_short():
    values = np.array([f"{i:03d}" for i in range(0, 360, 10)])
    figure = plots.scatter(np.zeros((36, 2)), values, "view")
    assert len(figure.legends[0].get_texts()) <= 15
    tints = {tuple(c.get_facecolor()[0]) for c in figure.axes[0].collections}
    assert len(tints) == 36


def test_inlined_figures_take_the_colour_of_the_page():
    settings = dict(matplotlib.rcParams)
    figure = plots.cmc_curves({"a<b": np.array([0.5, 1.0])})
    svg = plots.inline_svg(figure, "CMC")
    assert svg.startswith('<svg role="img" aria-label="CMC"')
    assert "currentColor" in svg and plots.INK not in svg
    assert "a&lt;b" in svg
    assert "://" not in svg  # no address, not even of a schema
    assert dict(matplotlib.rcParams) == settings


def test_a_short_drawing_keeps_its_text():
    metrics = [{"step": 1, "lr": 0.00125}, {"step": 2, "lr": 0.00175}]
    svg = plots.inline_svg(plots.learning_curves({"": metrics})["lr"], "lr")
    assert ">0.0015<" in svg  # a tick
    assert "<!--" not in svg and not re.search(r'"[^"<>]*\.\d\d\d', svg)


def test_pyplot_stays_out():
    """It would pick a window system and keep every figure alive."""
    code = (
        "import sys, gaitjax.report.html; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
