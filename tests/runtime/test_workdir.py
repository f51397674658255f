"""A workdir is one run's."""

import pathlib

import pytest

from gaitjax.errors import GaitError
from gaitjax.run import default_values
from gaitjax.runtime.workdir import check_same_run

HERE = pathlib.Path("runs/a")
SAVED = {"optim": {"lr": 0.1}, "method_args": {"inputs": ["sils"]}}


def test_an_argument_that_is_new_in_the_code_is_no_difference():
    defaults = {"method_args.downsample": 1, "method_args.inputs": ("sils",)}
    newer = {
        "optim": {"lr": 0.1},
        "method_args": {"inputs": ("sils",), "downsample": 1},
    }
    check_same_run(HERE, SAVED, newer, defaults=defaults)
    check_same_run(HERE, newer, SAVED, defaults=defaults)
    changed = {**newer, "method_args": {"inputs": ("sils",), "downsample": 2}}
    with pytest.raises(GaitError, match=r"downsample \(1 there, 2 here\)"):
        check_same_run(HERE, SAVED, changed, defaults=defaults)
    with pytest.raises(GaitError, match=r"downsample \(None there, 1 here\)"):
        check_same_run(HERE, SAVED, newer)


def test_defaults_are_those_of_the_code():
    known = default_values("diffcrossgait")
    assert known["method_args.centre"] is False
    assert known["train.ema"] is None and "method_args.dtype" not in known
