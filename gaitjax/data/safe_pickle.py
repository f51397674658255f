"""Reads pickles of arrays, and nothing else: a pickle can hold any code.

The pickles of gait data sets come from strangers. What is allowed here is numpy
arrays and plain containers; anything else is refused before it runs.
"""

from __future__ import annotations

import codecs
import pathlib
import pickle
from typing import Any

import numpy as np

from gaitjax.errors import GaitError


def load(path: pathlib.Path) -> Any:
    """The content of a pickle: an array, or lists and dicts of arrays and numbers.

    Raises GaitError, naming the file, for code, for anything that is not an array,
    and for a file that ends too early.
    """
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file).load()
    except (EOFError, pickle.UnpicklingError, ValueError, IndexError) as error:
        raise GaitError(
            f"cannot read {path}: {str(error) or 'it is empty'} "
            f"({path.stat().st_size} bytes; an interrupted copy?); copy it again"
        ) from error
    except _Refused as error:
        raise GaitError(
            f"refusing {path}: it holds {error}, expected numpy arrays in plain lists"
        ) from error


class _Refused(Exception):
    """The name of what a pickle wanted to import."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        rebuild = np._core.multiarray
        allowed = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("multiarray", "_reconstruct"): rebuild._reconstruct,
            ("multiarray", "scalar"): rebuild.scalar,
            ("numeric", "_frombuffer"): np._core.numeric._frombuffer,
            ("_codecs", "encode"): codecs.encode,  # bytes in protocol 2
        }
        # numpy 1 wrote numpy.core, numpy 2 writes numpy._core.
        for prefix in ("numpy.core.", "numpy._core."):
            module = module.removeprefix(prefix)
        if (module, name) not in allowed:
            raise _Refused(f"{module}.{name}")
        return allowed[module, name]
