"""One sequence's folder as a record: files chosen by name, read, checked, aligned.

What can be repaired is, and is noted; anything else makes the sequence `Unusable`.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gaitjax.data import safe_pickle
from gaitjax.data.builders import masks, modalities
from gaitjax.data.builders.modalities import Frames, Unusable
from gaitjax.data.builders.recipe import Recipe
from gaitjax.data.builders.source import VIDEOS, is_stray

ARRAYS, PICTURES = (".pkl", ".npy", ".npz"), (".png",)
MOST_LOST = 0.5  # chosen: share of frames without which a sequence is dropped


def read_sequence(path: str, recipe: Recipe) -> tuple[dict[str, np.ndarray], list[str]]:
    """The modalities [t, ...] of the folder `path` within the source, and notes.

    Raises Unusable or GaitError, naming the file, where that cannot be done.
    """
    read, notes = {}, []
    for key in recipe.keys:
        if key == "markers" and recipe.rows:
            mesh = read["vertices"]
            read[key] = Frames(mesh.array[:, list(recipe.rows)], mesh.usable)
            continue
        folder = pathlib.Path(recipe.beside.get(key, recipe.source)) / path
        alone = key in recipe.beside or len(recipe.keys) == 1
        files = choose(folder, key, recipe.patterns(key), alone)
        read[key] = _frames(key, files, recipe)
        notes += read[key].notes
    lengths = {key: len(frames.array) for key, frames in read.items()}
    if len(set(lengths.values())) > 1:
        raise Unusable("lengths", _unequal(lengths, recipe))
    number = lengths[recipe.keys[0]]
    usable = np.logical_and.reduce([frames.usable for frames in read.values()])
    if usable.sum() < max(1, (1 - MOST_LOST) * number):
        raise Unusable(
            "empty frames", f"{number - usable.sum()} of {number} have no content"
        )
    if not usable.all():
        notes.append(f"empty frames: {number - usable.sum()} of {number} left out")
    return {key: frames.array[usable] for key, frames in read.items()}, notes


def choose(
    folder: pathlib.Path, key: str, patterns: Sequence[str], alone: bool
) -> list[pathlib.Path]:
    """The file of a modality, or the pictures of the silhouettes in their order.

    alone: one file that fits no pattern is taken, no other modality being wanted.
    """
    if not folder.is_dir():
        raise Unusable("no file", f"there is no folder {folder}")
    names = sorted(name for name in os.listdir(folder) if not is_stray(name))
    arrays = [name for name in names if name.endswith(ARRAYS)]
    for pattern in patterns:
        pattern = pattern.replace("{view}", glob.escape(folder.name))
        fits = [n for n in arrays if fnmatch.fnmatchcase(n.rpartition(".")[0], pattern)]
        if len(fits) > 1:
            raise Unusable(
                "several files",
                f"{', '.join(fits)} all fit {pattern}; name one of them with "
                f"--modalities {key}=PATTERN",
            )
        if fits:
            return [folder / fits[0]]
    pictures = [name for name in names if name.lower().endswith(PICTURES)]
    if key == "sils" and pictures and not arrays:
        return [folder / name for name in pictures]
    if alone and len(arrays) == 1:
        return [folder / arrays[0]]
    raise Unusable("no file", _nothing_fits(key, patterns, names))


def load(path: pathlib.Path) -> Any:
    """The content of a pickle (arrays only), .npy or .npz of one array."""
    if path.suffix == ".pkl":
        return safe_pickle.load(path)
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            if len(content.files) != 1:
                raise ValueError(f"it holds {len(content.files)} arrays, expected one")
            return content[content.files[0]]
    except Exception as error:  # numpy and zipfile raise all sorts
        raise Unusable("unreadable", f"{path.name}: {error}") from error


def _frames(key: str, files: Sequence[pathlib.Path], recipe: Recipe) -> Frames:
    if key != "sils":
        return modalities.read(key, load(files[0]), recipe.frame_shapes[key])
    if files[0].suffix.lower() in PICTURES:
        return masks.pictures(files, recipe.size)
    return masks.silhouettes(load(files[0]), recipe.size, recipe.normalise)


def _unequal(lengths: Mapping[str, int], recipe: Recipe) -> str:
    """What to do where frame i of one modality is not frame i of the others."""
    line = ", ".join(f"{key} {number} frames" for key, number in lengths.items())
    if recipe.rate == "native":
        return line + "; take the synchronised files with --rate sync"
    return line + "; frame i must be the same moment in all, prepare them apart"


def _nothing_fits(key: str, patterns: Sequence[str], names: Sequence[str]) -> str:
    some = ", ".join(names[:5]) or "nothing"
    if any(name.lower().endswith(VIDEOS) for name in names):
        return f"{some}: a video, gaitjax needs person masks (segment it first)"
    return (
        f"{key}: expected {patterns[0]}.pkl (or .npy, .npz), the folder holds {some}; "
        f"if that is another name, say --modalities {key}=PATTERN"
    )
