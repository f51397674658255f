"""Every protocol, within a modality and across two, equals loops in float64."""

import dataclasses

import numpy as np
import pytest
from helpers import eval_golden, loops

from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.retrieval import protocols, search

CONDITIONS = {
    "casia_b": [f"nm-0{i}" for i in range(1, 7)] + ["bg-01", "bg-02", "cl-01", "cl-02"],
    "casia_e": [
        "H-scene1-nm-1",
        "L-scene1-nm-2",
        "H-scene2-nm-1",
        "L-scene3-bg-2",
        "H-scene3_s-cl-1",
        "H-scene1-cl-1",
    ],
    "ccpg": ["U0_D0", "U0_D0_BG", "U0_D3", "U1_D0", "U1_D1", "U2_D2", "U3_D3"],
    "freegait": ["a", "b", "c"],
    "gait3d": ["a", "b", "c"],
    "grew": ["01", "02", "03"],
    "oumvlp": ["00", "01"],
    "outdoor_gait": [
        f"scene{s}-{k}-0{i}"
        for s in (1, 2, 3)
        for k in ("nm", "bg", "cl")
        for i in "12"
    ],
    # The last one is in the gallery and a probe of Night at once.
    "sustech1k": [
        "00-nm",
        "01-nm",
        "01-bg-cr",
        "02-cl",
        "02-oc",
        "03-nt",
        "04-ub",
        "01-uf",
        "00-nm-nt",
    ],
    "walkers": ["nm-01", "nm-02", "nm-03", "bg-01", "cl-01"],
}
VIEWS = ("000", "090", "270")
PROTOCOLS = [
    (name, protocol) for name in CONDITIONS for protocol in protocols.for_dataset(name)
]


def _index(name, protocol=None, subjects=6):
    """All conditions in all views, a fifth missing, and one identity's gallery."""
    views = ("01_x_1", "01_x_2", "02_x_1", "03_x_1") if name == "ccpg" else VIEWS
    names = [
        (f"{s:03d}", condition, view)
        for s in range(subjects)
        for condition in CONDITIONS[name]
        for view in views
    ]
    keep = np.random.default_rng(0).random(len(names)) > 0.2
    columns = [np.array(c)[keep] for c in zip(*names, strict=True)]
    num = len(columns[0])
    index = Index(*columns, np.full(num, ""), np.ones(num, np.int32))
    probes = [row for row in range(num) if index.view[row] == "000"]
    lists = {"probe": frozenset(index.names[probes].tolist())}
    index = dataclasses.replace(index, lists=lists)
    protocol = protocol or protocols.for_dataset(name)[0]
    gone = np.zeros(num, bool)  # an identity that nobody can find
    gone[protocols.rows_of(protocol.gallery, index)] = True
    return index.select(~(gone & (index.subject == "002")))


def _embeddings(index, seed):
    """Identities apart, but not far: f32[n,2,4]."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(99, 2, 4))
    noise = rng.normal(size=(len(index), 2, 4))
    return np.float32(centres[index.subject.astype(int)] + noise)


@pytest.mark.parametrize("across", [False, True], ids=["one", "two"])
@pytest.mark.parametrize(
    ("name", "protocol"), PROTOCOLS, ids=[protocol.name for _, protocol in PROTOCOLS]
)
def test_a_protocol_equals_loops(name, protocol, across):
    index = _index(name, protocol)
    sils = _embeddings(index, 0)
    views = {"sils": sils, "ranges": _embeddings(index, 1) if across else sils}
    got = search.evaluate(
        views if across else {"sils": sils},
        index,
        protocol,
        ranks=(1, 2),
        probe="sils",
        gallery="ranges" if across else "sils",
        num_lists=0,
        num_pairs=0,
        block=7,
    )
    ranks = sorted({1, 2, *protocol.ranks})
    far = loops.far(views["sils"], views["ranges"])
    want = loops.values(protocol, index, far, ranks)
    for note in got.notes:  # a rank beyond a gallery is a note, not a number
        names, _, text = note.partition(": ")
        if "is not defined" in text:
            for name in names.split(", "):
                want.pop((name, text.split()[0]), None)
    rows = {
        (row["condition"], row["metric"]): (row["value"], row["n_probe"])
        for row in got.rows
    }
    assert rows.keys() == want.keys()
    for key, (value, n_probe, _) in want.items():
        assert rows[key] == (pytest.approx(value, abs=1e-6), n_probe), key
    for row in got.rows:
        without = want[row["condition"], row["metric"]][2]
        assert row["n_without_match"] == without
        assert row["probe"] == "sils"
        assert row["gallery"] == ("ranges" if across else "sils")
    assert {row["condition"] for row in got.rows} == set(protocol.probes)
    assert any(row["n_without_match"] for row in got.rows)
    assert any(0 < row["value"] < 100 for row in got.rows)


def test_a_record_finds_its_own_other_modality_and_excludes_its_own_view():
    """Across modalities a record may be probe and gallery at once."""
    index = _index("oumvlp").select(np.arange(12))
    sils = _embeddings(index, 0)
    views = {"sils": sils, "ranges": sils + 1e-3}
    protocol = protocols.Protocol("self", {}, {"all": {}}, "list")
    options = {"probe": "sils", "gallery": "ranges", "ranks": (1,), "num_lists": 1}
    got = search.evaluate(views, index, protocol, **options)
    assert eval_golden.values(got)["all", "rank-1"] == 100
    for one in got.rank_lists["all"]:
        assert one.gallery[0] == one.probe
    with pytest.raises(GaitError, match="12 sequences are probe and gallery at once"):
        search.evaluate({"sils": sils}, index, protocol)
    # With its own view excluded it may not, whatever the modality.
    apart = dataclasses.replace(protocol, exclude=("subject", "view"))
    got = search.evaluate(views, index, apart, **options)
    for one in got.rank_lists["all"]:
        mine = index.subject == index.subject[one.probe]
        mine &= index.view == index.view[one.probe]
        assert not set(one.gallery) & set(np.flatnonzero(mine).tolist())


def test_conditions_without_probes_or_gallery_are_named():
    index = _index("ccpg")
    keep = ~np.isin(index.condition, ["U0_D3", "U1_D0"])
    index = index.select(keep)
    got = search.evaluate(
        {"sils": _embeddings(index, 0)}, index, protocols.ccpg_gait(), ranks=(1,)
    )
    assert {row["condition"] for row in got.rows} == {"CL", "BG"}
    assert got.notes[:2] == ["UP: no gallery (n/a)", "DN: no probes (n/a)"]
    assert any("(probe, gallery camera) pairs have no match" in n for n in got.notes)
    assert set(got.view_tables) == set(got.rank_lists) == {"CL", "BG"}


def test_all_views_average_a_view_at_a_time():
    """One probe in a view weighs as much as many in another."""
    subject = np.array(["0", "0", "0", "1", "0", "1"])
    condition = np.array(["00", "00", "00", "00", "01", "01"])
    view = np.array(["000", "000", "000", "090", "180", "180"])
    index = Index(subject, condition, view, np.full(6, ""), np.ones(6, np.int32))
    place = np.float32([0, 0, 9, 0, 0, 9])  # of view 000 two right, one wrong
    got = search.evaluate(
        {"sils": place[:, None, None]}, index, protocols.oumvlp_all_views(), ranks=(1,)
    )
    want = (200 / 3 + 0) / 2  # and the one probe of view 090 is wrong
    assert eval_golden.values(got)["NM", "rank-1"] == pytest.approx(want)
    # AP is 1 where right, 1/2 where wrong.
    want = (100 * 2.5 / 3 + 50) / 2
    assert eval_golden.values(got)["NM", "mAP"] == pytest.approx(want)


def test_rounding_is_per_view():
    protocol = protocols.casia_b_all_views()
    index = _index("casia_b", protocol, subjects=7)
    views = {"sils": _embeddings(index, 0)}
    options = {"ranks": (1,), "num_lists": 0, "num_pairs": 0}
    exact = search.evaluate(views, index, protocol, **options)
    got = search.evaluate(views, index, protocol, rounded=True, **options)
    scores = exact.per_probe["NM"]
    matched = scores["first"] > 0
    lines = []
    for name in np.unique(index.view[scores["row"]]):
        mine = matched & (index.view[scores["row"]] == name)
        lines.append(round(100 * scores["ap"][mine].mean(), 2))
    value = eval_golden.values(got)["NM", "mAP"]
    assert value == pytest.approx(np.mean(lines), abs=1e-9)
    assert value != pytest.approx(eval_golden.values(exact)["NM", "mAP"], abs=1e-9)
