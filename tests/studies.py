"""Loads the files of experiments/, which are scripts beside one another."""

import importlib
import pathlib
import sys
import types

import pytest

NAMES = ("jobs", "look", "sweep", "tables")
EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"


def load(study: str, name: str) -> types.ModuleType:
    """`name`.py of a study; what it imports from beside itself is its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXPERIMENTS / study))
        for one in NAMES:
            patch.delitem(sys.modules, one, raising=False)
        module = importlib.import_module(name)
        for one in NAMES:  # those of another study have the same names
            sys.modules.pop(one, None)
    return module
