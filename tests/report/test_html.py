"""The page: everything in it, nothing fetched, text escaped."""

import dataclasses
import re

import numpy as np
import pytest
from helpers.pages import read

from gaitjax.data.index import Index
from gaitjax.report import elements
from gaitjax.report.embedding_map import EmbeddingMap
from gaitjax.report.html import NUM_PICTURES, fitting, write_report
from gaitjax.retrieval import protocols, search
from gaitjax.retrieval.rank_lists import RankList
from gaitjax.retrieval.verification import OpenSet


@pytest.fixture(scope="module")
def evaluation():
    names = [
        (f"{s}", condition, view)
        for s in range(4)
        for condition in ("nm-01", "nm-02", "nm-03", "bg-01")
        for view in ("000", "090")
    ]
    columns = [np.array(column) for column in zip(*names, strict=True)]
    index = Index(*columns, np.full(32, ""), np.ones(32, np.int32))
    embeddings = np.random.default_rng(0).normal(size=(32, 2, 4))
    return search.evaluate(
        {"sils": embeddings}, index, protocols.walkers(), num_lists=2, ranks=(1, 5)
    )


def _write(path, evaluations, **options):
    arguments = {
        "title": "A run <1>",
        "dataset": "casia_b",
        "config": {"optim": {"lr": 0.1}, "method": "supervised"},
        "environment": {"jax": "0.10"},
        "evaluations": evaluations,
    }
    write_report(path, **arguments | options)
    return read(path)


def test_everything_is_in_the_page(tmp_path, evaluation):
    metrics = [{"step": step, "loss": 1.0 / step} for step in (1, 2, 3)]
    page = _write(
        tmp_path / "report.html",
        [evaluation],
        metrics=metrics,
        frames=lambda modality, row: np.full((3, 16, 16), row, np.uint8),
    )
    for text in ("A run <1>", "walkers: sils → sils", "without match", "optim.lr"):
        assert text in page.text
    for row in evaluation.rows:
        assert f"{row['value']:.2f}" in page.text
    assert "CL: no probes (n/a)" in page.text
    # CMC, histogram and DET, loss.
    assert page.tags.count("svg") == 1 + 2 + 1
    text = (tmp_path / "report.html").read_text()
    assert text.count('<table class="heat">') == 2  # conditions
    assert sum(link.startswith("data:image/png") for link in page.links) >= 4


def test_heat_tables_have_probes_down_and_na():
    values = np.array([[100.0, 19.6], [np.nan, 0.0]])
    found = elements.heat_tables([(["000", "<90>"], values, "NM")], ("probe", "other"))
    rows = [re.sub("<[^>]*>", " ", row).split() for row in found.split("<tr>")[1:]]
    assert rows[1:] == [["000", "100", "20"], ["&lt;90&gt;", "n/a", "0"]]
    assert rows[0] == ["probe", "↓", "other", "→", "000", "&lt;90&gt;"]
    colours = re.findall("background:(#[0-9a-f]{6});color:(#[0-9a-f]{3})", found)
    assert len(set(colours)) == 3 and colours[0][1] == "#000"


def test_nothing_is_fetched(tmp_path, evaluation):
    text = "https://example.org/?a=1&b=2"
    path = tmp_path / "report.html"
    with pytest.raises(AssertionError):  # so `read` looks for addresses
        _write(path, [evaluation], title=text)
    page = _write(path, [evaluation])
    assert any(link.startswith("#") for link in page.links)


@pytest.mark.parametrize(
    ("dataset", "marked"), [("walkers_casia_b", True), ("casia_b", False)]
)
def test_simulated_data_are_marked(tmp_path, evaluation, dataset, marked):
    page = _write(tmp_path / "report.html", [evaluation], dataset=dataset)
    assert ("Simulated data" in page.text) is marked


def test_headline_is_the_first_metric(tmp_path, evaluation):
    page = _write(tmp_path / "report.html", [evaluation])
    cards = [row for row in evaluation.rows if row["metric"] == "rank-1"]
    want = "".join(f"{row['value']:.2f}{row['condition']}" for row in cards)
    assert f"rank-1, %, sils → sils\n{want}" in page.text


def test_a_run_on_its_way_says_so_at_the_top(tmp_path, evaluation):
    page = _write(tmp_path / "report.html", [evaluation], unfinished="step 300 of 900")
    place = page.text.index("Unfinished: step 300 of 900")
    assert place < page.text.index("rank-1")
    assert "Unfinished" not in _write(tmp_path / "report.html", [evaluation]).text


def test_stages_of_a_probe_lie_above_each_other(tmp_path, evaluation):
    lists = {
        "NM": [
            RankList(3, (1, 2), (False, True), "worst", ap=0.5),
            RankList(3, (2, 1), (True, False), "worst", stage="cargait", ap=1.0),
            RankList(5, (4,), (True,), "best"),
        ]
    }
    page = _write(
        tmp_path / "report.html",
        [dataclasses.replace(evaluation, rank_lists=lists, view_tables={}, cmc={})],
        frames=lambda modality, row: np.full((3, 16, 16), row, np.uint8),
        names=[f"name-{i}" for i in range(32)],
    )
    first = page.text.index("worst · name-3 · 1 of 2 right, AP 50 %")
    second = page.text.index("worst · cargait · name-3 · 1 of 2 right, AP 100 %")
    assert first < second < page.text.index("best · name-5 · 1 of 1 right")
    # One frame around the two of probe 3, one around that of probe 5.
    text = (tmp_path / "report.html").read_text()
    assert text.count('<figure class="pictures">') == 2


def test_the_page_stays_small_with_many_conditions(tmp_path, evaluation):
    kinds = ("best", "best", "worst", "worst", "random", "random")
    some = [RankList(i, (1,), (True,), kind) for i, kind in enumerate(kinds)]
    lists = {f"condition {i}": some for i in range(40)}
    page = _write(
        tmp_path / "report.html",
        [dataclasses.replace(evaluation, rank_lists=lists)] * 2,
        frames=lambda modality, row: np.full((3, 16, 16), row, np.uint8),
    )
    assert page.tags.count("img") == NUM_PICTURES
    # Of each condition one of each kind, and of two evaluations 20 conditions each.
    assert [page.text.count(f"{kind} · ") for kind in kinds[::2]] == [40] * 3
    assert page.text.count("Left out to keep the page small: condition 20,") == 2


def test_stages_stay_together_when_there_is_little_room():
    stages = [
        RankList(i, (), (), kind, stage)
        for i, kind in enumerate(("best", "best", "worst", "random"))
        for stage in ("initial", "cargait")
    ]
    (kept,) = fitting({"NM": stages}, 6).values()
    assert [(one.probe, one.stage) for one in kept] == [
        (i, stage) for i in (0, 2, 3) for stage in ("initial", "cargait")
    ]
    assert fitting({"NM": stages}, 100)["NM"] == stages
    assert fitting({"NM": []}, 100) == {}


def test_map_and_saliency(tmp_path):
    found = EmbeddingMap(
        np.zeros((3, 2), np.float32), {"view": np.array(["000", "090", "000"])}
    )
    page = _write(
        tmp_path / "report.html",
        [],
        embedding_map=found,
        saliency=[("somebody", np.zeros((8, 8, 3), np.uint8))],
    )
    assert "t-SNE of 3 sequences" in page.text and "somebody" in page.text
    page = _write(tmp_path / "report.html", [], saliency=None)
    assert "No Grad-CAM" in page.text


def test_of_a_second_distance_there_are_tables_alone(tmp_path, evaluation):
    rows = [row | {"distance": "cosine", "value": 12.34} for row in evaluation.rows]
    second = dataclasses.replace(evaluation, distance="cosine", rows=rows)
    drawn = {"frames": lambda modality, row: np.full((3, 16, 16), row, np.uint8)}
    alone = _write(tmp_path / "a.html", [evaluation], **drawn)
    both = _write(tmp_path / "b.html", [evaluation, second], **drawn)
    for tag in ("svg", "img"):
        assert both.tags.count(tag) == alone.tags.count(tag)
    tables = len({row["stage"] for row in rows})
    assert both.tags.count("table") == alone.tags.count("table") + tables
    before, after = both.text.split("The same by cosine distance")
    assert "12.34" not in before  # nor among the large numbers at the top
    assert after.count("12.34") == len(rows)
    assert after.index("walkers: sils → sils") < after.index("12.34")


def test_open_set_at_false_alarm_rates(tmp_path, evaluation):
    """100 strangers at 1.01, 1.02, ...: at 1 % all but the nearest are refused."""
    found = OpenSet(
        known=np.array([0.5, 1.005, 1.015, 3.0]),
        right=np.array([True, False, True, True]),
        stranger=1 + np.arange(1, 101) / 100,
        num_items=1234,
        num_people=77,
    )
    with_rows = [dataclasses.replace(evaluation, open_set=found)]
    page = _write(tmp_path / "report.html", with_rows)
    after = page.text.split("Known or unknown")[1]
    assert "77 people, 1,234 sequences" in after
    assert "0.10.0025.01.0111.0050.01.0255.0050.01.06" in "".join(after.split())
    nobody = dataclasses.replace(found, known=np.array([]))
    page = _write(
        tmp_path / "b.html", [dataclasses.replace(evaluation, open_set=nobody)]
    )
    assert "Known or unknown" not in page.text


def test_without_evaluations(tmp_path):
    page = _write(tmp_path / "report.html", [])
    assert "protocol none" in page.text
