"""Every twin, tiny, from its people to its report, with one small network."""

import json

import pytest

from configs import sustech1k_crossmodal, walkers
from gaitjax.data.builders.twins import twins
from gaitjax.retrieval import protocols
from gaitjax.train import train


# The tiny configs of CI are on six of the eight.
@pytest.mark.slow
@pytest.mark.parametrize("name", twins())
def test_trained_evaluated_reported(name, tmp_path, data_dir):
    crossed = "ranges" in twins()[name].modalities
    config = (sustech1k_crossmodal if crossed else walkers).get_config("tiny")
    config.data.name = name
    config.data.args.update(num_test=8, frames=4, processes=1)
    config.data.frames = 3
    config.train.steps = 2
    config.log.tensorboard = False
    train(config.to_dict(), tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {row["protocol"] for row in rows} == {
        protocol.name for protocol in protocols.for_dataset(name)
    }
    pairs = {(row["probe"], row["gallery"]) for row in rows}
    assert len(pairs) == (4 if crossed else 1)
    assert all(0 <= row["value"] <= 100 for row in rows)
    assert "Simulated data" in (tmp_path / "report.html").read_text()
