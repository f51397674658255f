"""What the study of Mesh-Gait is about to train, and what it looks at afterwards."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import studies

from gaitjax.methods import api
from gaitjax.run import check_config
from gaitjax.runtime.metrics_log import MetricsLog

RUNS = pathlib.Path("runs")
SHAPES = {"sils": (64, 44), "joints": (24, 3), "markers": (64, 3), "vertices": (9, 3)}


@pytest.fixture(scope="module")
def sweep():
    return studies.load("meshgait", "sweep")


@pytest.fixture(scope="module")
def look():
    return studies.load("meshgait", "look")


@pytest.mark.parametrize("variant", ["walkers", "tiny"])
def test_every_job_is_one_that_can_run(sweep, variant):
    found = sweep.jobs()
    assert len({job.name for job in found}) == len(found)
    for job in found:
        config = sweep.recipe(job, RUNS, variant).to_dict()
        check_config(config)
        api.make("meshgait", api.Info(2, SHAPES), config["method_args"])
        data = config["data"]
        assert data["name"] == f"walkers_{job.twin}"
        assert set(SHAPES) == set(data["args"]["modalities"])
        frames, steps = data["p"] * data["k"] * data["frames"], config["train"]["steps"]
        assert config["train"]["seed"] == job.seed
        third = 3 if job.study == "brief" else 1
        if variant == "walkers":
            assert frames == studies.load("meshgait", "jobs").FRAMES / third
            assert steps == sweep.STEPS / third
        else:
            assert frames <= 32 and steps == 4


def test_what_comes_first_is_listed_first(sweep):
    names = [(job.row, job.seed) for job in sweep.jobs()]
    found = [job for job in sweep.jobs() if job.start]
    assert [job.start for job in found] == ["gait3d_3d", "gait3d_bodies"]
    for job in found:
        assert names.index((job.start, 0)) < names.index((job.row, 0))
        config = sweep.recipe(job, RUNS, "walkers")
        assert config.train.init_from == f"runs/{job.start}-seed0"
        first = config.train.init_config
        assert first.data.name == "walkers_gait3d" and first.method_args.fusion == "3d"
        assert first.method_args.joint_weight == 100
        assert first.method_args.ce_weight == (job.start == "gait3d_3d")
        assert config.method_args.joint_weight == 0
        assert config.data.name == "walkers_oumvlp"


def test_weights_are_a_tenth_and_ten_times(sweep):
    rows = {job.row: job for job in sweep.jobs() if job.study == "weights"}
    usual = {"joint": 100, "marker": 100, "mesh": 10, "triplet": 1, "ce": 1}
    together = rows.pop("labels_x0.1").changes
    assert together == {
        f"method_args.{name}_weight": usual[name] / 10
        for name in ("joint", "marker", "mesh")
    }
    assert len(rows) == 10
    for name, value in usual.items():
        for factor in (0.1, 10):
            ((key, got),) = rows[f"{name}_x{factor:g}"].changes.items()
            assert key == f"method_args.{name}_weight"
            assert got == pytest.approx(factor * value)


def test_spoilt_silhouettes(look):
    rng = np.random.default_rng(0)
    sils = np.full((50, 64, 64), 255, np.uint8)
    spoilt = look.noise(rng, sils, 0.1)
    assert set(np.unique(spoilt)) == {0, 255}
    assert (spoilt == 0).mean() == pytest.approx(0.1, abs=0.003)  # 205,000 pixels
    tops = set()
    for _ in range(20):
        hidden = look.occlusion(rng, sils, 0.25) == 0
        assert (hidden == hidden[:1]).all()  # the same band in all frames
        rows = np.flatnonzero(hidden[0].all(1))
        assert len(rows) == 16 == np.ptp(rows) + 1 and hidden.mean() == 0.25
        tops.add(int(rows[0]))
    assert len(tops) > 5
    assert (sils == 255).all()  # a copy was spoilt


def test_distances_leave_out_frames_without_labels(look):
    found = jnp.zeros((2, 3, 2, 3))
    wanted = np.zeros((2, 3, 2, 3), np.float32)
    wanted[0, 0] = [3, 4, 0]  # 5 away
    wanted[0, 1] = [0, 0, 1]
    wanted[0, 2] = 100.0  # padding
    wanted[1, 0, 1] = np.nan
    wanted[1, 1, 0] = [0, 6, 8]  # one point 10 away, the other 0
    wanted[1, 2] = np.nan
    mask = np.float32([[1, 1, 0], [1, 1, 1]])
    apart = look.apart(found, wanted, mask)
    np.testing.assert_allclose(apart, [3.0, 5.0], rtol=1e-6)


def test_what_is_kept_of_results(sweep, tmp_path):
    row = {"condition": "NM", "metric": "rank-1"}
    results = {
        "rows": [
            {**row, "protocol": "oumvlp", "value": 61.23456},
            {**row, "protocol": "oumvlp_all_views", "value": 80.0},
            {**row, "protocol": "oumvlp", "metric": "mINP", "value": 1.0},
        ],
        "view_pairs": [
            {"views": ["000", "090"], "cells": [[None, 50.0], [20.0, None]]},
            {"views": ["000"], "cells": [[1.0]]},
        ],
    }
    assert sweep.scores(results) == {
        "oumvlp NM/rank-1": 61.235,
        "oumvlp_all_views NM/rank-1": 80.0,
    }
    assert sweep.views(results) == {"000": 50.0, "090": 20.0}
    assert sweep.views({"view_pairs": []}) == {}
    log = MetricsLog(tmp_path, start=0, tensorboard=False)
    log.write(25, {"joints/error_mm": 90.123, "loss": 1.0})
    log.write(50, {"joints/error_mm": 80.0, "NM/rank-1": 10.0, "NM/rank-5": 30.0})
    assert sweep.training(tmp_path) == {
        "joints/error_mm": [[25, 90.12], [50, 80.0]],
        "NM/rank-1": [[50, 10.0]],
    }
