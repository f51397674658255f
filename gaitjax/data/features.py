"""Banks: the embeddings of a whole split by a frozen network, on disk.

A folder with `<view>.npy` f32[n, p, d] per view and `about.json`, which says what they
are of: the network's arrays, the preprocessing, the records. It is written last, so a
folder without it is no bank.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from gaitjax.arguments import finite
from gaitjax.errors import GaitError


@dataclasses.dataclass(frozen=True)
class Bank:
    """views: f32[n, p, d] each, memory-mapped. Row r of view i has number i n + r."""

    views: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        """Records, not rows: each has a row per view."""
        return len(next(iter(self.views.values())))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Embeddings of numbered rows: int[...] -> f32[..., p, d]."""
        arrays = list(self.views.values())
        view, record = np.divmod(rows, len(self))
        found = np.empty((*rows.shape, *arrays[0].shape[1:]), np.float32)
        for number, array in enumerate(arrays):
            here = view == number
            found[here] = array[record[here]]
        return found


def write_bank(
    folder: pathlib.Path,
    views: Mapping[str, np.ndarray],
    about: Mapping[str, Any],
    names: np.ndarray,
) -> None:
    """Makes the folder, or replaces one that was left half written.

    about: for JSON. names: of the records, for the message about one that is NaN.
    """
    for view, array in views.items():
        finite(f"the base's embeddings {view}", array, names, "base")
    # A name of its own: two runs on one base may be at it at the same time.
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for view, array in views.items():
        np.save(partial / f"{view}.npy", np.asarray(array, np.float32))
    shapes = {view: list(array.shape) for view, array in views.items()}
    text = json.dumps({**about, "views": shapes}, indent=1)
    (partial / "about.json").write_text(text + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)
        if not (folder / "about.json").exists():  # else the other run's has just come
            raise


def open_bank(folder: pathlib.Path, about: Mapping[str, Any]) -> Bank | None:
    """The bank in a folder, or None where there is none.

    Raises GaitError where it is not of what `about` says, or was cut short.
    """
    path = folder / "about.json"
    if not path.exists():
        return None
    try:
        saved = json.loads(path.read_text())
        views = {
            view: np.load(folder / f"{view}.npy", mmap_mode="r")
            for view in saved["views"]
        }
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise GaitError(
            f"cannot read the bank {folder}: {error}; delete it to have it made again"
        ) from error
    wanted = json.loads(json.dumps(dict(about)))
    for key, value in wanted.items():
        if saved.get(key) != value:
            raise GaitError(
                f"the bank {folder} is of another {key} ({saved.get(key)} there, "
                f"{value} here); delete it, or give its own base and data"
            )
    for view, array in views.items():
        if list(array.shape) != saved["views"][view]:
            raise GaitError(
                f"the bank {folder}: {view} has shape {list(array.shape)}, expected "
                f"{saved['views'][view]}; delete it to have it made again"
            )
    return Bank(views)
