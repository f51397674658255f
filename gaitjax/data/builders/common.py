"""What every builder shares: features, preparation, and finding a prepared set."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import itertools
import multiprocessing
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import TypeVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from gaitjax.data import schema
from gaitjax.data.records import write_sidecar
from gaitjax.errors import GaitError

T = TypeVar("T")
R = TypeVar("R")


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
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker that imports a script without a main guard runs it again, and
        # would wait here for the lock of the process that waits for the worker.
        raise GaitError('a script that trains needs its `if __name__ == "__main__":`')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be preparing it just now
        if not is_prepared(folder):
            print(f"preparing {folder}")
            for left in folder.parent.glob(f"incomplete.*_{folder.name}"):
                shutil.rmtree(left)  # of a run that was killed
            _generate(builder)
            for split in builder.info.splits:
                write_sidecar(folder, split, lists)
    return folder


def in_processes(
    fn: Callable[[T], R], tasks: Sequence[T], processes: int, label: str
) -> Iterator[R]:
    """fn of every task, in order, from worker processes, with a progress bar."""
    # Spawned, not forked: jax may already run threads in this process. And an
    # executor, not a Pool, which would replace dying workers for ever.
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(processes, len(tasks)))
    with futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        # A few tasks ahead, so that what is done but not yet written stays small.
        todo = iter(tasks)
        ahead = collections.deque(
            pool.submit(fn, task) for task in itertools.islice(todo, 4 * workers)
        )
        try:
            for _ in tqdm(tasks, label):
                result = ahead.popleft().result()
                ahead.extend(pool.submit(fn, t) for t in itertools.islice(todo, 1))
                yield result
        except futures.process.BrokenProcessPool as error:
            raise GaitError(
                f"{label}: a worker process died, out of memory or unable to start; a "
                'script that trains needs its `if __name__ == "__main__":`'
            ) from error


def is_prepared(folder: pathlib.Path) -> bool:
    """Whether the set was prepared to the end."""
    return all((folder / f"index_{split}.npz").exists() for split in ("train", "test"))


def _generate(builder: tfds.core.DatasetBuilder) -> None:
    tfds.disable_progress_bar()  # it knows no total; the builders show their own
    with contextlib.redirect_stdout(None):  # nor does it download anything
        builder.download_and_prepare(file_format="array_record")
