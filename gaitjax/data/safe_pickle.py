"""Reads pickles of arrays, and nothing else: a pickle can hold any code.

The pickles of gait data sets come from strangers. What is allowed here is numpy
arrays and plain containers; anything else is refused before it runs.
"""

from __future__ import annotations

import codecs
import pathlib
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from gaitjax.errors import GaitError


class Held:
    """An object of a class that was not run: the class's name, and what it held."""

    kind = ""
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def load(path: pathlib.Path, held: Sequence[str] = ()) -> Any:
    """The content of a pickle: an array, or lists and dicts of arrays and numbers.

    held: packages whose objects come back as `Held`; their code does not run.
    Raises GaitError, naming the file, for code, for anything that is not an array,
    and for a file that ends too early.
    """
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, tuple(held)).load()
    except (
        EOFError,
        pickle.UnpicklingError,
        ValueError,
        IndexError,
        TypeError,
    ) as error:
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
    def __init__(self, file: Any, held: tuple[str, ...]):
        # Python 2 wrote the bytes of arrays as text; latin1 is every byte itself.
        super().__init__(file, encoding="latin1")
        self._held = held

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
        if self._held:
            allowed |= {
                # An object in protocols 0 and 1, by Python 2's name for it and 3's.
                ("copy_reg", "_reconstructor"): _new_held,
                ("copyreg", "_reconstructor"): _new_held,
                ("__builtin__", "object"): object,
                ("builtins", "object"): object,
                ("__builtin__", "set"): set,
                ("builtins", "set"): set,
            }
        # numpy 1 wrote numpy.core, numpy 2 writes numpy._core.
        for prefix in ("numpy.core.", "numpy._core."):
            module = module.removeprefix(prefix)
        if (module, name) in allowed:
            return allowed[module, name]
        if any(f"{module}.".startswith(f"{package}.") for package in self._held):
            return type("Held", (Held,), {"kind": f"{module}.{name}"})
        raise _Refused(f"{module}.{name}")


def _new_held(kind: Any, base: Any, state: Any) -> Held:
    """What `copyreg._reconstructor` does, for `Held` only."""
    if not (isinstance(kind, type) and issubclass(kind, Held)):
        raise _Refused(f"an object of {kind}")
    return kind()
