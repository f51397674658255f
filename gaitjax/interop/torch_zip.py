"""Reads what `torch.save` wrote, without torch and without running what is in it.

The file is a zip: `<name>/data.pkl` is a pickle whose tensors refer to storages,
`<name>/data/<key>`, which hold plain numbers. The pickle may hold tensors, ordered
dicts, counters and plain values; anything else is refused before it is imported.
Storages are read one by one, when asked for: an optimiser's state costs nothing.
"""

from __future__ import annotations

import codecs
import collections
import dataclasses
import io
import math
import os
import pathlib
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from gaitjax.errors import GaitError


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage: element [i, j, ...] is at offset + i stride[0] + ..."""

    storage: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class TorchFile:
    """A file that is open for reading. content: its object, with `Tensor`s in it."""

    def __init__(self, path: str | os.PathLike):
        """Raises GaitError, naming the file, for all that is not such a file."""
        self.path = pathlib.Path(path)
        self._check_form()
        try:
            self._zip = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise self._cut_short("it has no end") from error
        names = [name for name in self._zip.namelist() if name.endswith("data.pkl")]
        if len(names) != 1:
            raise GaitError(
                f"{self.path} is a zip without data.pkl; expected what torch.save wrote"
            )
        self._prefix = names[0].removesuffix("data.pkl")
        self._order = "<"
        if f"{self._prefix}byteorder" in self._zip.namelist():
            big = self._read("byteorder").strip() == b"big"
            self._order = ">" if big else "<"
        self.content = self._unpickle(self._read("data.pkl"))

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def array(self, tensor: Tensor) -> np.ndarray:
        """The numbers of a tensor, in native byte order; bfloat16 as float32."""
        size = tensor.dtype.itemsize
        if not math.prod(tensor.shape):
            return np.zeros(tensor.shape, tensor.dtype.newbyteorder("="))
        data = self._read(f"data/{tensor.storage}")
        data = np.frombuffer(data[: len(data) // size * size], tensor.dtype)
        last = tensor.offset + sum(
            (length - 1) * step
            for length, step in zip(tensor.shape, tensor.stride, strict=True)
        )
        if last >= len(data):
            raise self._cut_short(
                f"storage {tensor.storage} is smaller than its tensor"
            )
        view = np.lib.stride_tricks.as_strided(
            data[tensor.offset :],
            tensor.shape,
            [step * size for step in tensor.stride],
        )
        if tensor.dtype == ml_dtypes.bfloat16:
            return view.astype(np.float32)
        return view.astype(view.dtype.newbyteorder("="))  # a copy in C order

    def _check_form(self) -> None:
        with self.path.open("rb") as file:
            start = file.read(4)
        if start == b"PK\x03\x04":
            return
        if start[:1] == b"\x80":  # a pickle's first byte
            raise GaitError(
                f"{self.path} is in torch's old format (not a zip); re-save it where "
                'torch is: python -c "import torch; torch.save(torch.load('
                f"'{self.path.name}', map_location='cpu', weights_only=True), "
                "'new.pt')\""
            )
        raise GaitError(
            f"{self.path} begins with {start!r}; expected a file that torch.save wrote"
        )

    def _read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._prefix + name)
        except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise self._cut_short(f"{name} is damaged or missing") from error

    def _unpickle(self, data: bytes) -> Any:
        try:
            return _Restricted(io.BytesIO(data), self._order).load()
        except _Refused as error:
            raise GaitError(
                f"refusing {self.path}: it holds {error}, expected tensors in plain "
                "containers; save model.state_dict() instead of objects"
            ) from error
        except Exception as error:  # a pickle may misuse what is allowed in any way
            reason = f"{type(error).__name__}: {error}"
            raise GaitError(
                f"cannot read {self.path}: {reason}; copy it again, or save "
                "model.state_dict() anew"
            ) from error

    def _cut_short(self, what: str) -> GaitError:
        return GaitError(
            f"cannot read {self.path}: {what} ({self.path.stat().st_size} bytes; an "
            "interrupted copy?); copy it again"
        )


def read_state_dict(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], int]:
    """{key: array} of a checkpoint and its iteration (0 where it has none).

    The file holds a state dict, or OpenGait's {"model": state dict, "iteration": n,
    ...}. Prefixes `module.` (of data-parallel wrappers) are taken off.
    """
    with TorchFile(path) as file:
        state, iteration = file.content, 0
        if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
            iteration = state.get("iteration", 0)
            state = state["model"]
        if not isinstance(state, Mapping) or not state:
            raise GaitError(
                f"{path} holds {type(state).__name__}, expected a state dict or "
                '{"model": state dict}; save model.state_dict()'
            )
        others = [key for key, x in state.items() if not isinstance(x, Tensor)]
        if others:
            raise GaitError(
                f"{path}: {', '.join(map(str, others[:6]))} are no tensors; expected a "
                "state dict; save model.state_dict()"
            )
        arrays = {str(key): file.array(x) for key, x in state.items()}
    if all(key.startswith("module.") for key in arrays):
        arrays = {key.removeprefix("module."): x for key, x in arrays.items()}
    return arrays, int(iteration) if isinstance(iteration, int | float) else 0


class _Refused(Exception):
    """The name of what a pickle wanted to import."""


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype


class _Restricted(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, order: str):
        super().__init__(file)
        self._dtypes = _dtypes(order)

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in self._dtypes:
            return self._dtypes[name]
        allowed = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("collections", "Counter"): collections.Counter,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): tuple,
            # Learning rates of schedulers may be numpy's numbers.
            ("numpy.core.multiarray", "scalar"): np._core.multiarray.scalar,
            ("numpy._core.multiarray", "scalar"): np._core.multiarray.scalar,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): codecs.encode,
        }
        if (module, name) not in allowed:
            raise _Refused(f"{module}.{name}")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise _Refused(f"{kind} {dtype}")
        return _Storage(str(key), dtype)


def _dtypes(order: str) -> dict[str, np.dtype]:
    """What a storage class holds, in the file's byte order."""
    codes = {
        "FloatStorage": "f4",
        "DoubleStorage": "f8",
        "HalfStorage": "f2",
        "LongStorage": "i8",
        "IntStorage": "i4",
        "ShortStorage": "i2",
        "CharStorage": "i1",
        "ByteStorage": "u1",
        "BoolStorage": "?",
    }
    dtypes = {name: np.dtype(order + code) for name, code in codes.items()}
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    return dtypes if order == ">" else {**dtypes, "BFloat16Storage": bfloat16}


def _tensor(
    storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any
) -> Tensor:
    """In place of torch's function of this name; hooks and gradients are left out."""
    if not isinstance(storage, _Storage):
        raise _Refused(f"a tensor of {type(storage).__name__}")
    numbers = (offset, *size, *stride)
    if not all(type(x) is int and x >= 0 for x in numbers) or len(size) != len(stride):
        raise _Refused(f"a tensor of size {size} and stride {stride}")
    return Tensor(storage.key, storage.dtype, offset, tuple(size), tuple(stride))


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data
