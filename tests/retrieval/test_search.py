"""Evaluation against the reference's figures, and against loops in float64."""

import dataclasses

import golden
import jax
import numpy as np
import pytest
from helpers import eval_golden, loops

from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.retrieval import protocols, search

METRIC = {"euc": "euclidean", "cos": "cosine"}
CASIA_B = {"euc": "eval/casiab_euc", "cos": "eval/casiab_cos"}
GAIT3D = {"euc": "eval/gait3d_euc", "cos": "eval/gait3d_cos"}
KEYS = (
    "protocol probe gallery condition distance stage metric value n_probe "
    "n_without_match"
)


def _cell(far, same, probes, items, k):
    """Percent of probes with the identity among the k nearest items, by loop."""
    hits = 0
    for probe in probes:
        near = items[np.argsort(far[probe, items], kind="stable")][:k]
        hits += same[probe, near].any()
    return 100 * hits / len(probes)


@pytest.mark.parametrize("kind", ["euc", "cos"])
def test_casia_b_equals_the_reference(kind):
    arrays, index, embeddings = eval_golden.load(CASIA_B[kind])
    want = golden.load_json("eval/results")[f"casiab_{kind}"]
    got = search.evaluate(
        {"sils": embeddings},
        index,
        protocols.casia_b(),
        metric=METRIC[kind],
        rounded=True,
    )
    for condition in ("NM", "BG", "CL"):
        views, table = got.view_tables[condition]
        assert views == sorted(set(arrays["views"]))
        np.testing.assert_allclose(table, arrays[f"rank1_{condition}"], atol=1e-9)
        value = eval_golden.values(got)[condition, "rank-1"]
        assert value == pytest.approx(want[f"{condition}@R1"], abs=1e-9)


@pytest.mark.parametrize("kind", ["euc", "cos"])
def test_casia_b_unrounded_equals_loops(kind):
    _, index, embeddings = eval_golden.load(CASIA_B[kind])
    protocol = protocols.casia_b()
    got = search.evaluate(
        {"sils": embeddings}, index, protocol, metric=METRIC[kind], ranks=(1, 5)
    )
    far = loops.far(embeddings, embeddings, METRIC[kind])
    same = index.subject[:, None] == index.subject
    gallery = np.flatnonzero(np.isin(index.condition, protocol.gallery["condition"]))
    for condition, rule in protocol.probes.items():
        probes = np.flatnonzero(np.isin(index.condition, rule["condition"]))
        for k in (1, 5):
            cells = [
                [
                    _cell(
                        far,
                        same,
                        probes[index.view[probes] == mine],
                        gallery[index.view[gallery] == other],
                        k,
                    )
                    for other in np.unique(index.view)
                    if other != mine
                ]
                for mine in np.unique(index.view)
            ]
            value = eval_golden.values(got)[condition, f"rank-{k}"]
            assert value == pytest.approx(np.mean(cells), abs=1e-9)
            assert got.cmc[condition][k - 1] == pytest.approx(value / 100)


@pytest.mark.parametrize("kind", ["euc", "cos"])
def test_gait3d_equals_the_reference(kind):
    arrays, index, embeddings = eval_golden.load(GAIT3D[kind])
    want = golden.load_json("eval/results")[f"gait3d_{kind}"]
    got = search.evaluate(
        {"sils": embeddings}, index, protocols.gait3d(), metric=METRIC[kind]
    )
    for key, value in want.items():
        metric = key.replace("Rank", "rank")
        assert eval_golden.values(got)["all", metric] == pytest.approx(value, abs=1e-6)
    scores = got.per_probe["all"]
    np.testing.assert_array_equal(scores["row"], np.flatnonzero(arrays["is_probe"]))
    valid = scores["first"] > 0
    np.testing.assert_allclose(scores["ap"][valid], arrays["AP"], atol=1e-6)
    np.testing.assert_allclose(scores["inp"][valid], arrays["INP"], atol=1e-6)
    np.testing.assert_allclose(got.cmc["all"], arrays["cmc"], atol=1e-6)
    without = int((~valid).sum())
    assert without == 6  # the golden has 70 probes and 64 scores
    assert {row["n_probe"] for row in got.rows} == {70}
    assert {row["n_without_match"] for row in got.rows} == {6}
    assert got.notes == [
        "all: 6 of 70 probes have no match in the gallery and are left out"
    ]


@pytest.mark.parametrize("name", [CASIA_B["euc"], GAIT3D["euc"]])
def test_block_size_changes_nothing(name):
    _, index, embeddings = eval_golden.load(name)
    protocol = protocols.casia_b() if "casia" in name else protocols.gait3d()
    whole = search.evaluate({"sils": embeddings}, index, protocol, block=5000)
    steps = []
    small = search.evaluate(
        {"sils": embeddings},
        index,
        protocol,
        block=37,
        progress=lambda *step: steps.append(step),
    )
    assert small.rows == whole.rows
    assert small.rank_lists == whole.rank_lists
    total = steps[-1][1]
    assert steps == [(done + 1, total) for done in range(total)]


def _small(conditions="nm-01 nm-02 nm-03 bg-01 cl-01", subjects=6, views=3):
    names = [
        (f"{s:03d}", c, f"{v:03d}")
        for s in range(subjects)
        for c in conditions.split()
        for v in range(views)
    ]
    columns = [np.array(column) for column in zip(*names, strict=True)]
    index = Index(*columns, np.full(len(names), ""), np.ones(len(names), np.int32))
    rng = np.random.default_rng(0)
    return index, rng.normal(size=(len(names), 2, 4)).astype(np.float32)


def test_rows_have_the_agreed_keys_and_plain_types():
    index, embeddings = _small()
    got = search.evaluate({"sils": embeddings}, index, protocols.walkers())
    for row in got.rows:
        assert list(row) == KEYS.split()
        assert type(row["value"]) is float and type(row["n_probe"]) is int
        assert row["stage"] == "initial" and row["distance"] == "euclidean"
    assert [row["n_probe"] for row in got.rows] == [18] * len(got.rows)


def test_probe_and_gallery_of_two_modalities():
    index, embeddings = _small()
    other = np.random.default_rng(1).normal(size=embeddings.shape).astype(np.float32)
    both = {"sils": embeddings, "ranges": other}
    got = search.evaluate(
        both, index, protocols.walkers(), ranks=(1,), probe="ranges", gallery="sils"
    )
    far = loops.far(other, embeddings, "euclidean")
    same = index.subject[:, None] == index.subject
    probes = np.flatnonzero(index.condition == "bg-01")
    items = np.flatnonzero(np.isin(index.condition, ["nm-01", "nm-02"]))
    row = next(row for row in got.rows if row["condition"] == "BG")
    assert (row["probe"], row["gallery"]) == ("ranges", "sils")
    for i, mine in enumerate(np.unique(index.view)):
        for j, view in enumerate(np.unique(index.view)):
            want = _cell(
                far,
                same,
                probes[index.view[probes] == mine],
                items[index.view[items] == view],
                1,
            )
            assert got.view_tables["BG"][1][i, j] == pytest.approx(want)
    with pytest.raises(GaitError, match="probe modality: got None, the embeddings are"):
        search.evaluate(both, index, protocols.walkers())


def test_the_stored_half_precision_is_accepted():
    index, embeddings = _small()
    half = embeddings.astype(np.float16)
    got = search.evaluate({"sils": half}, index, protocols.walkers())
    want = search.evaluate({"sils": np.float32(half)}, index, protocols.walkers())
    assert got.rows == want.rows


def test_rank_lists_are_the_nearest_of_other_views():
    index, embeddings = _small()
    got = search.evaluate({"sils": embeddings}, index, protocols.walkers(), num_lists=4)
    far = loops.far(embeddings, embeddings, "euclidean")
    items = np.flatnonzero(np.isin(index.condition, ["nm-01", "nm-02"]))
    for condition, name in (("NM", "nm-03"), ("CL", "cl-01")):
        lists = got.rank_lists[condition]
        probes = np.flatnonzero(index.condition == name)
        assert len({one.probe for one in lists} & set(probes)) == 4
        for one in lists:
            allowed = items[index.view[items] != index.view[one.probe]]
            near = allowed[np.argsort(far[one.probe, allowed])][:10]
            assert list(one.gallery) == near.tolist()
            right = index.subject[near] == index.subject[one.probe]
            assert list(one.right) == right.tolist()


def test_equal_distances_find_the_lower_row_first():
    index, embeddings = _small()
    same = np.zeros_like(embeddings)
    got = search.evaluate({"sils": same}, index, protocols.walkers(), ranks=(1, 2))
    # Everything ties, so every probe finds subject 000: right for 1 of 6 probes.
    for (_, metric), value in eval_golden.values(got).items():
        assert value == pytest.approx(100 / 6), metric
    one = got.rank_lists["NM"][0]
    assert list(one.gallery) == sorted(one.gallery)


def test_equal_distances_sort_by_row_in_a_list():
    index, embeddings = _small("nm-01 bg-01", views=1)
    protocol = protocols.Protocol(
        "list", {"condition": ("nm-01",)}, {"BG": {"condition": ("bg-01",)}}, "list"
    )
    same = np.zeros_like(embeddings)
    got = search.evaluate({"sils": same}, index, protocol, ranks=(1,))
    assert got.per_probe["BG"]["first"].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_pair_that_the_protocol_excludes_is_never_found():
    """Same identity under the same camera left out, as re-identification does."""
    index, embeddings = _small(views=3)
    protocol = protocols.Protocol(
        name="cameras",
        gallery={"condition": ("nm-*",)},
        probes={"BG": {"condition": ("bg-01",)}},
        breakdown="list",
        exclude=("subject", "view"),
    )
    got = search.evaluate({"sils": embeddings}, index, protocol, ranks=(1, 5))
    far = loops.far(embeddings, embeddings, "euclidean")
    probes = np.flatnonzero(index.condition == "bg-01")
    items = np.flatnonzero(np.char.startswith(index.condition, "nm-"))
    precisions, penalties = [], []
    for probe in probes:
        mine = (index.subject[items] == index.subject[probe]) & (
            index.view[items] == index.view[probe]
        )
        allowed = items[~mine]
        order = allowed[np.argsort(far[probe, allowed])]
        right = index.subject[order] == index.subject[probe]
        places = np.flatnonzero(right) + 1
        precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
        penalties.append(len(places) / places[-1])
    np.testing.assert_allclose(got.per_probe["BG"]["ap"], precisions)
    np.testing.assert_allclose(got.per_probe["BG"]["inp"], penalties)


def test_probe_without_gallery_is_a_miss_in_view_pairs():
    index, embeddings = _small()
    keep = ~((index.subject == "000") & (np.char.startswith(index.condition, "nm-0")))
    keep |= index.condition == "nm-03"
    got = search.evaluate(
        {"sils": embeddings[keep]},
        index.select(keep),
        protocols.walkers(),
        ranks=(1, 8),
    )
    assert {row["n_without_match"] for row in got.rows} == {3}
    assert "NM: 6 of 36 (probe, gallery view) pairs have no match" in got.notes[0]
    # Ten gallery sequences a view, five identities: never more than 15 of 18.
    assert eval_golden.values(got)["NM", "rank-8"] <= 100 * 15 / 18 + 1e-9


def test_a_view_without_probes_is_skipped():
    index, embeddings = _small()
    keep = ~((index.condition == "cl-01") & (index.view == "001"))
    got = search.evaluate(
        {"sils": embeddings[keep]}, index.select(keep), protocols.walkers(), ranks=(1,)
    )
    table = got.view_tables["CL"][1]
    assert np.isnan(table[1]).all() and not np.isnan(table[[0, 2]]).any()
    off = table[[0, 0, 2, 2], [1, 2, 0, 1]]
    assert eval_golden.values(got)["CL", "rank-1"] == pytest.approx(off.mean())
    assert any("CL: 3 of 9 view pairs" in note for note in got.notes)


def test_a_view_without_gallery_is_skipped():
    index, embeddings = _small()
    gone = np.isin(index.condition, ["nm-01", "nm-02"]) & (index.view == "002")
    got = search.evaluate(
        {"sils": embeddings[~gone]}, index.select(~gone), protocols.walkers()
    )
    table = got.view_tables["NM"][1]
    assert np.isnan(table[:, 2]).all()
    want = np.mean([table[0, 1], table[1, 0], table[2, :2].mean()])
    assert eval_golden.values(got)["NM", "rank-1"] == pytest.approx(want)


def test_condition_without_probes_and_rank_beyond_the_gallery_leave_notes():
    index, embeddings = _small("nm-01 nm-02 nm-03")
    got = search.evaluate(
        {"sils": embeddings}, index, protocols.walkers(), ranks=(1, 12, 13)
    )
    assert set(eval_golden.values(got)) == {("NM", "rank-1"), ("NM", "rank-12")}
    assert got.notes == [
        "BG: no probes (n/a)",
        "CL: no probes (n/a)",
        "NM: rank-13 is not defined: the smallest gallery view has 12 sequences",
    ]


def test_no_probe_has_a_match_leaves_no_row():
    index, embeddings = _small("nm-01 nm-03", subjects=2, views=1)
    index = dataclasses.replace(index, subject=np.array(["0", "1", "2", "3"]))
    protocol = dataclasses.replace(protocols.walkers(), breakdown="list", exclude=())
    got = search.evaluate({"sils": embeddings}, index, protocol, ranks=(1,))
    assert got.rows == []
    assert "2 of 2 probes have no match" in "".join(got.notes)


def test_works_under_a_transfer_guard():
    index, embeddings = _small()
    with jax.transfer_guard("disallow"):
        search.evaluate({"sils": embeddings}, index, protocols.walkers())


def test_number_of_compilations_does_not_grow_with_views():
    compiled = []

    def listen(event, duration, **kwargs):
        if event.endswith("backend_compile_duration"):
            compiled.append(kwargs.get("fun_name", event))

    index, embeddings = _small(views=7)
    keep = np.random.default_rng(0).random(len(index)) > 0.2  # views of unlike sizes
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        search.evaluate(
            {"sils": embeddings[keep]}, index.select(keep), protocols.walkers(), block=8
        )
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    # One gallery view; AP of probes, 8 for each device, and 8 rank lists; sampled
    # distances. The nearest of the open set, and their distances.
    assert len(compiled) == 6, compiled


def test_mistakes_are_named():
    index, embeddings = _small()
    protocol = protocols.walkers()

    def run(embeddings, index=index, protocol=protocol, **options):
        return search.evaluate({"sils": embeddings}, index, protocol, **options)

    broken = embeddings.copy()
    broken[[3, 7], 0, 0] = np.nan
    message = r"sils: 2 of 90 sequences are NaN or infinite, the first is 000-nm-02-000"
    with pytest.raises(GaitError, match=message):
        run(broken)
    with pytest.raises(GaitError, match=r"want shape \[90, parts, dims\].*got \[80"):
        run(embeddings[:80])
    with pytest.raises(GaitError, match="finds no gallery among 90 sequences"):
        run(
            embeddings, protocol=dataclasses.replace(protocol, gallery={"view": ("x",)})
        )
    with pytest.raises(GaitError, match="euclidean or cosine, got l1"):
        run(embeddings, metric="l1")
    with pytest.raises(GaitError, match="count from 1"):
        run(embeddings, ranks=(0, 1))
    overlap = protocols.Protocol("self", {}, {"all": {}}, "list")
    with pytest.raises(GaitError, match="90 sequences are probe and gallery at once"):
        run(embeddings, protocol=overlap)
    two = {"sils": embeddings, "ranges": embeddings[:, :, :3]}
    with pytest.raises(GaitError, match=r"probe sils has \[2, 4\], gallery ranges has"):
        search.evaluate(two, index, protocol, probe="sils", gallery="ranges")
