"""The page: everything in it, nothing fetched, text escaped."""

import html.parser

import numpy as np
import pytest

from gaitjax.data.index import Index
from gaitjax.report.html import write_report
from gaitjax.retrieval import protocols, search

VOID = {"meta", "img", "link", "br"}


class Reader(html.parser.HTMLParser):
    """Collects text and addresses, and checks that elements are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.tags = [], "", [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


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
    reader = Reader()
    reader.feed(path.read_text())
    assert not reader.open
    return reader


def test_everything_is_in_the_page(tmp_path, evaluation):
    metrics = [{"step": step, "loss": 1.0 / step} for step in (1, 2, 3)]
    page = _write(
        tmp_path / "report.html",
        [evaluation],
        metrics=metrics,
        frames=lambda row: np.full((3, 16, 16), row, np.uint8),
    )
    for text in ("A run <1>", "walkers: sils → sils", "without match", "optim.lr"):
        assert text in page.text
    for row in evaluation.rows:
        assert f"{row['value']:.2f}" in page.text
    assert "CL: no probes (n/a)" in page.text
    assert page.tags.count("svg") == 1 + 2 + 1  # CMC, two conditions, loss
    assert sum(link.startswith("data:image/png") for link in page.links) >= 4


def test_nothing_is_fetched(tmp_path, evaluation):
    page = _write(tmp_path / "report.html", [evaluation])
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "url(http" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("dataset", "marked"), [("walkers_casia_b", True), ("casia_b", False)]
)
def test_simulated_data_are_marked(tmp_path, evaluation, dataset, marked):
    page = _write(tmp_path / "report.html", [evaluation], dataset=dataset)
    assert ("Simulated data" in page.text) is marked


def test_without_evaluations(tmp_path):
    page = _write(tmp_path / "report.html", [])
    assert "protocol none" in page.text
