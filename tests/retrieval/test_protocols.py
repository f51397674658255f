"""Rules pick the rows that the data sets' descriptions say."""

import pathlib
import re

import numpy as np
import pytest

from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.retrieval import protocols

ALL = (
    *("casia_b", "casia_e", "ccpg", "folder", "freegait", "gait3d", "grew"),
    *("oumvlp", "outdoor_gait", "sustech1k", "walkers"),
)


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
    assert protocols.for_dataset("walkers") == (protocols.walkers(),)
    assert protocols.for_dataset("gait3d") == (protocols.gait3d(),)
    casia_b = protocols.for_dataset("casia_b")
    assert casia_b == (protocols.casia_b(), protocols.casia_b_all_views())
    assert protocols.for_dataset("walkers_casia_b") == casia_b
    assert protocols.for_dataset("casia_b/128x128") == casia_b
    names = [protocol.name for protocol in protocols.for_dataset("walkers_ccpg")]
    assert names == ["ccpg_gait", "ccpg_reid", "ccpg_gait_same_camera"]
    with pytest.raises(GaitError, match="'imagenet'; known: casia_b, gait3d, walkers"):
        protocols.for_dataset("imagenet")


def _rows(rule, conditions, views=("000",)):
    """The conditions, or (condition, view) pairs, that a rule accepts."""
    names = [f"1/{condition}/{view}" for condition in conditions for view in views]
    rows = protocols.rows_of(rule, make_index(names))
    found = [tuple(names[row].split("/")[1:]) for row in rows]
    return [name for name, _ in found] if len(views) == 1 else found


def test_sustech1k_goes_by_what_the_condition_contains():
    protocol = protocols.sustech1k()
    conditions = ["00-nm", "01-nm", "01-bg-cr", "02-cl-nt", "03-ub-uf-oc", "00-nm-nt"]
    assert _rows(protocol.gallery, conditions) == ["00-nm", "00-nm-nt"]
    found = {name: _rows(rule, conditions) for name, rule in protocol.probes.items()}
    assert found == {
        "Normal": ["01-nm"],
        "Bag": ["01-bg-cr"],
        "Clothing": ["02-cl-nt"],
        "Carrying": ["01-bg-cr"],
        "Umbrella": ["03-ub-uf-oc"],
        "Uniform": ["03-ub-uf-oc"],
        "Occlusion": ["03-ub-uf-oc"],
        "Night": ["02-cl-nt", "00-nm-nt"],
        "Overall": ["01-nm", "01-bg-cr", "02-cl-nt", "03-ub-uf-oc"],
    }


def test_casia_e_leaves_out_scene_1_probes_and_view_270():
    protocol = protocols.casia_e()
    scenes = ("scene1", "scene2", "scene3", "scene3_s")
    conditions = [f"{h}-{s}-{k}-1" for h in "HL" for s in scenes for k in ("nm", "cl")]
    views = ("000", "270")
    assert _rows(protocol.gallery, conditions, views) == [
        ("H-scene1-nm-1", "000"),
        ("L-scene1-nm-1", "000"),
    ]
    found = _rows(protocol.probes["CL"], conditions, views)
    assert found == [
        (f"{h}-{s}-cl-1", "000") for h in "HL" for s in ("scene2", "scene3", "scene3_s")
    ]


def test_outdoor_gait_searches_scene_3():
    protocol = protocols.outdoor_gait()
    conditions = ["scene3-nm-01", "scene3-nm-05", "scene3-cl-01", "scene1-nm-01"]
    conditions += ["scene2-cl-04", "scene1-bg-02"]
    assert _rows(protocol.gallery, conditions) == ["scene3-nm-01"]
    found = {name: _rows(rule, conditions) for name, rule in protocol.probes.items()}
    assert found == {
        "NM": ["scene1-nm-01"],
        "CL": ["scene2-cl-04"],
        "BG": ["scene1-bg-02"],
    }


def test_ccpg_changes_the_gallery_with_the_condition():
    protocol = protocols.ccpg_gait()
    clothes = ["U0_D0_BG", "U0_D0", "U0_D3", "U1_D0", "U1_D1", "U2_D2", "U3_D3"]
    found = {
        name: (
            _rows(rule, clothes),
            _rows(protocol.galleries.get(name, protocol.gallery), clothes),
        )
        for name, rule in protocol.probes.items()
    }
    assert found == {
        "CL": (["U0_D0_BG", "U0_D0"], ["U1_D1", "U2_D2", "U3_D3"]),
        "UP": (["U3_D3"], ["U0_D3"]),
        "DN": (["U1_D0"], ["U1_D1"]),
        "BG": (["U0_D0_BG"], ["U0_D0"]),
    }


def test_the_camera_is_the_view_up_to_its_first_underscore():
    index = make_index(["1/a/01_U0_D0_1", "1/a/02_U0_D0_BG_1", "1/a/03"])
    assert protocols.column("camera", index).tolist() == ["01", "02", "03"]
    assert protocols.rows_of({"camera": ("02", "03")}, index).tolist() == [1, 2]


def test_which_lists_count_probes_without_a_match():
    """No golden has such probes where they count; this is the reference's rule."""
    every = [p for name in ALL for p in protocols.for_dataset(name)]
    lists = {p.name: p.misses for p in every if p.breakdown != "view_pairs"}
    assert lists == {
        "casia_b_all_views": True,
        "oumvlp_all_views": True,
        "grew_local": True,
        "outdoor_gait": True,  # chosen; everybody has a gallery there
        "gait3d": False,
        "freegait": False,
        "folder": False,
        "ccpg_reid": False,
    }


def test_the_documentation_has_every_protocol():
    page = pathlib.Path(__file__).parents[2] / "docs" / "evaluation.md"
    table = page.read_text().partition("## Protocols")[2].partition("## ")[0]
    documented = re.findall(r"^\| [^|]*\| `(\w+)` \|", table, re.MULTILINE)
    with pytest.raises(GaitError) as error:
        protocols.for_dataset("?")
    known = re.search(r"known: (.*) and their", str(error.value)).group(1).split(", ")
    assert sorted(known) == sorted(ALL)
    names = [p.name for name in ALL for p in protocols.for_dataset(name)]
    assert sorted(documented) == sorted(names)
    assert len(set(names)) == len(names) == 15


def test_a_protocol_that_cannot_be_computed_is_refused():
    with pytest.raises(ValueError, match="is view_pairs, list, views, got 'pairs'"):
        protocols.Protocol("x", {}, {}, breakdown="pairs")
    with pytest.raises(ValueError, match="excludes view at most"):
        protocols.Protocol("x", {}, {}, "view_pairs", exclude=("subject",))
    with pytest.raises(ValueError, match="excludes camera at most"):
        protocols.Protocol("x", {}, {}, "view_pairs", exclude=("view",), group="camera")
    with pytest.raises(ValueError, match=r"no probe condition: \['NM'\]"):
        protocols.Protocol("x", {}, {"CL": {}}, "list", galleries={"NM": {}})
