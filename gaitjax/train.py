"""The train loop: one function, read from top to bottom, never forked.

Within a step: refresh, evaluate, save, next batch, step, check, log, leave. Saving
comes before the next batch is drawn and the order of the data is a function of the
step, so a checkpoint holds no data state and a resumed run equals an uninterrupted
one bit for bit. What is built before the first step is in `gaitjax/run.py`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from gaitjax import evaluate
from gaitjax.banks import Banked, bank_batches, bank_sampler, open_banked, validate
from gaitjax.data import pipeline
from gaitjax.data.builders.twins import twins
from gaitjax.data.sampler import PKSampler
from gaitjax.errors import GaitError
from gaitjax.run import (
    Run,
    TrainOptions,
    check_config,
    open_run,
    restore_model,
    restore_or_init,
)
from gaitjax.runtime import inputs, mesh, metrics_log
from gaitjax.runtime.base import base_arguments, must_train
from gaitjax.runtime.environment import environment
from gaitjax.runtime.preempt import Preemption
from gaitjax.runtime.state import TrainState, stream
from gaitjax.runtime.workdir import lock_workdir


def train(
    config: Mapping[str, Any], workdir: str | os.PathLike, **kwargs
) -> TrainState:
    """Trains (or resumes, or finds it done), evaluates, and writes the report.

    config: plain nested dicts, as `run.sections` describes them. kwargs: see
    `open_run`. Returns the last state.
    """
    train_bases(config, **kwargs)
    run = open_run(config, workdir, **kwargs)
    with lock_workdir(run.workdir):
        return train_loop(run)


def train_loop(run: Run) -> TrainState:
    """The loop itself, in a workdir that nobody else writes to."""
    data, method, options = run.data, run.method, run.options
    finished = is_finished(run)
    if not finished:
        method.check_training(run.config["data"])
    state, side = restore_or_init(run)
    start, labels, round_ = int(state.step), side["labels"], side["round"]
    if start >= options.steps and finished:
        run.checkpoints.close()
        files = ", ".join(evaluate.result_files(run.eval_options))
        print(f"done at step {start}: {run.workdir}/{files}")
        return state
    print(f"{_verb(start)} {run.workdir} at step {start} of {options.steps}")

    log = metrics_log.MetricsLog(
        run.workdir, start=start, tensorboard=run.log_options.tensorboard
    )
    meter = metrics_log.Meter()
    collapse = metrics_log.CollapseWatch()
    stores = inputs.load(data, train_keys(run), run.mesh)
    batches: Iterator | None = None
    sampler: Callable[[int], np.ndarray] | None = None
    banked = open_banked(run, state) if method.prepare else None
    pending: tuple[int, dict] | None = None  # the last step, not yet looked at
    bar = tqdm(range(start, options.steps), "training", options.steps, initial=start)
    with Preemption() as preemption:
        for step in bar:
            # Refresh: new labels, and with them another order of the data.
            if method.refresh and round_ != options.round_at(step)[0]:
                check_finite(run, sampler, pending)
                round_, _ = options.round_at(step)
                state, labels = refreshed(run, state, round_)
                log.write(step, evaluate.label_quality(data, labels))
                batches = None
            # Evaluate.
            if step > start and _due(step, options.eval_every):
                check_finite(run, sampler, pending)
                log.write(step, evaluate.headline_scores(run, state))
            # Save, before the next batch is drawn.
            if step > start and _due(step, run.checkpoints.every):
                check_finite(run, sampler, pending)
                save(run, state, labels, round_, banked)
            # Next batch.
            if batches is None:
                sampler = make_sampler(run, labels, round_, banked)
                batches = make_batches(run, sampler, labels, step, banked)
            began = time.perf_counter()
            batch = next(batches) | in_round(step, options)
            waited = time.perf_counter() - began
            frames = int(batch["mask"].sum()) * jax.process_count()
            batch = mesh.to_devices(batch, run.mesh) | stores
            # Step; the previous one is looked at while this one runs.
            with jax.transfer_guard("disallow"):
                state, metrics = run.step_fn(state, batch)
            check_finite(run, sampler, pending)
            pending = (step, metrics)
            # Log.
            is_logged = _due(step + 1, run.log_options.every)
            values = {}
            if is_logged or step + 1 == options.steps:
                values = check_finite(run, sampler, pending)  # waits for the step
            meter.step(frames, waited, time.perf_counter() - began)
            if values:
                values |= {"lr": float(run.rate(step)), **meter.read()}
                values["compiles"] = len(run.traces)
                values["peak_memory_gib"] = metrics_log.peak_memory_gib()
                log.write(step + 1, values)
                warning = collapse.warning(values)
                if warning:
                    bar.write(f"step {step + 1}: {warning}")
                bar.set_postfix(
                    loss=f"{values['loss']:.3f}",
                    frames_per_s=f"{values['frames_per_s']:.0f}",
                )
            # Leave cleanly.
            if preemption.requested(step) and step + 1 < options.steps:
                check_finite(run, sampler, pending)
                save(run, state, labels, round_, banked, in_haste=True)
                log.close()
                run.checkpoints.close()
                bar.close()
                print(f"stopped by a signal at step {step + 1}; type it again to go on")
                raise SystemExit(0)
    if start < options.steps:
        save(run, state, labels, round_, banked)
    shown = state
    if run.checkpoints.best and run.eval_options.checkpoint == "best":
        run.checkpoints.wait()
        shown = restore_model(run)
    run.checkpoints.close()
    evaluations = evaluate.evaluate_state(run, shown)
    log.write(options.steps, evaluate.scores(evaluations))
    log.close()
    evaluate.write_results(run, shown, evaluations)
    mesh.wait_for_all("finished")
    return state


def is_finished(run: Run) -> bool:
    """Whether the results of the last step, with these `eval` options, are there.

    `finished` says with which options, see `evaluate.write_results`.
    """
    files = ["finished", *evaluate.result_files(run.eval_options)]
    if not all((run.workdir / file).exists() for file in files):
        return False
    text = (run.workdir / "finished").read_text()
    return text.strip() == json.dumps(run.config["eval"])


def train_bases(config: Mapping[str, Any], **kwargs) -> None:
    """On walkers, trains what the run starts from, and what its method stands on, where
    that is missing or unfinished.

    On a real data set a missing base is an error, which `open_run` explains.
    """
    check_config(config)
    if config["data"]["name"] not in twins():
        return
    options = config["train"]
    start = {"workdir": options["init_from"], "config": options.get("init_config")}
    bases = base_arguments(config["method_args"])
    for name, argument in (
        ("train.init_from", start),
        *((f"method_args.{name}", argument) for name, argument in bases),
    ):
        if must_train(argument):
            print(f"{name}: {argument['workdir']} comes first")
            train(argument["config"], argument["workdir"], **kwargs)


def refreshed(
    run: Run, state: TrainState, round_: int
) -> tuple[TrainState, np.ndarray]:
    """The method's own labels of a round, of all training records (-1 for validation),
    and the state with what it keeps beside them."""
    data, method = run.data, run.method
    rng = None
    if method.looks_closer(round_):
        rng = jax.random.fold_in(stream(run.options.seed, "refresh"), round_)
    views = evaluate.embed(run, state, data.train, data.train_rows, rng)
    found, kept = method.refresh(state.model_state, views, round_)
    labels = np.full(len(data.train), -1, np.int32)
    labels[data.train_rows] = found
    return state.replace(model_state=mesh.to_all(kept, run.mesh)), labels


def make_sampler(
    run: Run, labels: np.ndarray, round_: int, banked: Banked | None = None
) -> Callable[[int], np.ndarray]:
    """step -> records of its batch: the method's `source`, else P x K identities."""
    data, source = run.data, run.method.source
    if banked:
        return bank_sampler(run, banked)
    if source is not None:
        index, seed = data.train.index, run.options.seed
        return lambda step: source(index, seed, step, labels, None)
    own = run.method.refresh is not None
    return PKSampler(labels, data.p, data.k, run.options.seed, round_, clusters=own)


def make_batches(
    run: Run,
    sampler: Callable[[int], np.ndarray],
    labels: np.ndarray,
    start: int,
    banked: Banked | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """This process's rows of the batches from step `start` on."""
    data, method, stop = run.data, run.method, run.options.steps
    if banked:
        return bank_batches(run, banked, sampler, start, stop)
    return pipeline.train_batches(
        data,
        data.train.with_keys(train_keys(run)),
        sampler,
        labels,
        seed=run.options.seed,
        start=start,
        stop=stop,
        optional=method.optional_keys,
        rows=mesh.process_rows(data.batch_size),
    )


def train_keys(run: Run) -> tuple[str, ...]:
    """Modalities that the method trains on, with the optional ones that are there."""
    method, there = run.method, run.data.train.modalities
    optional = [key for key in method.optional_keys if key in there]
    return (*method.train_keys, *optional)


def save(
    run: Run,
    state: TrainState,
    labels: np.ndarray,
    round_: int,
    banked: Banked | None = None,
    in_haste: bool = False,
) -> None:
    """Hands the state to the checkpoint writer, with its score for `ckpt.best`.

    in_haste: somebody wants the machine back, so nothing is evaluated before.
    """
    best, metrics = run.checkpoints.best, None
    if best and not in_haste and best.startswith("val/"):
        metrics = validate(run, state, banked)
    elif best and not in_haste:
        metrics = evaluate.headline_scores(run, state, "val")
    side = {
        "step": int(state.step),
        "round": round_,
        "labels": labels.tolist(),
        "index": run.data.train.index.digest,
        "names": run.data.names,
        "config": run.config,
        "preprocessing": {"cut": run.data.cut, "shapes": run.data.train.frame_shapes},
        "versions": environment(),
    }
    run.checkpoints.save(int(state.step), state, side, metrics)


def check_finite(
    run: Run, sampler: Callable[[int], np.ndarray] | None, pending: tuple | None
) -> dict[str, float]:
    """The metrics of a step as floats; stops where one is not finite."""
    if pending is None:
        return {}
    step, metrics = pending
    values = {key: float(x) for key, x in jax.device_get(metrics).items()}
    bad = metrics_log.non_finite(values)
    if bad:
        records = np.unique(sampler(step) % len(run.data.train))  # of a bank: rows
        names = run.data.train.index.names[records]
        saved = run.checkpoints.latest()
        run.checkpoints.close()
        raise GaitError(
            f"step {step + 1}: {', '.join(f'{key} is {values[key]}' for key in bad)}; "
            f"stopped, the newest checkpoint is of step {saved or 'none'}; lower "
            f"optim.lr or set optim.clip, or look at this batch: {', '.join(names)}"
        )
    return values


def _due(step: int, every: int | None) -> bool:
    return bool(every) and step % every == 0


def in_round(step: int, options: TrainOptions) -> dict[str, np.ndarray]:
    """What a batch says of its place: the round, and the share of it that is over."""
    round_, progress = options.round_at(step)
    return {"round": np.int32(round_), "progress": np.float32(progress)}


def _verb(start: int) -> str:
    return "resuming" if start else "training"
