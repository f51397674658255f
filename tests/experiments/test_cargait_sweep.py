"""What the study of CarGait is about to train: every config is one that can run."""

import pathlib

import numpy as np
import pytest
import studies

from gaitjax.run import check_config

RUNS = pathlib.Path("runs")


@pytest.fixture(scope="module")
def sweep():
    return studies.load("cargait", "sweep")


@pytest.mark.parametrize("variant", ["walkers", "tiny"])
def test_every_row_of_every_job(sweep, variant):
    for job in sweep.jobs():
        longer = sweep.extra(job, RUNS, variant).to_dict()
        check_config(longer)
        assert longer["train"]["init_from"] == f"runs/{job.base}/base"
        for changes in job.rows.values():
            config = sweep.recipe(job, RUNS, variant, changes).to_dict()
            check_config(config)
            base = config["method_args"]["base"]
            assert base["workdir"] == longer["train"]["init_from"]
            assert base["config"]["method_args"]["backbone"] == job.backbone
            assert base["config"]["data"]["name"] == f"walkers_{job.twin}"
            assert base["config"]["train"]["seed"] == job.seed
            assert bool(config["eval"]["rivals"]) != job.ablation
            for one in (config, base["config"], longer):
                assert one["data"]["args"] == longer["data"]["args"]
                assert one["eval"]["distances"] == ("euclidean",)


def test_a_row_changes_what_it_says(sweep):
    (job,) = (job for job in sweep.jobs() if job.name == "gaitbase-gait3d-seed0")
    rows = next(one for one in sweep.jobs() if one.ablation).rows
    made = {row: sweep.recipe(job, RUNS, "walkers", rows[row]) for row in rows}
    assert made["binary"].method_args.scorer == "binary"
    assert made["v_40"].method_args.nearest == 40
    assert made["again_2"].train.seed == 2
    assert made["again_2"].method_args.base.config.train.seed == 0
    config = sweep.base_config(job, "walkers")
    assert (config.train.steps, config.data.args.body_spread) == (1200, 2.0)


def test_protocols_that_share_a_condition_are_told_apart(sweep, tmp_path):
    row = {"stage": "initial", "condition": "NM", "metric": "rank-1"}
    rows = [
        {**row, "protocol": "oumvlp", "value": 61.23456},
        {**row, "protocol": "oumvlp_all_views", "value": 80.0},
        {**row, "protocol": "oumvlp", "metric": "mINP", "value": 1.0},
    ]
    path = tmp_path / "results.json"
    path.write_text(sweep.json.dumps({"rows": rows}))
    assert sweep.scores(path) == {
        "oumvlp initial NM/rank-1": 61.235,
        "oumvlp_all_views initial NM/rank-1": 80.0,
    }


def test_matrices_are_kept_of_seed_0_alone(sweep, tmp_path):
    matrix = np.float32([[1.0, 0.25], [0.75, 0.5]])
    saved = dict.fromkeys(sweep.MATRICES, matrix)
    np.savez(tmp_path / "strips.npz", **saved, genuine_pairs=3, impostor_pairs=4)
    found = sweep.matrices(tmp_path, 1)
    assert found["genuine_after"] == {"equal": 0.75, "unlike": 0.5}
    assert found["genuine_pairs"] == 3
    assert sweep.matrices(tmp_path, 0)["genuine_after"]["matrix"] == matrix.tolist()
