"""Rules pick the rows that the data sets' descriptions say."""

import numpy as np
import pytest

from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.retrieval import protocols


def make_index(names, lists=None):
    subject, condition, view = (
        np.array(column) for column in zip(*(n.split("/") for n in names), strict=True)
    )
    take = np.full(len(names), "")
    frames = np.ones(len(names), np.int32)
    return Index(subject, condition, view, take, frames, lists or {})


@pytest.fixture
def index():
    names = ["1/nm-01/000", "1/nm-05/000", "1/bg-02/090", "2/cl-01/090", "2/NM-01/000"]
    return make_index(names, {"probe": frozenset({"1-bg-02-090", "2-cl-01-090"})})


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"condition": ("nm-01",)}, [0]),  # case matters
        ({"condition": ("nm-*",)}, [0, 1]),
        ({"condition": ("*-01",), "view": ("000",)}, [0, 4]),
        ({"condition": ("*m-0?", "!*-05")}, [0]),
        ({"subject": ("!1",)}, [3, 4]),
        ({"list": ("probe",)}, [2, 3]),
        ({"list": ("!probe",)}, [0, 1, 4]),
        ({"list": ("probe",), "subject": ("1",)}, [2]),
        ({"condition": ("zz",)}, []),
    ],
)
def test_rules(index, rule, rows):
    assert protocols.rows_of(rule, index).tolist() == rows


def test_casia_b_splits_the_ten_walks_in_gallery_and_probes():
    walks = [f"nm-0{i}" for i in range(1, 7)] + ["bg-01", "bg-02", "cl-01", "cl-02"]
    index = make_index([f"075/{walk}/000" for walk in walks])
    protocol = protocols.casia_b()
    assert protocols.rows_of(protocol.gallery, index).tolist() == [0, 1, 2, 3]
    probes = {
        n: protocols.rows_of(r, index).tolist() for n, r in protocol.probes.items()
    }
    assert probes == {"NM": [4, 5], "BG": [6, 7], "CL": [8, 9]}


def test_a_missing_published_list_is_named():
    rule = protocols.gait3d().gallery
    with pytest.raises(GaitError, match="published list 'probe', the data set has"):
        protocols.rows_of(rule, make_index(["1/a/b"]))


def test_data_sets_and_their_twins():
    assert protocols.for_dataset("casia_b") == (protocols.casia_b(),)
    assert protocols.for_dataset("walkers_casia_b") == (protocols.casia_b(),)
    assert protocols.for_dataset("walkers") == (protocols.walkers(),)
    with pytest.raises(GaitError, match="'imagenet'; known: casia_b, gait3d, walkers"):
        protocols.for_dataset("imagenet")


def test_a_protocol_that_cannot_be_computed_is_refused():
    with pytest.raises(ValueError, match="view_pairs or list"):
        protocols.Protocol("x", {}, {}, breakdown="views")
    with pytest.raises(ValueError, match="excludes view at most"):
        protocols.Protocol("x", {}, {}, "view_pairs", exclude=("subject",))
