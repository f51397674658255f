"""The benchmarks of retrieval measure what they say."""

import importlib.util

import numpy as np
import pytest

from gaitjax.bench import rerank, topk
from gaitjax.ops import distance


def test_all_searchers_find_the_same():
    probe, gallery = rerank.people(5, 2, 8, 0), rerank.people(40, 2, 8, 1)
    found = {name: fn() for name, fn in topk.searchers(probe, gallery).items()}
    np.testing.assert_array_equal(found["gaitjax"], found["numpy"])
    one = [x[:, :1] for x in (probe, gallery)]
    for name, fn in topk.searchers(*one).items():
        np.testing.assert_array_equal(fn(), topk.by_numpy(*one), name)


def test_parts_of_a_search_make_the_whole():
    probe, gallery = rerank.people(5, 2, 8, 0), rerank.people(40, 2, 8, 1)
    calls = topk.ours(probe, gallery, 2)
    found = {name.removeprefix("gaitjax "): fn() for name, fn in calls.items()}
    np.testing.assert_allclose(
        found["matmul"], np.einsum("qpd,gpd->qg", probe, gallery), rtol=1e-5, atol=1e-4
    )
    np.testing.assert_array_equal(
        found["distances"], distance.distances(probe, gallery)
    )
    wanted = topk.by_numpy(probe, gallery)
    for name in ("selection", "topk", "exact_topk"):
        np.testing.assert_array_equal(found[name][1], wanted, name)


def test_torch_searches_for_the_same():
    pytest.importorskip("torch")
    twin = pytest.importorskip("gaitjax.bench.torch_topk")
    import torch

    probe, gallery = rerank.people(5, 2, 8, 0), rerank.people(40, 2, 8, 1)
    x, y = (torch.from_numpy(z).transpose(0, 1) for z in (probe, gallery))
    far = distance.distances(probe, gallery)
    for search in (twin.nearest, twin.nearest_by_part):
        near, place = search(x, y, topk.K)
        np.testing.assert_array_equal(place, topk.by_numpy(probe, gallery))
        np.testing.assert_allclose(
            near, np.take_along_axis(np.asarray(far), place.numpy(), 1), rtol=1e-5
        )
    assert set(topk.theirs(probe, gallery, 1)) == {*topk.THEIRS, *topk.PARTS}


def test_rows_on_the_device_with_torch_and_without(monkeypatch):
    took = {name: [0.1, 0.2] for name in topk.OURS}
    full = took | {name: [0.6, 0.6] for name in (*topk.PARTS, *topk.THEIRS)}
    rows = {row.what: row for row in topk.on_device("x", full)}
    ratio = rows["x: torch / gaitjax topk"]
    assert (ratio.least, ratio.most) == (pytest.approx(3), pytest.approx(6))
    assert rows["x: torch matmul"].median == 600
    without = {row.what: row for row in topk.on_device("x", took)}
    assert list(without) == list(rows)
    assert without["x: torch selection"].median is None
    assert without["x: torch, part by part / gaitjax exact_topk"].median is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert topk.theirs(np.ones((1, 1, 1)), np.ones((1, 1, 1)), 1) == {}


def test_rows_have_times_and_ratios():
    probe, gallery = rerank.people(4, 2, 8, 0), rerank.people(24, 2, 8, 1)
    methods = rerank.methods(probe, gallery)
    shapes = {name: fn().shape for name, fn in methods.items()}
    assert shapes == {
        "base top-10": (4, 10),
        "cargait": (4, 10),
        "lbr": (4, 24),
        "k-reciprocal": (4, 24),
        "gcr": (4, 24),
    }
    took = {name: [0.2, 0.4] for name in methods} | {"gcr": [0.8, 0.8]}
    rows = {row.what: row for row in rerank.rows(took, 4, "x")}
    assert rows["x: cargait"].median == 75.0  # 0.3 s for 4 probes, in ms
    assert (rows["x: gcr / cargait"].least, rows["x: gcr / cargait"].most) == (2, 4)
