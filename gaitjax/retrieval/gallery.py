"""A gallery of people on disk: embeddings, never pictures, and whose they are.

A folder of three files: `embeddings.npy` f32[n,p,d], memory-mapped; `labels.json`, the
name and the sequence of every row; `about.json`, which network made the embeddings,
their shape and number, and the threshold beyond which somebody is unknown. What is
added goes to the end of the first; `about.json` is written last and says how many rows
count, so that an interrupted `add` leaves the gallery that was there. One process may
write at a time, any number read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from gaitjax import files
from gaitjax.arguments import at_least, finite
from gaitjax.errors import GaitError
from gaitjax.retrieval import streaming

EMBEDDINGS, LABELS, ABOUT = "embeddings.npy", "labels.json", "about.json"


@dataclasses.dataclass(frozen=True)
class Found:
    """Nearest first: names and sequences str[q,k], distances f32[q,k], rows i32[q,k].

    note: what was not done as asked, "" for nothing.
    """

    names: np.ndarray
    sequences: np.ndarray
    distances: np.ndarray
    rows: np.ndarray
    note: str = ""


@dataclasses.dataclass
class Gallery:
    """An open gallery; see `create` and `open`.

    about: what about.json holds: `network` (anything that tells one network and its
    preprocessing from others), `metric`, `shape` [p,d], `rows`, `threshold` or None.
    embeddings: f32[n,p,d], read from disk as it is needed.
    """

    folder: pathlib.Path
    about: dict[str, Any]
    names: list[str]
    sequences: list[str]
    embeddings: np.ndarray

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike,
        *,
        network: Mapping[str, Any],
        shape: Sequence[int],
        metric: str = "euclidean",
    ) -> Gallery:
        """A new, empty gallery of embeddings of this shape [p,d]; an empty folder."""
        folder = pathlib.Path(folder).expanduser()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise GaitError(f"{folder} is there already; choose another, or delete it")
        folder.mkdir(parents=True, exist_ok=True)
        about = {"network": dict(network), "metric": metric, "shape": list(shape)}
        about |= {"rows": 0, "threshold": None}
        with (folder / EMBEDDINGS).open("wb") as file:
            _write_header(file, 0, shape)
        files.write_json(folder / LABELS, {"names": [], "sequences": []})
        files.write_json(folder / ABOUT, about)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | os.PathLike) -> Gallery:
        """The gallery of a folder, for reading; damaged or cut short is a GaitError."""
        folder = pathlib.Path(folder).expanduser()
        if not (folder / ABOUT).is_file():
            raise GaitError(f"{folder} holds no gallery (no {ABOUT}); enrol somebody")
        about, labels = _read_json(folder / ABOUT), _read_json(folder / LABELS)
        try:
            rows, shape = int(about["rows"]), tuple(about["shape"])
            names, sequences = labels["names"][:rows], labels["sequences"][:rows]
            about["network"], about["metric"], about["threshold"]
        except (KeyError, TypeError, ValueError) as error:
            raise GaitError(
                f"{folder}: {ABOUT} or {LABELS} is not a gallery's ({error!r}); copy "
                "the folder again"
            ) from error
        if len(names) < rows or len(sequences) < rows:
            raise GaitError(
                f"{folder / LABELS} is cut short: expected {rows} names, got "
                f"{len(names)}; copy the folder again"
            )
        return cls(
            folder, about, names, sequences, _map(folder / EMBEDDINGS, rows, shape)
        )

    def __len__(self) -> int:
        return len(self.embeddings)

    def __bool__(self) -> bool:
        return True  # an empty one is a gallery, too

    def save(self) -> None:
        """Writes `about`, such as another threshold."""
        files.write_json(self.folder / ABOUT, self.about)

    def add(
        self,
        embeddings: np.ndarray,
        names: Sequence[str],
        sequences: Sequence[str] | None = None,
        *,
        network: Mapping[str, Any],
    ) -> None:
        """Appends f32[n,p,d], row i being of the person names[i], on disk at once.

        sequences: which recording each is of. Refused: embeddings of another network
        or shape, and numbers that are not finite.
        """
        self.check_network(network)
        embeddings = np.asarray(embeddings, np.float32)
        self._check_shape(embeddings)
        sequences = [""] * len(names) if sequences is None else list(sequences)
        if not len(names) == len(sequences) == len(embeddings):
            raise GaitError(
                f"a gallery wants a name and a sequence per embedding, got "
                f"{len(embeddings)} embeddings, {len(names)} names and "
                f"{len(sequences)} sequences; give as many"
            )
        finite("embeddings", embeddings, names, "checkpoint")
        rows = len(self) + len(embeddings)
        shape = self.about["shape"]
        with (self.folder / EMBEDDINGS).open("r+b") as file:
            start = _read_header(file, self.folder / EMBEDDINGS, shape)
            file.truncate(start + 4 * self.embeddings.size)  # of an interrupted `add`
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(embeddings, "<f4").tobytes())
            file.seek(0)
            _write_header(file, rows, shape)
            file.flush()
            os.fsync(file.fileno())
        self.names = [*self.names, *map(str, names)]
        self.sequences = [*self.sequences, *map(str, sequences)]
        labels = {"names": self.names, "sequences": self.sequences}
        files.write_json(self.folder / LABELS, labels)
        self.about = {**self.about, "rows": rows}
        self.save()
        self.embeddings = _map(self.folder / EMBEDDINGS, rows, tuple(shape))

    def search(
        self,
        probe: np.ndarray,
        k: int = 5,
        *,
        chunk: int | None = None,
        mesh: Mesh | None = None,
    ) -> Found:
        """The k nearest rows of every probe [q,p,d], exactly; ties: added first.

        k larger than the gallery is clamped, with a note. chunk, mesh: as in
        `streaming.search`; they do not change a bit of the answer.
        """
        at_least(1, k=k)
        if not len(self):
            raise GaitError(f"the gallery {self.folder} is empty; enrol somebody first")
        probe = np.asarray(probe, np.float32)
        self._check_shape(probe)
        probes = [f"probe {row}" for row in range(len(probe))]
        finite("embeddings", probe, probes, "checkpoint")
        note = ""
        if k > len(self):
            note = f"k = {k}, but the gallery has {len(self)} embeddings: all are shown"
            k = len(self)
        far, rows = streaming.search(
            probe,
            self.embeddings,
            k,
            metric=self.about["metric"],
            chunk=chunk,
            mesh=mesh,
        )
        names, sequences = np.array(self.names), np.array(self.sequences)
        return Found(names[rows], sequences[rows], far, rows, note)

    def check_network(self, network: Mapping[str, Any]) -> None:
        """GaitError, with what differs, where embeddings are of another network."""
        mine, theirs = self.about["network"], json.loads(json.dumps(dict(network)))
        keys = sorted(mine.keys() | theirs.keys())
        differs = [key for key in keys if mine.get(key) != theirs.get(key)]
        if differs:
            first = differs[0]
            raise GaitError(
                f"{self.folder} was made by another network: {', '.join(differs)} "
                f"differ ({first}: {mine.get(first)} there, {theirs.get(first)} here); "
                "take the run that it was made with, or make another gallery"
            )

    def _check_shape(self, embeddings: np.ndarray) -> None:
        shape = self.about["shape"]
        if embeddings.ndim != 3 or list(embeddings.shape[1:]) != shape:
            raise GaitError(
                f"{self.folder} holds embeddings [n, {shape[0]}, {shape[1]}], got "
                f"{list(embeddings.shape)}; embed with the network that made it"
            )


def _map(path: pathlib.Path, rows: int, shape: tuple[int, ...]) -> np.ndarray:
    """The first rows of the file, mapped read-only: f32[rows,p,d]."""
    try:
        with path.open("rb") as file:
            start = _read_header(file, path, shape)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise GaitError(f"cannot read {path}: {error.strerror}; copy it again") from (
            error
        )
    expected = start + 4 * rows * int(np.prod(shape))
    if size < expected:
        raise GaitError(
            f"{path} is cut short: expected {expected} bytes, got {size} (an "
            "interrupted copy?); copy it again, or enrol everybody anew"
        )
    if not rows:
        return np.empty((0, *shape), np.float32)
    return np.memmap(path, "<f4", "r", start, (rows, *shape))


def _read_header(file: Any, path: pathlib.Path, shape: Sequence[int]) -> int:
    """Where the numbers begin; GaitError where they are not f32[n, *shape]."""
    try:
        np.lib.format.read_magic(file)
        found, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        raise GaitError(f"{path} is damaged: {error}; copy it again") from error
    if list(found[1:]) != list(shape) or dtype != np.dtype("<f4") or by_columns:
        raise GaitError(
            f"{path}: expected float32 [n, {shape[0]}, {shape[1]}], got {dtype} "
            f"{list(found)}; copy the folder again"
        )
    return file.tell()


def _write_header(file: Any, rows: int, shape: Sequence[int]) -> None:
    """Of one length for any number of rows: numpy leaves room for it to grow."""
    about = {"shape": (rows, *shape), "fortran_order": False, "descr": "<f4"}
    np.lib.format.write_array_header_1_0(file, about)


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GaitError(f"cannot read {path}: {error}; copy it again") from error
