"""The share of a round, of seconds that are given; and a step of the recipe."""

import numpy as np

from configs import casia_bn_selective_fusion
from gaitjax.bench import cluster, rounds

NUM, DIMS = 400, 256


def test_share_of_a_round(monkeypatch):
    """Neighbours, clusters and memory 3 s each, half a step 3 s: 9 of 609."""
    calls = []

    def interleaved(fns, times):
        fns["half a step"]()
        return {name: [3.0] * times for name in fns}

    def a_step(config):
        return lambda: calls.append(config), "half a step"

    monkeypatch.setattr(rounds, "interleaved", interleaved)
    monkeypatch.setattr(rounds, "a_step", a_step)
    found = {row.what: row for row in rounds.rows(NUM, DIMS, {"a": "config"}, 2, 3)}
    label = f"a round of {NUM} x {DIMS}"
    share = found[f"{label}: all but its steps, with dbscan"]
    np.testing.assert_allclose(share.median, 100 * 9 / 609)
    assert found[f"{label}: its {cluster.ROUND} steps"].median == 600
    assert calls == [{"a": "config"}]
    assert f"{label}: updates" not in found


def test_a_step_of_the_recipe():
    config = casia_bn_selective_fusion.get_config("tiny").to_dict()
    config["data"].update(p=2, k=2, frames=2)
    step, name = rounds.a_step(config)
    assert name == "a step of 4 x 2 frames, float32"
    step()
