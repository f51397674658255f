"""From embeddings to the files of a run, with a network that was not trained."""

import json

import numpy as np
import pytest
from helpers.pages import read

from gaitjax import evaluate, train
from gaitjax.run import open_run


@pytest.fixture
def run(tiny_config, tmp_path):
    opened = open_run(tiny_config, tmp_path / "run", num_devices=1)
    yield opened
    opened.checkpoints.close()


def test_the_files_of_an_unfinished_run(run):
    state = run.init_fn()
    state = state.replace(step=np.int32(5))
    (run.workdir / "finished").touch()
    evaluate.write_results(run, state, evaluate.evaluate_state(run, state))
    assert not (run.workdir / "finished").exists()
    results = json.loads((run.workdir / "results.json").read_text())
    about = results["run"]
    assert (about["step"], about["steps"], about["dataset"]) == (5, 8, "walkers")
    rank_1 = {
        r["condition"]: r["value"] for r in results["rows"] if "-1" in r["metric"]
    }
    first = {one["condition"]: one["curve"][0] for one in results["cmc"]}
    assert first == pytest.approx({k: rank_1[k] for k in first}, abs=1e-3)

    page = read(run.workdir / "report.html")
    assert "Unfinished: step 5 of 8" in page.text
    for text in ("Embeddings on a plane", "Grad-CAM: bright", "random · "):
        assert text in page.text
    assert "No Grad-CAM" not in page.text
    assert (run.workdir / "report.html").stat().st_size < 4 << 20


def test_a_run_without_a_report_is_finished_without_it(tiny_config, tmp_path):
    tiny_config["eval"]["report"] = False
    run = open_run(tiny_config, tmp_path / "run", num_devices=1)
    state = run.init_fn()
    state = state.replace(step=np.int32(run.options.steps))
    evaluate.write_results(run, state, evaluate.evaluate_state(run, state))
    run.checkpoints.close()
    assert (run.workdir / "results.json").exists()
    assert not (run.workdir / "report.html").exists()
    assert train.is_finished(run)
    (run.workdir / "results.csv").unlink()
    assert not train.is_finished(run)


def test_a_whole_run_is_not_called_unfinished(run):
    assert evaluate.unfinished(run, 8) == ""
    assert evaluate.unfinished(run, 3) == "step 3 of 8"
