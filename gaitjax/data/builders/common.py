"""What every builder shares: features, preparation, and finding a prepared set."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow_datasets as tfds

from gaitjax.data import schema
from gaitjax.data.records import write_sidecar


def features(
    frame_shapes: Mapping[str, tuple[int, ...]],
) -> tfds.features.FeaturesDict:
    """Labels, the number of frames, and compressed tensors for the modalities."""
    tensors = {
        key: tfds.features.Tensor(
            shape=(None, *shape), dtype=schema.modality(key).dtype, encoding="zlib"
        )
        for key, shape in frame_shapes.items()
    }
    labels = {key: tfds.features.Text() for key in schema.LABELS}
    return tfds.features.FeaturesDict({**labels, "num_frames": np.int32, **tensors})


def prepare(
    builder: tfds.core.DatasetBuilder, lists: Mapping[str, list[str]] | None = None
) -> pathlib.Path:
    """Generates the set where it is missing; its folder, sidecars included.

    TFDS writes into a temporary folder and renames it, so an interrupted run leaves
    nothing that looks finished. The sidecars are written last and tell the rest of
    the package that the set is whole. Several processes may ask at once.
    """
    folder = pathlib.Path(builder.data_dir)
    if is_prepared(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be preparing it just now
        if not is_prepared(folder):
            print(f"preparing {folder}")
            _generate(builder)
            for split in builder.info.splits:
                write_sidecar(folder, split, lists)
    return folder


def is_prepared(folder: pathlib.Path) -> bool:
    """Whether the set was prepared to the end."""
    return all((folder / f"index_{split}.npz").exists() for split in ("train", "test"))


def _generate(builder: tfds.core.DatasetBuilder) -> None:
    tfds.disable_progress_bar()  # it knows no total; the builders show their own
    with contextlib.redirect_stdout(None):  # nor does it download anything
        builder.download_and_prepare(file_format="array_record")
