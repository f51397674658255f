"""How fast data sets are opened, converted, and turned into batches.

Everything is made up by the walkers, in a temporary folder: a tree of pickles as
CASIA-B has them, and the sidecar of a set of 100,000 sequences.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pickle
import resource
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np

from gaitjax import walkers
from gaitjax.bench.measure import Row, duration, rate
from gaitjax.data import pipeline, records
from gaitjax.data.builders import opengait, parts

P, K, FRAMES = 8, 16, 30  # a published batch on CASIA-B


def run(quick: bool) -> list[Row]:
    """Rows of opening, preparing and batching; in one process and one thread."""
    people, times = (30, 2) if quick else (124, 5)
    sequences = 20_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        return [
            *_opening(root / "index", sequences, times),
            *_preparing(root, people, times),
        ]


def _opening(folder: pathlib.Path, sequences: int, times: int) -> Iterator[Row]:
    _write_sidecar(folder, sequences)
    label = f"open a set of {sequences:,} sequences"
    yield duration(
        label, lambda: records.open_split(folder, "train").index.digest, times
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield Row("  peak memory of this process", "GiB", peak, peak, peak)


def _preparing(root: pathlib.Path, people: int, times: int) -> Iterator[Row]:
    _write_tree(root / "tree", people)
    builder = opengait.make_builder(
        root, "casia_b", source=str(root / "tree"), partial=True
    )
    tasks = parts.parts_of(builder.plan.splits)
    number = sum(len(task.found) for task in tasks)

    def convert() -> None:
        shutil.rmtree(root / "parts", ignore_errors=True)
        (root / "parts").mkdir()
        for task in tasks:
            parts.convert_part(task, builder.recipe, root / "parts")

    label = f"prepare sequences of {FRAMES} frames"
    yield rate(label, "sequences/s/core", number, convert, times)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        opengait.prepare(builder)
    data = pipeline.make_data(name="casia_b", dir=str(root), p=P, k=K, frames=FRAMES)
    split = data.train.with_keys(("sils",))
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(split), (8, P * K))
    steps = pipeline.Steps(
        data=data,
        split=split,
        keys=split.keys,
        store=None,
        sampler=rows.__getitem__,
        labels=data.labels,
        seed=0,
        start=0,
        stop=len(rows),
        optional=(),
        rows=slice(None),
    )
    label = f"batches of {P} x {K} clips of {FRAMES} frames"
    every = range(len(rows))
    yield rate(
        label, "clips/s/core", rows.size, lambda: [steps[i] for i in every], times
    )


def _write_tree(root: pathlib.Path, people: int) -> None:
    """Sequences of as many frames as a clip, from eight walks."""
    walks = [
        walkers.make_sequence(0, subject, "nm", 1, 90.0, FRAMES)["sils"]
        for subject in range(8)
    ]
    for person in range(people):
        # Half of them among the split's training ids, half among those of the test.
        name = f"{person // 2 + 1 if person % 2 else person // 2 + 75:03d}"
        for take in ("nm-01", "nm-02"):
            for view in ("000", "090"):
                folder = root / name / take / view
                folder.mkdir(parents=True)
                content = pickle.dumps(walks[(person + int(view)) % 8])
                (folder / f"{view}.pkl").write_bytes(content)


def _write_sidecar(folder: pathlib.Path, sequences: int) -> None:
    """The index of a set without its records."""
    folder.mkdir()
    shards = []
    for number in range(256):
        path = folder / f"shard-{number:05d}"
        path.write_bytes(b"x")
        records_here = sequences // 256 + (number < sequences % 256)
        shards.append({"name": path.name, "records": records_here, "bytes": 1})
    columns = {
        "subject": [f"{row // 20:05d}train" for row in range(sequences)],
        "condition": ["00"] * sequences,
        "view": [f"{row * 2654435761 % 2**32:08x}" for row in range(sequences)],
        "take": ["00"] * sequences,
    }
    extra = {"shards": shards, "lists": {}, "frame_shapes": {"sils": [64, 64]}}
    np.savez(
        folder / "index_train.npz",
        **{key: np.array(values, np.str_) for key, values in columns.items()},
        num_frames=np.full(sequences, FRAMES, np.int32),
        extra=json.dumps(extra),
    )
