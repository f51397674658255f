"""The benchmarks of retrieval measure what they say."""

import numpy as np

from gaitjax.bench import rerank, topk


def test_all_searchers_find_the_same():
    probe, gallery = rerank.people(5, 2, 8, 0), rerank.people(40, 2, 8, 1)
    found = {name: fn() for name, fn in topk.searchers(probe, gallery).items()}
    np.testing.assert_array_equal(found["gaitjax"], found["numpy"])
    one = [x[:, :1] for x in (probe, gallery)]
    for name, fn in topk.searchers(*one).items():
        np.testing.assert_array_equal(fn(), topk.by_numpy(*one), name)


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
