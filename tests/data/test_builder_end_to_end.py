"""Every layout: tree -> prepared -> trained a little -> evaluated by its protocol."""

import json

import pytest
from helpers import layouts as trees

from configs import sustech1k_crossmodal, walkers
from gaitjax.data.builders import common, layouts, opengait
from gaitjax.retrieval import protocols
from gaitjax.train import train

ALWAYS = "gait3d"  # has a partition file with probes, and two files per sequence
# Whose files the sequences of a set have.
CASES = {
    **{name: name for name in layouts.layouts()},
    "gait3d/sils+smpl": "gait3d",
    "sustech1k/native-sils": "sustech1k",
    "ccpg/sils+heatmaps": "skeleton",
    "folder/mine": "folder",
}
NAMES = [
    pytest.param(name, marks=() if name == ALWAYS else pytest.mark.slow)
    for name in CASES
]


@pytest.mark.parametrize("name", NAMES)
def test_prepared_trained_evaluated(name, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "in_processes", lambda fn, tasks, *_: map(fn, tasks))
    files, base = CASES[name], name.partition("/")[0]
    tree = trees.write_tree(tmp_path / "tree", base, files=files, num_test=4)
    builder = opengait.make_builder(tmp_path / "data", name, **tree)
    rows = opengait.prepare(builder)
    assert {row.status for row in rows} == {"kept"}
    crossed = set(builder.recipe.keys) == {"sils", "ranges"}
    config = (sustech1k_crossmodal if crossed else walkers).get_config("tiny")
    config.data.update(name=name, dir=str(tmp_path / "data"), p=2, k=2, frames=3)
    config.data.args = {}
    config.train.steps = 2
    config.log.tensorboard = False
    config.eval.lists = 1
    train(config.to_dict(), tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert {row["protocol"] for row in results} == {
        protocol.name for protocol in protocols.for_dataset(name)
    }
    assert len({(row["probe"], row["gallery"]) for row in results}) == 1 + 3 * crossed
    assert all(0 <= row["value"] <= 100 for row in results)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Simulated data" not in page  # nothing but the name tells what files hold
