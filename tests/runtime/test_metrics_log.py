"""Logs survive crashes and resumes; collapse and bad losses are noticed."""

import numpy as np

from gaitjax.runtime.metrics_log import CollapseWatch, MetricsLog, non_finite, read


def test_lines_of_undone_steps_are_dropped(tmp_path):
    log = MetricsLog(tmp_path, start=0, tensorboard=False)
    for step in (2, 4, 6):
        log.write(step, {"loss": np.float32(step)})
    with log.path.open("a") as file:
        file.write('{"step": 8, "lo')  # the process was killed here
    again = MetricsLog(tmp_path, start=4, tensorboard=False)
    again.write(6, {"loss": 0.5})
    assert [(x["step"], x["loss"]) for x in read(again.path)] == [
        (2, 2.0),
        (4, 4.0),
        (6, 0.5),
    ]


def test_tensorboard_events_are_written(tmp_path):
    log = MetricsLog(tmp_path, start=0)
    log.write(1, {"loss": 1.0})
    log.close()
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"loss" in events.read_bytes()


def test_the_guilty_term_is_named_before_the_sum():
    values = {"loss": np.nan, "triplet/loss": 0.3, "ce/loss": np.inf, "grad_norm": 1.0}
    assert non_finite(values) == ["ce/loss"]
    assert non_finite({"loss": 1.0, "grad_norm": np.nan}) == ["grad_norm"]
    assert non_finite({"loss": 1.0}) == []


def test_collapse_is_said_once_and_only_when_it_lasts():
    watch = CollapseWatch(patience=3)
    collapsed, fine = {"triplet/mean_dist": 1e-5}, {"triplet/mean_dist": 0.4}
    said = [watch.warning(x) for x in (collapsed, collapsed, fine, *[collapsed] * 5)]
    assert [bool(x) for x in said] == [False] * 5 + [True] + [False] * 2
    assert said[5].startswith("collapsed triplet: ")
    assert watch.warning({"ce/loss": 1.0}) is None
