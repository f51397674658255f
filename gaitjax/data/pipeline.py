"""From a config's `data` section to streams of batches, through Grain.

A batch is a dict of numpy arrays, n first: the modalities as stored (bytes stay
bytes, the step scales them on the device), `label` i32 [n], `mask` f32 [n, t]
(1 = a real frame) and `index` i32 [n], the record numbers. Pictures are augmented on
the device: `draw/<modality>` f32 [n, 23] says how. Where the device holds the pictures
(`data.resident`), `frames` i32 [n, t] says which, in their place. What becomes of both
is in `runtime/inputs.py`.
"""

from __future__ import annotations

import dataclasses
import pathlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import grain
import numpy as np

from gaitjax.arguments import at_least, between, check
from gaitjax.data import schema, topology
from gaitjax.data.augment import Augment, Draw, cut_sides, without_sides
from gaitjax.data.buckets import bucket_lengths, eval_batches
from gaitjax.data.builders import common, walkers
from gaitjax.data.builders.twins import twins
from gaitjax.data.features import Bank
from gaitjax.data.index import Index
from gaitjax.data.records import Split, data_root, open_split
from gaitjax.data.resident import Store, make_store
from gaitjax.data.sampler import Clip, Order
from gaitjax.data.topology import Topology
from gaitjax.errors import GaitError
from gaitjax.walkers.lidar import sample_points

Batch = dict[str, np.ndarray]
Clips = dict[str, np.ndarray]
# What a rule for labels tells apart, where that is not people.
CLASSES = {"frontal": ("other", "frontal")}


@dataclasses.dataclass(frozen=True)
class Data:
    """A prepared set and how batches are made of it.

    train, test: splits. train_rows, val_rows: records of `train` that are trained
    on, and those of the last identities that are kept for validation. labels: i32
    per record of `train`, its class, with its name in `names`; -1 for those kept back,
    and for all where there are no labels. topology: what its 3D labels have in common.
    """

    name: str
    train: Split
    train_rows: np.ndarray
    val_rows: np.ndarray
    test: Split
    labels: np.ndarray
    names: list[str]
    topology: Topology
    p: int
    k: int
    clip: Clip
    augment: Augment
    cut: tuple[str, ...]
    points: int
    resident: bool
    workers: int
    prefetch: int

    @property
    def batch_size(self) -> int:
        """Sequences of a training batch, over all devices."""
        return self.p * self.k

    def shapes(self, keys: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Shape of one frame as the network gets it."""
        shapes = {}
        for key in keys:
            shape = without_sides(self.train.frame_shapes[key], key in self.cut)
            if key == "points":
                shape = (self.points, *shape[1:])
            shapes[key] = shape
        return shapes

    @property
    def cut_early(self) -> tuple[str, ...]:
        """Modalities that lose their sides on the host: a perspective wants them."""
        return () if self.augment.perspective else self.cut

    def store(self, keys: Sequence[str]) -> Store | None:
        """Where the device has the pictures among `keys`, if it holds any."""
        images = [key for key in keys if schema.modality(key).image]
        if not self.resident or not images:
            return None
        shapes = {
            key: without_sides(self.train.frame_shapes[key], key in self.cut_early)
            for key in images
        }
        return make_store(self.train, self.train_rows, shapes)


def make_data(
    *,
    name: str,
    dir: str | None = None,
    args: Mapping | None = None,
    p: int = 8,
    k: int = 4,
    frames: int = 30,
    frames_max: int | None = None,
    order: Order = "unordered",
    skip: int = 0,
    cut: tuple[str, ...] = ("sils", "heatmaps"),
    perspective: float = 0.0,
    flip: float = 0.0,
    rotate: float = 0.0,
    erase: float = 0.0,
    points: int = 512,
    val: float = 0.0,
    label: Literal["subject", "frontal", "none"] = "subject",
    resident: bool = False,
    workers: int = 0,
    prefetch: int = 2,
) -> Data:
    """Opens a set (walkers are made where missing), checks it, and describes batches.

    name: a prepared set, or a walkers set with its arguments in `args`. dir: see
    `records.data_root`. p, k: identities and sequences of each in a batch. frames:
    of a clip; with frames_max its length is uniform in between and padded. cut:
    modalities that lose their empty sides (64 -> 44 columns). perspective ...
    erase: probabilities. points: of a frame of `points`, drawn from the cloud; a
    smaller one is filled up with NaN. val: the share of the last training identities
    that is kept for validation. label: what training is told of a sequence: who it
    is, whether it is seen from the front or the back, or nothing. resident: the
    devices get all training pictures once, and then their numbers; refused where they
    do not fit. workers: processes (0: threads of this one). prefetch: batches made
    ahead.
    """
    at_least(1, data__p=p, data__k=k, data__points=points)
    at_least(0, data__skip=skip, data__workers=workers, data__prefetch=prefetch)
    between(0, 1, data__perspective=perspective, data__flip=flip)
    between(0, 1, data__rotate=rotate, data__erase=erase)
    for key in cut:
        schema.modality(key)
    most = frames if frames_max is None else frames_max
    if not 1 <= frames <= most:
        raise GaitError(
            f"data.frames is {frames} and data.frames_max {frames_max}; expected "
            "1 <= frames <= frames_max"
        )
    folder = find(name, dir, args or {})
    train, test = open_split(folder, "train"), open_split(folder, "test")
    if label == "none" and val:
        raise GaitError(
            "data.val keeps identities back, and data.label=none knows none; set val=0"
        )
    rows, val_rows = _hold_out(train, val)
    labels, names = labels_by(label, train.index, rows)
    return Data(
        name=name,
        train=train,
        train_rows=rows,
        val_rows=val_rows,
        test=test,
        labels=labels,
        names=names,
        topology=topology.of_walkers() if name in twins() else topology.of_set(folder),
        p=p,
        k=k,
        clip=Clip(frames, most, order, skip),
        augment=Augment(perspective, flip, rotate, erase),
        cut=tuple(cut),
        points=points,
        resident=resident,
        workers=workers,
        prefetch=prefetch,
    )


def find(name: str, directory: str | None, args: Mapping) -> pathlib.Path:
    """The folder of a prepared set; walkers are generated where missing."""
    root = data_root(directory)
    if name in twins():
        check(walkers.make_builder, args, "data.args")
        builder = walkers.make_builder(root, name, **args)
        return common.prepare(builder, builder.lists())
    found = sorted((root / name).glob("*/index_train.npz"))
    if not found:
        variants = [p.parts[-3] for p in (root / name).glob("*/*/index_train.npz")]
        there = f" (but for {', '.join(sorted(variants))})" if variants else ""
        raise GaitError(
            f"the data set {name} is not prepared in {root}{there}: run `python "
            f"tools/prepare_dataset.py {name} --source DIR`, or append :walkers to "
            "the config's name to train on its synthetic twin"
        )
    return found[-1].parent


def train_batches(
    data: Data,
    split: Split,
    sampler: Callable[[int], np.ndarray],
    labels: np.ndarray,
    *,
    seed: int,
    start: int,
    stop: int,
    optional: Sequence[str] = (),
    rows: slice = slice(None),
) -> Iterator[Batch]:
    """The batches of steps start..stop-1; the same ones wherever one starts.

    split: opened with the keys to load. optional: keys that are zero-filled, with
    has_<key> 0, where the set lacks them. rows: what this process loads of each
    batch. Raises GaitError where 3D labels cannot follow the augmentation.
    """
    labels_follow(data, split.keys)
    keys, store = split.keys, data.store(split.keys)
    if store:
        split = split.with_keys([key for key in keys if key not in store.shapes])
    steps = Steps(
        data, split, keys, store, sampler, labels, seed, start, stop, optional, rows
    )
    return stream(data, steps)


def labels_follow(data: Data, keys: Sequence[str]) -> None:
    """GaitError where an augmentation is not defined for 3D labels among `keys`."""
    body = [key for key in schema.BODY if key in keys]
    followers = [*body, "smpl"] if "smpl" in keys else body
    if followers and data.augment.perspective:
        raise GaitError(
            f"data.perspective={data.augment.perspective:g}: there is no such camera "
            f"for {', '.join(followers)}, which are trained on; set data.perspective=0"
        )
    if body and data.augment.flip:
        data.topology.mirror(body, data.train.folder)


def bank_batches(
    data: Data,
    bank: Bank,
    sampler: Callable[[int], np.ndarray],
    labels: np.ndarray,
    *,
    start: int,
    stop: int,
    rows: slice = slice(None),
) -> Iterator[Batch]:
    """As `train_batches`, of embeddings in place of frames: `features` f32 [n, ..., p,
    d] of what the sampler says, `index` and `label` [n, ...]. `mask` is [n, 1].

    By threads: a worker process would get a copy of the whole bank.
    """
    data = dataclasses.replace(data, workers=0)
    return stream(data, BankSteps(bank, sampler, labels, start, stop, rows))


def stream(data: Data, steps: Steps | BankSteps | EmbedSteps) -> Iterator[Any]:
    """The batches of a random-access source, made ahead as the config says."""
    dataset = grain.MapDataset.source(steps)
    threads = grain.ReadOptions(
        num_threads=0 if data.workers else min(2, data.prefetch),
        prefetch_buffer_size=0 if data.workers else data.prefetch,
    )
    batches = dataset.to_iter_dataset(threads)
    if data.workers:
        options = grain.MultiprocessingOptions(
            num_workers=data.workers, per_worker_buffer_size=max(1, data.prefetch)
        )
        batches = batches.mp_prefetch(options, worker_init_fn=leave_signals)
    return iter(batches)


def leave_signals(worker: int, workers: int) -> None:
    """Ctrl-C reaches a whole process group; the loop alone decides when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@dataclasses.dataclass(frozen=True)
class Steps:
    """A random-access source with one batch per step.

    All randomness is seeded by (seed, step, slot), so neither threads nor workers
    nor the place to start change a batch. keys: of the batch, in the order of their
    draws; the split decodes those that the store lacks.
    """

    data: Data
    split: Split
    keys: tuple[str, ...]
    store: Store | None
    sampler: Callable[[int], np.ndarray]
    labels: np.ndarray
    seed: int
    start: int
    stop: int
    optional: Sequence[str]
    rows: slice

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:  # Grain compares it on restore: no addresses
        return f"Steps({self.data.name}, {self.start}..{self.stop})"

    def __getitem__(self, position: int) -> Batch:
        step = self.start + int(position)
        records = self.sampler(step)
        slots = range(len(records))[self.rows]
        made = [self._clip(int(records[slot]), step, slot) for slot in slots]
        batch = stack([clip for clip, _ in made], self.data.clip.most)
        for key in made[0][1]:
            batch[key] = np.stack([draws[key] for _, draws in made])
        chosen = records[self.rows]
        batch["label"] = self.labels[chosen].astype(np.int32)
        batch["index"] = chosen.astype(np.int32)
        return fill_optional(batch, self.optional, self.keys)

    def _clip(self, record: int, step: int, slot: int) -> tuple[Clips, Clips]:
        """Arrays over the frames of a sequence, and what is drawn for it as a whole."""
        rng = np.random.default_rng((self.seed, 1, step, slot))
        arrays = self.split[record] if self.split.keys else {}
        length = self._length(record, arrays)
        numbers = self.data.clip.draw(rng, length)
        state = rng.bit_generator.state
        clip, draws, draw = {}, {}, None
        for key in self.keys:
            if schema.modality(key).image:
                rng.bit_generator.state = state  # the same draw for every modality
                draw = self._draw(rng, key, arrays)
                if self.data.augment.touches:
                    draws[f"draw/{key}"] = draw.packed()
                if key not in arrays:
                    continue
            frames = arrays[key][numbers]
            if key in self.data.cut_early:
                frames = cut_sides(frames)
            if key == "points":
                frames = fit_points(rng, frames, self.data.points)
            clip[key] = frames
        for key in schema.BODY if draw else ():
            if key in clip:
                mirror = self.data.topology.mirrors.get(key)
                clip[key] = draw.points(clip[key], mirror)
        if draw and "smpl" in clip:
            clip["smpl"] = draw.smpl(clip["smpl"])
        if self.store:
            assert self.store.starts[record] >= 0, "not a training record"
            clip["frames"] = (self.store.starts[record] + numbers).astype(np.int32)
        return clip, draws

    def _length(self, record: int, arrays: Mapping[str, np.ndarray]) -> int:
        for array in arrays.values():
            return len(array)
        return int(self.store.lengths[record])

    def _draw(
        self, rng: np.random.Generator, key: str, arrays: Mapping[str, np.ndarray]
    ) -> Draw:
        if key in arrays:
            size = arrays[key].shape[1:3]
        else:
            size = self.data.train.frame_shapes[key][:2]
        return self.data.augment.draw(rng, key in self.data.cut, size)


@dataclasses.dataclass(frozen=True)
class BankSteps:
    """The same of a bank: a batch is some of its rows."""

    bank: Bank
    sampler: Callable[[int], np.ndarray]
    labels: np.ndarray
    start: int
    stop: int
    rows: slice

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:  # Grain compares it on restore: no addresses
        return f"BankSteps({self.start}..{self.stop})"

    def __getitem__(self, position: int) -> Batch:
        rows = self.sampler(self.start + int(position))[self.rows]
        return {
            "features": self.bank.take(rows),
            "label": self.labels[rows % len(self.bank)].astype(np.int32),
            "index": rows.astype(np.int32),
            "mask": np.ones((len(rows), 1), np.float32),
        }


def embed_batches(
    data: Data,
    split: Split,
    rows: np.ndarray,
    *,
    batch: int,
    frames_limit: int = 720,
    buckets: int = 4,
    part: slice = slice(None),
) -> Iterator[tuple[np.ndarray, Batch]]:
    """(records [m], batch) of whole sequences, in length buckets; m <= batch.

    Only the first `frames_limit` frames count. A batch always has `batch` rows: a
    last one that is short repeats its first record. part: the rows of each batch that
    this process reads. By threads: worker processes would start anew each time, and a
    split may be in memory.
    """
    lengths = split.index.num_frames[rows]
    sizes = bucket_lengths(lengths, frames_limit, buckets)
    chosen = [(size, rows[some]) for size, some in eval_batches(lengths, sizes, batch)]
    data = dataclasses.replace(data, workers=0)
    return stream(data, EmbedSteps(data, split, chosen, batch, part))


@dataclasses.dataclass(frozen=True)
class EmbedSteps:
    """The same of whole sequences. chosen: of each batch the length to pad to, and
    records."""

    data: Data
    split: Split
    chosen: Sequence[tuple[int, np.ndarray]]
    batch: int
    part: slice

    def __len__(self) -> int:
        return len(self.chosen)

    def __repr__(self) -> str:  # Grain compares it on restore: no addresses
        return f"EmbedSteps({self.data.name}, {len(self)})"

    def __getitem__(self, position: int) -> tuple[np.ndarray, Batch]:
        length, records = self.chosen[int(position)]
        filling = [records[0]] * (self.batch - len(records))
        here = [int(row) for row in [*records, *filling][self.part]]
        clips = {
            row: _whole(self.data, self.split[row], length)
            for row in dict.fromkeys(here)
        }
        return records, stack([clips[row] for row in here], length)


def stack(clips: Sequence[Mapping[str, np.ndarray]], length: int) -> Batch:
    """Clips of at most `length` frames as arrays [n, length, ...] and their mask."""
    batch: Batch = {}
    counts = np.array([len(next(iter(clip.values()))) for clip in clips])
    for key, first in clips[0].items():
        batch[key] = np.zeros((len(clips), length, *first.shape[1:]), first.dtype)
        for i, clip in enumerate(clips):
            batch[key][i, : counts[i]] = clip[key]
    batch["mask"] = (np.arange(length) < counts[:, None]).astype(np.float32)
    return batch


def fill_optional(
    batch: Batch, keys: Sequence[str], known: Sequence[str] = ()
) -> Batch:
    """Adds has_<key> [n] for optional keys, and zeros for those that are not there.

    known: keys that are elsewhere, if not in the batch.
    """
    n, t = batch["mask"].shape
    for key in keys:
        there = key in batch or key in known
        batch[f"has_{key}"] = np.full(n, there, np.float32)
        if not there:
            shape = tuple(size or 1 for size in schema.modality(key).shape[1:])
            batch[key] = np.zeros((n, t, *shape), schema.modality(key).dtype)
    return batch


def fit_points(rng: np.random.Generator, frames: np.ndarray, number: int) -> np.ndarray:
    """Clouds f32[t, m, 3] as f32[t, number, 3]: drawn, or filled up with NaN."""
    if frames.shape[1] == number:
        return frames
    return sample_points(rng, frames, number)


def _whole(data: Data, arrays: Mapping[str, np.ndarray], length: int) -> dict[str, Any]:
    clip = {}
    for key, frames in arrays.items():
        frames = frames[:length]
        if key == "points":  # the same draw whenever a sequence is embedded
            frames = fit_points(np.random.default_rng(0), frames, data.points)
        clip[key] = cut_sides(frames) if key in data.cut else frames
    return clip


def labels_by(
    rule: str, index: Index, rows: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """The class of every record, i32, -1 but for `rows`, and the names of classes.

    rule: see `make_data`. Views are angles; 0 and 180 degrees are front and back.
    Raises GaitError for views that are no angles.
    """
    labels = np.full(len(index), -1, np.int32)
    if rule == "none":
        return labels, []
    if rule == "frontal":
        labels[rows] = [is_frontal(view) for view in index.view[rows]]
        return labels, list(CLASSES[rule])
    names, labels[rows] = np.unique(index.subject[rows], return_inverse=True)
    return labels, names.tolist()


def is_frontal(view: str) -> bool:
    """Whether a view is 0 or 180 degrees."""
    try:
        return float(view) % 180 == 0
    except ValueError:
        raise GaitError(
            f"data.label=frontal wants views in degrees, such as 090, got {view}; take "
            "a set that has them"
        ) from None


def _hold_out(train: Split, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training and of the validation identities (the last ones)."""
    if not 0 <= share < 1:
        raise GaitError(f"data.val is a share of the identities, 0 to 1; got {share}")
    if not share:
        return np.arange(len(train)), np.arange(0)
    subjects = sorted(set(train.index.subject))
    held = set(subjects[len(subjects) - round(share * len(subjects)) :])
    is_held = np.array([s in held for s in train.index.subject])
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
