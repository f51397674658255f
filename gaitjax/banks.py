"""Training on embeddings of a frozen network in place of frames.

A method with `prepare` (a re-ranker, for one) sees rows of a bank: every record of the
training split, embedded once. This is what the loop needs for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from gaitjax.arguments import unknown
from gaitjax.data import pipeline
from gaitjax.data.features import Bank, open_bank, write_bank
from gaitjax.errors import GaitError
from gaitjax.evaluate import embed
from gaitjax.run import Run
from gaitjax.runtime import mesh
from gaitjax.runtime.base import base_folder, digest
from gaitjax.runtime.state import TrainState

VAL_BATCHES = 16  # chosen: `val/...` is their mean, always of the same ones


@dataclasses.dataclass(frozen=True)
class Banked:
    """What a method with `prepare` trains on. labels, lists: by `train` and `val`."""

    bank: Bank
    labels: Mapping[str, np.ndarray]
    lists: Mapping[str, Any]


def open_banked(run: Run, state: TrainState) -> Banked:
    """The bank of the training split, and lists of those that are trained on and of
    the validation people."""
    data, method = run.data, run.method
    bank = feature_bank(run, state)
    labels = {"train": data.labels}
    best = run.checkpoints.best
    if best and best.startswith("val/"):
        labels["val"] = val_labels(data)
    lists = {
        part: method.prepare(bank, data.train.index, values)
        for part, values in labels.items()
    }
    banked = Banked(bank, labels, lists)
    if "val" in labels:
        check_val_best(run, state, banked)
    return banked


def check_val_best(run: Run, state: TrainState, banked: Banked) -> None:
    """`ckpt.best` names something that the method measures: now, not at the first
    save."""
    batch = next(val_batches(run, banked, 1))
    found = jax.eval_shape(
        run.method.validate, state.eval_params, state.model_state, batch
    )
    known = [f"val/{key}" for key in found]
    if run.checkpoints.best not in known:
        raise GaitError(unknown(run.checkpoints.best, known, "metric in ckpt.best"))


def val_labels(data: pipeline.Data) -> np.ndarray:
    """As `Data.labels`, of the validation people: i32 per record, -1 for others."""
    labels = np.full(len(data.train), -1, np.int32)
    people = data.train.index.subject[data.val_rows]
    labels[data.val_rows] = np.unique(people, return_inverse=True)[1]
    return labels


def feature_bank(run: Run, state: TrainState) -> Bank:
    """Embeddings of the training split by the method's base: made once, beside the
    base, so that all that stand on it share them."""
    train = run.data.train
    folder = base_folder(run.config["method_args"]["base"]) / "bank"
    shapes = run.data.shapes(run.method.embed_keys)
    about = {
        "weights": digest(state.model_state["bases"]["base"]),
        "records": train.index.digest,
        "shapes": {key: list(shape) for key, shape in shapes.items()},
        "frames_limit": run.eval_options.frames_limit,
        "precision": run.options.precision,
    }
    bank = open_bank(folder, about)
    if bank is None:
        views = embed(run, state, train, np.arange(len(train)))
        if mesh.is_first():
            write_bank(folder, views, about, train.index.names)
        mesh.wait_for_all("bank")
        bank = open_bank(folder, about)
    return bank


def bank_sampler(
    run: Run, banked: Banked, part: str = "train"
) -> Callable[[int], np.ndarray]:
    """step -> rows of the bank [n, ...], as the method's `source` draws them."""
    index, seed = run.data.train.index, run.options.seed
    source, labels, lists = run.method.source, banked.labels[part], banked.lists[part]
    return lambda step: source(index, seed, step, labels, lists)


def bank_batches(
    run: Run,
    banked: Banked,
    sampler: Callable[[int], np.ndarray],
    start: int,
    stop: int,
    part: str = "train",
) -> Iterator[dict[str, np.ndarray]]:
    """This process's share of the batches of steps start..stop-1.

    sampler: see `bank_sampler`, of the same part.
    """
    size = len(sampler(start))
    if size % run.mesh.size:
        raise GaitError(
            f"a batch of {size} does not split over {run.mesh.size} devices; take a "
            f"multiple of {run.mesh.size} (method_args.triplets)"
        )
    return pipeline.bank_batches(
        run.data,
        banked.bank,
        sampler,
        banked.labels[part],
        start=start,
        stop=stop,
        rows=mesh.process_rows(size),
    )


def val_batches(
    run: Run, banked: Banked, number: int
) -> Iterator[dict[str, np.ndarray]]:
    """The first batches of the validation people."""
    sampler = bank_sampler(run, banked, "val")
    return bank_batches(run, banked, sampler, 0, number, "val")


def validate(run: Run, state: TrainState, banked: Banked) -> dict[str, float]:
    """{"val/...": mean of what the method measures on the validation people}."""
    found = []
    for batch in val_batches(run, banked, VAL_BATCHES):
        batch = mesh.to_devices(batch, run.mesh)
        values = run.validate_fn(state.eval_params, state.model_state, batch)
        found.append(jax.device_get(values))
    return {
        f"val/{key}": float(np.mean([one[key] for one in found])) for key in found[0]
    }
