"""The study of Selective Fusion: configs that can run, and whose figure lands where."""

import json
import pathlib
import sys

import numpy as np
import pytest
import studies

from gaitjax.bench import study
from gaitjax.data.index import Index
from gaitjax.run import check_config
from gaitjax.runtime.metrics_log import MetricsLog

RUNS = pathlib.Path("runs")


@pytest.fixture(scope="module")
def sweep():
    return studies.load("selective_fusion", "sweep")


@pytest.fixture(scope="module")
def look():
    return studies.load("selective_fusion", "look")


@pytest.fixture(scope="module")
def tables():
    return studies.load("selective_fusion", "tables")


def test_every_job_is_one_that_can_run(sweep):
    found = sweep.jobs()
    names = [job.name for job in found]
    assert len(set(names)) == len(found)
    for job in found:
        config = sweep.recipe(job, RUNS, "walkers").to_dict()
        check_config(config)
        data, options = config["data"], config["train"]
        assert data["p"] * data["k"] * data["frames"] == 96
        if job.study == "bases":
            assert data["name"] == "walkers_oumvlp" and not options["init_from"]
            continue
        assert data["name"] == "walkers_casia_b" and options["steps"] == sweep.STEPS
        assert data["label"] == ("subject" if job.upper else "none")
        assert options["seed"] == job.seed
        assert options["init_from"] == f"runs/{job.start}"
        # Trained once, first, by the same config as when it is a job of its own.
        for base in (job.start, job.views):
            assert names.index(base) < names.index(job.name)
        args = config["method_args"]
        usual = sweep.base(job.start, "walkers").to_dict()
        assert options["init_config"] == usual
        assert args["backbone_args"] == usual["method_args"]["backbone_args"]
        if not job.upper:
            alone = job.row == "instances"  # clusters nothing
            assert options["refresh_every"] == (sweep.STEPS if alone else sweep.ROUND)
            assert args["fusion_round"] in (sweep.FUSION, None)
            assert args["view_base"]["workdir"] == f"runs/{job.views}"
            views = sweep.base(job.views, "walkers").to_dict()
            assert args["view_base"]["config"] == views


def test_a_row_changes_what_it_says(sweep):
    jobs = {job.name: job for job in sweep.jobs()}

    def args(name):
        return sweep.recipe(jobs[f"{name}-seed0"], RUNS, "walkers").method_args

    fused = {name: args(name) for name in ("both", "scf", "ssf", "baseline")}
    parts = [(x.fuse_clothes, x.fuse_views) for x in fused.values()]
    assert parts == [(True, True), (True, False), (False, True), (False, False)]
    assert (
        fused["baseline"].fusion_round is None
        and fused["scf"].fusion_round == sweep.FUSION
    )
    assert args("support_4").support == 4 and not args("constant_rate").adaptive
    assert args("instances").objective == "instances"
    assert args("momentum_0.2").momentum_min == args("momentum_0.2").momentum_max == 0.2
    assert args("neighbours_10").fusion_round is None
    seeds = {job.row: 0 for job in jobs.values()}
    for job in jobs.values():
        seeds[job.row] += 1
    fused_rows = ("both", "baseline", "scf", "ssf")
    assert {row for row, number in seeds.items() if number == 3} == {
        *("upper", "instances", *fused_rows),
        *(f"{row}_fast" for row in fused_rows),
    }
    fast = sweep.recipe(jobs["scf_fast-seed0"], RUNS, "walkers")
    usual = sweep.recipe(jobs["scf-seed0"], RUNS, "walkers")
    assert (fast.optim.lr, usual.optim.lr) == (3e-4, 1e-4)
    usual.optim.lr = 3e-4
    assert fast == usual


def test_only_brings_what_it_stands_on(sweep):
    jobs = sweep.jobs()
    found = study.chosen(jobs, ["degraded_views"], sweep.stand_on)
    names = [job.name for job in found]
    assert names == ["pretraining", "views_degraded", "degraded_views-seed0"]
    assert study.chosen(jobs, [], sweep.stand_on) == jobs


def test_a_classifier_has_two_classes_on_the_target_too(sweep):
    config = sweep.base("views", "walkers")
    sweep.narrow(config, sweep.TARGET, "walkers")
    assert config.data.p == 2


def test_accuracy_of_views(sweep):
    views = np.array(["000", "000", "090", "090", "180", "054"])
    frontal = np.array([True, False, False, False, True, True])
    assert sweep.accuracy(frontal, views) == {
        **{"000": 50.0, "054": 0.0, "090": 100.0, "180": 100.0},
        "balanced": 62.5,  # of 75 and 50
    }


def test_distances_of_clothes(look):
    people = ["a", "a", "a", "a", "b", "b"]
    index = Index(
        subject=np.array(people),
        condition=np.array(["nm-01", "nm-02", "bg-01", "cl-01", "nm-01", "nm-01"]),
        view=np.array(["000"] * 5 + ["090"]),
        take=np.array(["0"] * 6),
        num_frames=np.ones(6, np.int32),
    )
    degrees = np.array([0, 0, 60, 90, 180, 0])
    x = np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], 1)
    moved = np.deg2rad([30, 30, 180, 0])  # the usual walks, of the augmentation
    y = np.stack([np.cos(moved), np.sin(moved)], 1)
    found = look.distances(x, y, index)
    # Of b, seen from the other side, there is nobody to compare with.
    aug = 1 - np.cos(np.pi / 6)
    expected = {"augmented": aug / 2, "again": 0.0, "bg": 0.5, "cl": 1.0}
    expected |= {"cl_from_augmented": 0.5, "stranger": 2.0}
    # From (1, 0) to (cos 30, 1/2), and to (0, 1).
    expected["towards_cl"] = (1 - np.cos(np.pi / 6) + 0.5) / np.sqrt(
        2 * (aug**2 + 0.25)
    )
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-9)
    assert set(found) == set(expected)


def test_right_is_what_most_of_a_cluster_are(look):
    labels = np.array([0, 0, 0, 1, -1, 1, 1])
    subject = np.array(["a", "a", "b", "b", "b", "b", "c"])
    found = look.rightly(labels, subject)
    assert found.tolist() == [True, True, False, True, False, True, False]


def test_always_in_other_clothes(look):
    frames = np.zeros((2, 64, 44), np.uint8)
    frames[:, 10:60, 12:32] = 255
    drawn = [look.dressed(np.random.default_rng(i), frames, 0) for i in range(5)]
    assert all((one != frames).any() for one in drawn)
    again = look.dressed(np.random.default_rng(0), frames, 0)
    np.testing.assert_array_equal(again, drawn[0])
    other = look.dressed(np.random.default_rng(0), frames, 1)
    assert (other != drawn[0]).any()


def test_what_is_kept_of_results(sweep, tmp_path):
    pair = {"protocol": "casia_b", "views": ["000", "090"]}
    results = {
        "view_pairs": [
            {**pair, "condition": "NM", "cells": [[None, 50.0], [20.0, None]]},
            {**pair, "condition": "CL", "cells": [[None, 4.0], [2.0, None]]},
            {**pair, "protocol": "x", "condition": "NM", "cells": [[1.0, 1.0]] * 2},
        ]
    }
    assert sweep.views(results) == {
        "NM": {"000": 50.0, "090": 20.0},
        "CL": {"000": 4.0, "090": 2.0},
    }
    log = MetricsLog(tmp_path, start=0, tensorboard=False)
    log.write(0, {"labels/nmi": 0.51239, "labels/clusters": 9.0})
    log.write(20, {"loss": 1.0})
    log.write(60, {"labels/nmi": 0.75, "labels/clusters": 11.0})
    assert sweep.rounds(tmp_path) == {
        "nmi": [[0, 0.5124], [60, 0.75]],
        "clusters": [[0, 9.0], [60, 11.0]],
    }


def make_record(tables, name, first, rounds=None, **changed):
    """A run of jobs.py: Rank-1 is `first`, 10 and 20 less with bags and clothes."""
    job = next(job for job in tables.jobs() if job.name == name)
    ranks = dict(zip(tables.CONDITIONS, (first, first - 10, first - 20), strict=True))
    changes, start, views = tables.asked(job)
    return {
        **{"name": name, "study": job.study, "row": job.row, "seed": job.seed},
        **{"variant": "walkers", "changes": changes, "start": start},
        **{"views_of": views, "steps": 480, "cpu_seconds": 1800, "load": 2.0},
        "machine": {"machine": "x86_64", "devices": "1 x cpu"},
        "scores": {
            **{f"casia_b {key}/rank-1": value for key, value in ranks.items()},
            # Another protocol, whose conditions have the same names.
            "casia_b_all_views NM/rank-1": 99.0,
        },
        "views": {
            key: {"000": value - 6, "090": value + 2, "180": value - 8}
            for key, value in ranks.items()
        },
        "rounds": {} if rounds is None else {"nmi": rounds, "clusters": [[0, 9.0]]},
        "accuracy": {},
        "wear": {},
        **changed,
    }


@pytest.fixture
def records(tables):
    """Rows of three, two and one seeds, out of order."""

    def one(*args, **changed):
        return make_record(tables, *args, **changed)

    worn = dict.fromkeys((*tables.WEAR, "towards_cl"), 0.5)
    told = {"000": 90.0, "090": 100.0, "balanced": 95.0}
    return [
        one("pretraining", 30.0, wear=worn | {"bg": 0.25}),
        one("views", 0.0, scores={}, views={}, accuracy=told, steps=150),
        one("both-seed2", 64.0, [[0, 0.5], [60, 0.9]]),
        one("both-seed0", 60.0, [[0, 0.3], [60, 0.7]], wear=worn),
        one("both-seed1", 62.0, [[0, 0.4]]),
        one("baseline-seed1", 63.0),
        one("baseline-seed0", 55.0),
        one("support_3-seed0", 57.0, [[0, 0.2], [60, 0.6]]),
        one("neighbours_40-seed0", 50.0),
        one("both_fast-seed0", 30.0),
    ]


def section(tables, records, title):
    """{first cell: {head: cell}} of a section's table."""
    text = "\n".join(tables.everything(records))
    body = text.split(f"### {title}", 1)[1].split("\n### ", 1)[0]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    split = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert len({len(cells) for cells in split}) == 1  # as many cells as heads
    head, *rows = split
    return {cells[0]: dict(zip(head, cells, strict=True)) for cells in rows}


def test_main_rows(tables, records):
    found = section(tables, records, "Main rows")
    assert list(found) == ["`pretraining`", "`both`", "`baseline`"]
    row = found["`both`"]
    assert (row["seeds"], row["NM"], row["CL"]) == ("3", "62.0 ± 2.0", "42.0 ± 2.0")
    assert found["`pretraining`"]["BG"] == "20.0"
    change = section(tables, records, "Rank-1 against `baseline`")
    assert list(change) == ["`both`"]
    assert change["`both`"]["CL"] == "+2.0 ± 4.2, 1 of 2"


def test_main_rows_at_another_rate(tables, records):
    found = section(tables, records, "The same at a learning rate of 0.0003")
    assert list(found) == ["`both_fast`"]
    assert found["`both_fast`"]["CL"] == "10.0"
    assert found["`both_fast`"]["CL, difference"] == "-30.0 (1 seed)"


def test_clothes(tables, records):
    found = section(tables, records, "Clothes")
    assert list(found) == ["`pretraining`", "`both`"]
    assert found["`pretraining`"]["bag"] == "0.250"
    assert found["`both`"]["coat"] == found["`both`"]["direction"] == "0.500"


def test_views(tables, records):
    found = section(tables, records, "Front and back")["`both`"]
    assert found["NM, front, back"] == "55.0 ± 2.0"
    assert found["CL, other"] == "44.0 ± 2.0"
    assert (
        section(tables, records, "By the probe's view: BG")["`both`"]["180°"] == "44.0"
    )
    told = section(tables, records, "Classifiers of views")
    assert list(told) == ["`views`"]
    assert (told["`views`"]["balanced"], told["`views`"]["180°"]) == ("95.0", "n/a")


def test_quality_of_rounds_that_all_seeds_have(tables, records):
    assert tables.curve(records, "both", "nmi") == [(0, pytest.approx(0.4))]
    two = [one for one in records if one["name"] != "both-seed1"]
    assert section(tables, two, "Clusters and people")["`both`"]["nmi"] == "0.4 → 0.8"


def test_one_seed_rows_are_beside_what_they_change(tables, records):
    found = section(tables, records, "Support (1 seed)")
    assert [found[row]["CL"] for row in ("`both`", "`support_3`")] == ["40.0", "37.0"]
    assert found["`support_3`"]["last NMI"] == "0.6"
    found = section(tables, records, "Neighbours (1 seed)")
    assert list(found) == ["`baseline`", "`neighbours_40`"]
    assert found["`baseline`"]["last clusters"] == "n/a"


def test_what_is_missing_is_named(tables, records):
    text = "\n".join(tables.everything(records))
    left = text.split("### Not run yet")[1]
    done = {record["name"] for record in records}
    for job in tables.jobs():
        assert (f"`{job.name}`" in left) == (job.name not in done)
    assert "Not what jobs.py has" not in text
    changed = make_record(tables, "scf-seed0", 1.0, start="elsewhere")
    text = "\n".join(tables.everything([*records, changed]))
    assert "**Not what jobs.py has under these names now**: `scf-seed0`." in text


def test_plots_show_what_there_is(tables, records):
    figures = dict(tables.plots(records))
    assert list(figures) == ["main", "rounds", "views", "singles"]
    for figure in figures.values():
        figure.draw_without_rendering()
    dots = [x.get_offsets()[:, 0].tolist() for x in figures["main"].axes[2].collections]
    assert dots == [[10.0], [40.0, 42.0, 44.0], [35.0, 43.0]]
    dots = [x.get_offsets().tolist() for x in figures["singles"].axes[0].collections]
    assert dots == [[[-3.0, 0.0]], [[-5.0, 1.0]]]


def test_command_line(tables, records, tmp_path, monkeypatch, capsys):
    path = tmp_path / "results_tiny.json"
    monkeypatch.setattr(sys, "argv", ["tables.py", "--results", str(path)])
    with pytest.raises(SystemExit, match=r"no finished run in .*; run .*sweep\.py"):
        tables.main()
    path.write_text(json.dumps(records))
    tables.main()
    assert "62.0 ± 2.0" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*_tiny.png"))) == 4
