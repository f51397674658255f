"""Twins: the original's names, views, conditions and protocol; and their builder."""

import dataclasses
import itertools
import shutil

import numpy as np
import pytest

from gaitjax import walkers as simulator
from gaitjax.data.builders import common, walkers
from gaitjax.data.builders.twins import twins
from gaitjax.data.index import Index
from gaitjax.data.records import open_split
from gaitjax.errors import GaitError
from gaitjax.retrieval import protocols

NAMES = tuple(twins())


def world(name, **changes):
    sizes = {"num_train": 4, "num_test": 4, "frames": 4} | changes
    return walkers.make_builder("unused", name, **sizes).builder_config.world


def labels(name, is_test=True, people=range(4)):
    """Columns of the index that the people of a split would have."""
    rows = [
        row for person in people for row in walkers.plan(world(name), person, is_test)
    ]
    columns = ("subject", "condition", "view", "take")
    return {key: np.array([getattr(row, key) for row in rows]) for key in columns}


@pytest.mark.parametrize("name", NAMES)
def test_plans_are_functions_of_their_arguments_and_names_are_unique(name):
    again = [labels(name), labels(name)]
    for key in again[0]:
        np.testing.assert_array_equal(again[0][key], again[1][key])
    for is_test in (False, True):
        columns = labels(name, is_test)
        triples = set(
            zip(*(columns[k] for k in ("subject", "condition", "view")), strict=True)
        )
        assert len(triples) == len(columns["subject"])
    trained, tested = labels(name, False)["subject"], labels(name)["subject"]
    assert not set(trained) & set(tested)


def test_no_two_sets_share_a_walker():
    spans = sorted(
        (t.first, t.first + t.num_train + t.num_test) for t in twins().values()
    )
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end <= start


def test_oumvlp_has_14_views_two_walks_and_odd_even_people():
    columns = labels("walkers_oumvlp")
    views = [f"{v:03d}" for v in (*range(0, 91, 15), *range(180, 271, 15))]
    assert sorted(set(columns["view"])) == views and len(views) == 14
    assert set(columns["condition"]) == {"00", "01"}
    assert set(columns["subject"]) == {"00002", "00004", "00006", "00008"}
    assert set(labels("walkers_oumvlp", False)["subject"]) == {
        "00001", "00003", "00005", "00007",
    }  # fmt: skip


def test_sustech1k_has_12_views_and_all_conditions():
    columns = labels("walkers_sustech1k", people=range(14))
    assert len(set(columns["view"])) == 12 and "090-near" in columns["view"]
    words = {word for kind in columns["condition"] for word in kind.split("-")[1:]}
    assert words == {"nm", "bg", "cl", "cr", "ub", "uf", "oc", "nt"}
    assert any(kind.count("-") == 2 for kind in columns["condition"])  # combinations
    assert {"00-nm", "01-nm"} <= set(columns["condition"])
    assert set(labels("walkers_sustech1k")["subject"]) == {
        "0250",
        "0251",
        "0252",
        "0253",
    }


def test_ccpg_changes_what_its_types_say():
    plan = walkers.plan(world("walkers_ccpg"), 0, True)
    words = {row.condition: row.words for row in plan}
    assert words["U0_D0_BG"] == "bg-u0-d0" and words["U1_D0"] == "u1-d0"
    assert len({row.view.partition("_")[0] for row in plan}) == 10


@pytest.mark.parametrize("name", ["walkers_gait3d", "walkers_freegait"])
def test_probe_lists_name_sequences_of_the_test(name):
    builder = walkers.make_builder("unused", name, num_train=4, num_test=12)
    columns = labels(name, people=range(12))
    rows = zip(*(columns[k] for k in ("subject", "condition", "view")), strict=True)
    names = {"-".join(row) for row in rows}
    probes = builder.lists()["probe"]
    assert set(probes) < names
    per_person = {"walkers_gait3d": 1, "walkers_freegait": 5}[name]
    assert len(probes) == len(set(probes)) == 12 * per_person


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_of_the_original_finds_its_probes_and_gallery(name, tmp_path):
    """On the twin's own index: each condition has probes, each probe a match."""
    columns = labels(name, people=range(14))
    builder = walkers.make_builder(tmp_path, name, num_train=4, num_test=14)
    lists = {key: frozenset(names) for key, names in builder.lists().items()}
    frames = np.full(len(columns["subject"]), 4, np.int32)
    index = Index(**columns, num_frames=frames, lists=lists)
    for protocol in protocols.for_dataset(name):
        gallery = protocols.rows_of(protocol.gallery, index)
        assert len(gallery), protocol.name
        for condition, rule in protocol.probes.items():
            probes = protocols.rows_of(rule, index)
            assert len(probes), (protocol.name, condition)


@pytest.fixture
def builder(tmp_path):
    def make(**changes):
        sizes = {"num_train": 3, "num_test": 2, "frames": 3, "processes": 1}
        return walkers.make_builder(tmp_path, "walkers_grew", **(sizes | changes))

    return make


def test_an_interrupted_generation_goes_on_where_it_stopped(
    builder, monkeypatch, capfd
):
    """The parts that were done are neither lost nor made again."""
    folder = common.staging(one := builder()) / "train"
    make = walkers.make_person

    def stop(person, **kwargs):
        if person == 2:
            raise KeyboardInterrupt
        return make(person, **kwargs)

    monkeypatch.setattr(common, "in_processes", lambda fn, tasks, *_: map(fn, tasks))
    monkeypatch.setattr(walkers, "make_person", stop)
    with pytest.raises(KeyboardInterrupt):
        common.prepare(one, one.lists())
    assert sorted(path.name for path in folder.glob("*")) == [
        "000000.part",
        "000001.part",
    ]
    marks = {path: path.stat().st_mtime_ns for path in folder.glob("*.part")}
    made = []

    def count(person, **kwargs):
        made.append((person, kwargs["is_test"]))
        return make(person, **kwargs)

    monkeypatch.setattr(walkers, "make_person", count)
    (folder / "000001.part").write_bytes(b"cut off")
    prepared = common.prepare(again := builder(), again.lists())
    assert made == [(1, False), (2, False), (0, True), (1, True)]
    assert "going on after 2 of 3" in capfd.readouterr().err
    assert all(not path.exists() for path in marks)  # cleared when all was written
    train = open_split(prepared, "train").with_keys(("sils",))
    person = make(0, world=again.builder_config.world, is_test=False)
    np.testing.assert_array_equal(train[0]["sils"], person["sils"][0])
    assert len(train) == 15


def test_a_set_larger_than_the_disk_says_so_before_it_starts(builder, monkeypatch):
    usage = shutil.disk_usage("/")
    tiny = dataclasses.make_dataclass("Usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: tiny(usage.total, 0, 1000))
    one = builder(num_train=80_000)
    with pytest.raises(
        GaitError, match=r"takes about .* GB .* has 0.0 GB free; .*data.args"
    ):
        common.prepare(one, one.lists())
    assert len(list(common.staging(one).rglob("*.part"))) == 1  # one to measure


def test_arguments_that_change_the_bits_change_the_folder(builder):
    usual = builder().data_dir
    changed = (
        {"modalities": ("sils", "joints")},
        {"elevation": 30.0},
        {"body_spread": 0.0},
        {"gait_spread": 0.0},
        {"seed": 1},
        {"frames": 4},
    )
    folders = {builder(**change).data_dir for change in changed}
    assert len(folders) == len(changed) and usual not in folders
    assert builder(processes=2).data_dir == usual


def test_any_twin_can_carry_any_modality(tmp_path):
    keys = simulator.KEYS
    one = walkers.make_builder(
        tmp_path, "walkers_gait3d", num_train=1, num_test=1, frames=2, modalities=keys,
        processes=1,
    )  # fmt: skip
    split = open_split(common.prepare(one, one.lists()), "test").with_keys(keys)
    record = split[0]
    assert {key: array.shape[1:] for key, array in record.items()} == {
        key: simulator.frame_shapes()[key] for key in keys
    }


def test_bad_arguments_teach(builder):
    for changes, line in (
        ({"modalities": ("sil",)}, "sils"),
        ({"elevation": 90.0}, "elevation"),
        ({"frames": 0}, "frames"),
    ):
        with pytest.raises(GaitError, match=line) as error:
            builder(**changes)
        assert "\n" not in str(error.value)


# The others are built by the configs that CI tries.
BUILT = [
    pytest.param(n, marks=pytest.mark.slow if n != "walkers_ccpg" else ())
    for n in NAMES
]


@pytest.mark.parametrize("name", BUILT)
def test_every_twin_is_built(name, tmp_path):
    """Two people each, two frames: labels as planned, pictures in every record."""
    sizes = {"num_train": 2, "num_test": 2, "frames": 2, "processes": 1}
    one = walkers.make_builder(tmp_path, name, **sizes)
    folder = common.prepare(one, one.lists())
    for split_name in ("train", "test"):
        split = open_split(folder, split_name).with_keys(twins()[name].modalities)
        planned = [
            row
            for person in range(2)
            for row in walkers.plan(
                one.builder_config.world, person, split_name == "test"
            )
        ]
        for key in ("subject", "condition", "view", "take"):
            column = getattr(split.index, key).tolist()
            assert column == [getattr(row, key) for row in planned]
        assert (split.index.num_frames == 2).all()
        for key, frames in split[len(split) - 1].items():
            assert len(frames) == 2 and frames.any(), key


def test_people_of_the_test_do_not_depend_on_how_many_are_trained_on(tmp_path):
    few, many = (
        walkers.make_person(0, world=world("walkers", num_train=n), is_test=True)
        for n in (4, 20)
    )
    np.testing.assert_array_equal(few["sils"], many["sils"])


def test_the_same_bits_have_one_folder(builder):
    usual = builder().data_dir
    assert builder(modalities=("sils", "sils")).data_dir == usual
    assert builder(elevation=30).data_dir == builder(elevation=30.0).data_dir
