"""What every builder shares: features, preparation, and finding a prepared set."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import functools
import io
import itertools
import multiprocessing
import os
import pathlib
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import TypeVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from gaitjax.data import schema
from gaitjax.data.builders import spool
from gaitjax.data.records import write_sidecar
from gaitjax.errors import GaitError
from gaitjax.files import replacing

T = TypeVar("T")
R = TypeVar("R")


def features(
    frame_shapes: Mapping[str, tuple[int, ...]],
) -> tfds.features.FeaturesDict:
    """Labels, the number of frames, and the modalities as bytes.

    array_record compresses every record; compressing the tensors, too, took five times
    as long to write and twice as long to read, and saved nothing.
    """
    tensors = {
        key: tfds.features.Tensor(
            shape=(None, *shape), dtype=schema.modality(key).dtype, encoding="bytes"
        )
        for key, shape in frame_shapes.items()
    }
    labels = {key: tfds.features.Text() for key in schema.LABELS}
    return tfds.features.FeaturesDict({**labels, "num_frames": np.int32, **tensors})


def prepare(
    builder: tfds.core.DatasetBuilder,
    lists: Mapping[str, list[str]] | None = None,
    columns: Callable[[str], Mapping[str, Sequence]] | None = None,
) -> pathlib.Path:
    """Generates the set where it is missing; its folder, sidecars included.

    columns: the labels and lengths of a split that was written; None reads its records.

    TFDS writes into a temporary folder and renames it, so an interrupted run leaves
    nothing that looks finished; what `staged` had made is taken up again. The sidecars
    are written last and tell the rest of the package that the set is whole. Several
    processes may ask at once.
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
                write_sidecar(folder, split, lists, columns and columns(split))
            shutil.rmtree(staging(builder), ignore_errors=True)
    return folder


def staging(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
    """Where parts of a set wait until all are there."""
    folder = pathlib.Path(builder.data_dir)
    return folder.parent / f"{folder.name}.parts"


def staged(
    fn: Callable[[int], dict[str, np.ndarray]],
    number: int,
    *,
    folder: pathlib.Path,
    processes: int,
    label: str,
    besides: float = 0.0,
) -> Iterator[dict[str, np.ndarray]]:
    """fn of 0..number-1, in order, made in processes and kept in `folder` on the way.

    What an interrupted run left there is not made again. The first part tells the size
    of all: GaitError, before the others are made, where the disk is too small. besides:
    what else of the set is still to come, in parts of this size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(1 for _ in folder.glob("*.part"))
    if there:
        say(f"{label}: going on after {there} of {number}")
    one = functools.partial(_make_part, fn, folder)
    size = one(0).stat().st_size
    # Once as parts, once as the finished set.
    needed, free = 2 * size * number - size * there, shutil.disk_usage(folder).free
    say(f"{label}: about {size * number / 1e9:.2f} GB")
    if needed > free:
        raise GaitError(
            f"{label} takes about {needed / 1e9:.1f} GB on the way, and {folder} has "
            f"{free / 1e9:.1f} GB free; make room, or choose fewer people or frames "
            "(data.args) or another data.dir"
        )
    for place, path in enumerate(in_processes(one, range(number), processes, label)):
        try:
            part = _read_part(path)
        except (zlib.error, ValueError, OSError):  # damaged since it was written
            path.unlink(missing_ok=True)
            part = _read_part(one(place))
        yield part


def say(line: str) -> None:
    """Prints a line about the work that is going on."""
    print(line, file=sys.stderr)  # where the progress bars are, too


def _make_part(
    fn: Callable[[int], dict[str, np.ndarray]], folder: pathlib.Path, number: int
) -> pathlib.Path:
    """Writes fn(number) to its file, whole or not at all; the file."""
    path = folder / f"{number:06d}.part"
    if not path.exists():
        buffer = io.BytesIO()
        np.savez(buffer, **fn(number))
        with replacing(path) as partial:
            partial.write_bytes(zlib.compress(buffer.getbuffer(), 1))
    return path


def _read_part(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(zlib.decompress(path.read_bytes()))) as arrays:
        return {key: arrays[key] for key in arrays.files}


def in_processes(
    fn: Callable[[T], R], tasks: Sequence[T], processes: int, label: str
) -> Iterator[R]:
    """fn of every task, in order, from worker processes, with a progress bar; with one
    it is done here, for a process that imports all anew is seconds late."""
    workers = max(1, min(processes, len(tasks)))
    if workers == 1:
        yield from map(fn, tqdm(tasks, label))
        return
    # Spawned, not forked: jax may already run threads in this process. And an
    # executor, not a Pool, which would replace dying workers for ever.
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(
        workers, context, initializer=_end_with, initargs=(os.getpid(),)
    ) as pool:
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


def _end_with(parent: int) -> None:
    """A worker whose parent was killed goes, too, instead of waiting for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_prepared(folder: pathlib.Path) -> bool:
    """Whether the set was prepared to the end."""
    return all((folder / f"index_{split}.npz").exists() for split in ("train", "test"))


def _generate(builder: tfds.core.DatasetBuilder) -> None:
    tfds.disable_progress_bar()  # it knows no total; the builders show their own
    # Nor does it download anything.
    with contextlib.redirect_stdout(None), spool.in_order():
        builder.download_and_prepare(file_format="array_record")
