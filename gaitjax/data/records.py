"""Opens a prepared set: its records (frames) and its index (labels).

A prepared set is a folder that TFDS wrote in array_record files, with one
`index_<split>.npz` beside them per split: labels, lengths, and the shards' sizes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.data import schema
from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.files import replacing


def data_root(directory: str | None = None) -> pathlib.Path:
    """Where prepared sets live: the argument, else $GAITJAX_DATA, else a cache."""
    root = directory or os.environ.get("GAITJAX_DATA") or "~/.cache/gaitjax/data"
    return pathlib.Path(root).expanduser()


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one split; `split[i]` is record i as {key: array}.

    folder: where TFDS put the set. keys: the modalities to decode; what is left
    out costs nothing.
    """

    folder: str
    name: str
    keys: tuple[str, ...]
    index: Index
    shards: Mapping[str, int]
    frame_shapes: Mapping[str, tuple[int | None, ...]]
    modalities: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        try:
            record = self._source[row]
        except Exception as error:  # the reader raises its own kinds of all sorts
            raise GaitError(
                f"cannot read {self._shard_of(row)}: {_first_line(error)}; "
                "the file is damaged: delete the folder and prepare the set again"
            ) from error
        record = {key: record[key] for key in self.keys}
        self._check_lengths(row, record)
        return record

    def with_keys(self, keys: Sequence[str]) -> Split:
        """The same split, decoding other modalities."""
        missing = [key for key in keys if key not in self.modalities]
        if missing:
            raise GaitError(
                f"{', '.join(missing)} wanted, but {self.folder} has "
                f"{', '.join(self.modalities)}; choose another data set or method"
            )
        return dataclasses.replace(self, keys=tuple(keys))

    @property
    def _source(self):
        """TFDS's reader; opened on first use, in each process of its own."""
        source = self.__dict__.get("_opened")
        if source is None:
            source = _open_source(self.folder, self.name, self.keys, self.modalities)
            object.__setattr__(self, "_opened", source)
        return source

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "_opened"}

    def _check_lengths(self, row: int, record: Mapping[str, np.ndarray]) -> None:
        """Frame i of one modality is frame i of all: none is missing or shorter."""
        lengths = {key: 0 if x is None else len(x) for key, x in record.items()}
        where = f"record {self.index.names[row]} of {self.folder}"
        for key, number in lengths.items():
            if not number:
                raise GaitError(
                    f"{where} has no {key}; prepare the set again, or leave the "
                    "sequence out"
                )
        want = int(self.index.num_frames[row])
        if set(lengths.values()) - {want}:
            got = ", ".join(f"{key} {number}" for key, number in lengths.items())
            raise GaitError(
                f"{where}: expected {want} frames of each modality, got {got}; frame i "
                "must be the same moment in all: prepare the set again, or leave the "
                "sequence out"
            )

    def _shard_of(self, row: int) -> str:
        for name, count in self.shards.items():
            if row < count:
                return str(pathlib.Path(self.folder) / name)
            row -= count
        return self.folder


def open_split(folder: pathlib.Path, name: str) -> Split:
    """Opens `name` ("train" or "test") of a prepared set, frames undecoded.

    Raises GaitError where the sidecar is missing or a shard has another size than
    it had when it was written.
    """
    sidecar = folder / f"index_{name}.npz"
    if not sidecar.exists():
        raise GaitError(
            f"{sidecar} is missing: the set was not prepared to the end; delete "
            f"{folder} and prepare it again"
        )
    try:
        with np.load(sidecar) as arrays:
            extra = json.loads(str(arrays["extra"]))
            columns = {key: arrays[key] for key in (*schema.LABELS, "num_frames")}
    except Exception as error:  # numpy and zipfile raise all sorts
        raise GaitError(
            f"{sidecar} is damaged ({_first_line(error)}); delete {folder} and prepare "
            "the set again"
        ) from error
    for shard in extra["shards"]:
        _check_size(folder / shard["name"], shard["bytes"])
    lists = {key: frozenset(names) for key, names in extra["lists"].items()}
    shapes = {key: tuple(shape) for key, shape in extra["frame_shapes"].items()}
    return Split(
        folder=str(folder),
        name=name,
        keys=(),
        index=Index(**columns, lists=lists),
        shards={shard["name"]: shard["records"] for shard in extra["shards"]},
        frame_shapes=shapes,
        modalities=tuple(shapes),
    )


def write_sidecar(
    folder: pathlib.Path,
    name: str,
    lists: Mapping | None = None,
    columns: Mapping[str, Sequence] | None = None,
) -> None:
    """Writes `index_<name>.npz` of a split that TFDS has just written.

    columns: labels and num_frames of its records, which are read where they are None.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    shapes = _frame_shapes(builder.info.features)
    columns = columns or _read_columns(folder, name, tuple(shapes))
    info = builder.info.splits[name]
    shards = [
        {"name": path.name, "records": count, "bytes": path.stat().st_size}
        for path, count in zip(
            map(pathlib.Path, info.filepaths), info.shard_lengths, strict=True
        )
    ]
    extra = {
        "shards": shards,
        "lists": {key: sorted(names) for key, names in (lists or {}).items()},
        "frame_shapes": shapes,
    }
    arrays = {key: np.array(columns[key], np.str_) for key in schema.LABELS}
    frames = np.array(columns["num_frames"], np.int32)
    path = folder / f"index_{name}.npz"
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays, num_frames=frames, extra=json.dumps(extra))


def _read_columns(
    folder: pathlib.Path, name: str, modalities: Sequence[str]
) -> dict[str, list]:
    """The labels and lengths of a split, from its records."""
    labels = _open_source(str(folder), name, (), modalities)
    columns = {key: [] for key in (*schema.LABELS, "num_frames")}
    for record in (labels[i] for i in range(len(labels))):
        for key in schema.LABELS:
            columns[key].append(record[key].decode())
        columns["num_frames"].append(int(record["num_frames"]))
    return columns


def _open_source(
    folder: str,
    split: str,
    keys: Sequence[str],
    modalities: Sequence[str],
):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    skipped = {key: tfds.decode.SkipDecoding() for key in modalities if key not in keys}
    return builder.as_data_source(split, decoders=skipped)


def _frame_shapes(features) -> dict[str, tuple[int | None, ...]]:
    known = schema.modalities()
    return {key: tuple(features[key].shape[1:]) for key in features if key in known}


def _check_size(path: pathlib.Path, size: int) -> None:
    if not path.exists():
        raise GaitError(f"{path} is missing; delete its folder and prepare it again")
    got = path.stat().st_size
    if got != size:
        raise GaitError(
            f"{path} is damaged: expected {size} bytes, got {got} (an interrupted "
            "copy?); delete its folder and prepare the set again"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
