"""The train loop: one function, read from top to bottom, never forked.

Chapters: devices, data, method, state, restore, loop. Within a step: refresh,
evaluate, save, next batch, step, check, log, leave. Saving comes before the next
batch is drawn and the order of the data is a function of the step, so a checkpoint
holds no data state and a resumed run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from gaitjax import evaluate
from gaitjax.arguments import check, unknown
from gaitjax.data import pipeline, schema
from gaitjax.data.sampler import PKSampler
from gaitjax.errors import GaitError
from gaitjax.methods import api
from gaitjax.runtime import checkpoint, mesh, metrics_log
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.precision import Precision, compute_dtype
from gaitjax.runtime.preempt import Preemption
from gaitjax.runtime.state import TrainState, init_state, make_step
from gaitjax.runtime.workdir import open_workdir


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The config's `train` section.

    steps: updates in all. seed: of the parameters, the data order and the noise.
    precision: inside the networks. ema: decay of the averaged parameters that
    evaluation then uses. eval_every, refresh_every: steps between evaluations and
    between a method's refreshes (None: never on the way). init_from: a workdir
    whose newest checkpoint gives the parameters that fit.
    """

    steps: int
    seed: int = 0
    precision: Precision = "float32"
    ema: float | None = None
    eval_every: int | None = None
    refresh_every: int | None = None
    init_from: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogOptions:
    """The config's `log` section. every: steps between lines."""

    every: int = 50
    tensorboard: bool = True


def sections() -> dict[str, Callable]:
    """The sections of a config and what their keys are arguments of."""
    return {
        "data": pipeline.make_data,
        "optim": make_optimizer,
        "train": TrainOptions,
        "eval": evaluate.EvalOptions,
        "ckpt": checkpoint.open_checkpoints,
        "log": LogOptions,
    }


@dataclasses.dataclass(frozen=True)
class Run:
    """What every mode needs of a config: built by `open_run`, never changed."""

    config: Mapping[str, Any]
    workdir: pathlib.Path
    options: TrainOptions
    eval_options: evaluate.EvalOptions
    log_options: LogOptions
    mesh: jax.sharding.Mesh
    data: pipeline.Data
    method: api.Method
    key: jax.Array
    rate: Callable[[int], Any]
    step_fn: Callable
    init_fn: Callable[[], TrainState]
    like: TrainState
    checkpoints: checkpoint.Checkpoints
    embedder: evaluate.Embedder
    traces: list[int]


def train(
    config: Mapping[str, Any], workdir: str | os.PathLike, **kwargs
) -> TrainState:
    """Trains (or resumes, or finds it done), evaluates, and writes the report.

    config: plain nested dicts, as `sections` describes them. kwargs: see `open_run`.
    Returns the last state.
    """
    run = open_run(config, workdir, **kwargs)
    data, method, options = run.data, run.method, run.options
    state, side = restore_or_init(run)
    start, labels, round_ = int(state.step), side["labels"], side["round"]
    if start >= options.steps and (run.workdir / "results.json").exists():
        run.checkpoints.close()
        print(f"done at step {start}: {run.workdir}/results.json, report.html")
        return state
    print(f"{_verb(start)} {run.workdir} at step {start} of {options.steps}")
    bank = None
    if method.prepare:
        bank = method.prepare(
            data.train.index, functools.partial(embed_all, run, state)
        )

    log = metrics_log.MetricsLog(
        run.workdir, start=start, tensorboard=run.log_options.tensorboard
    )
    meter = metrics_log.Meter(data.batch_size * data.clip.most)
    collapse = metrics_log.CollapseWatch()
    batches: Iterator | None = None
    sampler: Callable[[int], np.ndarray] | None = None
    pending: tuple[int, dict] | None = None  # the last step, not yet looked at
    bar = tqdm(range(start, options.steps), "training", options.steps, initial=start)
    with Preemption() as preemption:
        for step in bar:
            # Refresh: new labels, and with them another order of the data.
            if method.refresh and round_ != _round(step, options):
                round_ = _round(step, options)
                views = embed_all(run, state, jax.random.fold_in(run.key, round_))
                found, new = method.refresh(state.model_state, views, round_)
                labels = np.full(len(data.train), -1, np.int32)
                labels[data.train_rows] = found
                state = state.replace(model_state=put(new, run.mesh))
                batches = None
            # Evaluate.
            if step > start and _due(step, options.eval_every):
                log.write(step, evaluate.scores(evaluate_now(run, state)))
            # Save, before the next batch is drawn.
            if step > start and _due(step, run.checkpoints.every):
                check_finite(run, sampler, pending)
                save(run, state, labels, round_)
            # Next batch.
            if batches is None:
                sampler = make_sampler(run, labels, round_, bank)
                batches = make_batches(run, sampler, labels, step)
            before = time.perf_counter()
            batch = {**next(batches), "round": np.int32(round_)}
            meter.waited(time.perf_counter() - before)
            batch = mesh.to_devices(batch, run.mesh)
            # Step; the previous one is looked at while this one runs.
            with jax.transfer_guard("disallow"):
                state, metrics = run.step_fn(state, batch)
            check_finite(run, sampler, pending)
            pending = (step, metrics)
            # Log.
            if _due(step + 1, run.log_options.every) or step + 1 == options.steps:
                values = check_finite(run, sampler, pending)
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
                save(run, state, labels, round_)
                log.close()
                run.checkpoints.close()
                bar.close()
                print(f"stopped by a signal at step {step + 1}; type it again to go on")
                raise SystemExit(0)
    if start < options.steps:
        save(run, state, labels, round_)
    run.checkpoints.close()
    evaluations = evaluate_now(run, state)
    log.write(options.steps, evaluate.scores(evaluations))
    log.close()
    evaluate.write_results(run.workdir, data, run.config, evaluations, run.eval_options)
    return state


def evaluate_run(
    config: Mapping[str, Any], workdir: str | os.PathLike, **kwargs
) -> None:
    """`--mode evaluate`: the newest checkpoint through the protocols, to a report."""
    run = open_run(config, workdir, create=False, **kwargs)
    state = restore_model(run)
    evaluations = evaluate_now(run, state)
    evaluate.write_results(
        run.workdir, run.data, run.config, evaluations, run.eval_options
    )


def extract_run(
    config: Mapping[str, Any], workdir: str | os.PathLike, **kwargs
) -> None:
    """`--mode extract`: embeddings of `eval.split` into an npz in the workdir."""
    run = open_run(config, workdir, create=False, **kwargs)
    split, rows = evaluate.eval_rows(run.data, run.eval_options)
    views = run.embedder(restore_model(run), split, rows)
    path = run.workdir / f"embeddings_{run.eval_options.split}.npz"
    evaluate.write_embeddings(path, views, split.index.select(rows))


def open_run(
    config: Mapping[str, Any],
    workdir: str | os.PathLike,
    *,
    create: bool = True,
    num_devices: int | None = None,
) -> Run:
    """Checks a config and builds everything that its modes share.

    create: whether a workdir without a run is fine. num_devices: only the first few.
    """
    check_config(config)
    options = TrainOptions(**config["train"])
    device_mesh = mesh.make_mesh(num_devices)
    data = pipeline.make_data(**config["data"])
    mesh.check_batch(data.p, data.k, device_mesh)
    method = make_method(config, data, options)
    if method.source is None:
        PKSampler(data.labels, data.p, data.k, options.seed)  # enough identities?
    path = open_workdir(workdir, config, create=create)

    key = jax.random.key(options.seed)
    example = example_batch(data, method)
    params, _ = jax.eval_shape(method.init, key, example)
    tx, rate = make_optimizer(params, options.steps, **config["optim"])
    init = functools.partial(init_state, method, tx, ema=options.ema)
    everywhere = mesh.replicated(device_mesh)
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
        jax.eval_shape(init, key, example),
    )
    traces: list[int] = []
    step = make_step(method, tx, key, options.ema, traces)
    eval_options = evaluate.EvalOptions(**config["eval"])
    return Run(
        config=config,
        workdir=path,
        options=options,
        eval_options=eval_options,
        log_options=LogOptions(**config["log"]),
        mesh=device_mesh,
        data=data,
        method=method,
        key=key,
        rate=rate,
        step_fn=jax.jit(step, donate_argnums=0, out_shardings=everywhere),
        init_fn=lambda: jax.jit(init, out_shardings=everywhere)(key, example),
        like=like,
        checkpoints=checkpoint.open_checkpoints(path, **config["ckpt"]),
        embedder=evaluate.make_embedder(method, data, device_mesh, eval_options),
        traces=traces,
    )


def check_config(config: Mapping[str, Any]) -> None:
    """Every section's keys and types against the function that takes them."""
    known = {"method", "method_args", *sections()}
    for name in config:
        if name not in known:
            raise GaitError(unknown(name, known, "config section"))
    for name in known - config.keys():
        raise GaitError(
            f"the config has no section {name}; start from configs/common.py"
        )
    for name, fn in sections().items():
        check(fn, config[name], name)


def make_method(
    config: Mapping[str, Any], data: pipeline.Data, options: TrainOptions
) -> api.Method:
    """The config's method, for what this data set holds."""
    shapes = data.shapes(data.train.modalities)
    method = api.make(
        config["method"],
        api.Info(num_classes=len(data.names), shapes=shapes),
        config["method_args"],
        compute_dtype(options.precision),
    )
    data.train.with_keys(method.train_keys)
    data.test.with_keys(method.embed_keys)
    return method


def example_batch(data: pipeline.Data, method: api.Method) -> dict[str, np.ndarray]:
    """One made-up sequence in the shapes that batches have."""
    t = data.clip.most
    keys = dict.fromkeys((*method.train_keys, *method.embed_keys))
    batch = {
        key: np.zeros((1, t, *shape), schema.modality(key).dtype)
        for key, shape in data.shapes(keys).items()
    }
    batch |= {"label": np.zeros(1, np.int32), "mask": np.ones((1, t), np.float32)}
    return pipeline.fill_optional(batch, method.optional_keys)


def restore_or_init(run: Run) -> tuple[TrainState, dict[str, Any]]:
    """The state to go on from, and its round and labels.

    The newest checkpoint of the workdir, else `train.init_from`, else fresh.
    """
    latest = run.checkpoints.latest()
    if latest is not None:
        side = run.checkpoints.side(latest)
        labels = np.asarray(side["labels"], np.int32)
        state = run.checkpoints.restore(latest, run.like)
        return state, {"round": side["round"], "labels": labels}
    state = run.init_fn()
    if run.options.init_from:
        state = init_from(run, state, run.options.init_from)
    return state, {
        "round": 0 if not run.method.refresh else -1,
        "labels": run.data.labels,
    }


def init_from(run: Run, state: TrainState, source: str) -> TrainState:
    """Parameters of another run's newest checkpoint, where names and shapes agree."""
    folder = pathlib.Path(source)
    if not (folder / "checkpoints").is_dir():
        raise GaitError(
            f"train.init_from={source} holds no checkpoints/; give a workdir"
        )
    other = checkpoint.open_checkpoints(folder)
    step = other.latest()
    if step is None:
        raise GaitError(f"train.init_from={source} holds no finished checkpoint")
    saved = other.saved_model(step, mesh.replicated(run.mesh))
    other.close()
    params, kept = checkpoint.take_matching(saved["params"], state.params)
    model_state, _ = checkpoint.take_matching(saved["model_state"], state.model_state)
    lines = checkpoint.differences(saved["params"], state.params)
    if not kept:
        raise GaitError(
            f"train.init_from={source}: no parameter fits this network "
            f"({'; '.join(lines[:3])}); use a checkpoint of the same backbone"
        )
    print(
        f"{kept} arrays from {source} step {step}; left out: {'; '.join(lines) or '-'}"
    )
    ema = jax.tree.map(jax.numpy.copy, params) if state.ema is not None else None
    return state.replace(params=params, model_state=model_state, ema=ema)


def restore_model(run: Run) -> TrainState:
    """Parameters of the newest checkpoint, for evaluation."""
    latest = run.checkpoints.latest()
    if latest is None:
        raise GaitError(
            f"{run.workdir} has no checkpoint yet; train it first (--mode train)"
        )
    if latest < run.options.steps:
        print(f"note: step {latest} of {run.options.steps} in this recipe")
    return run.checkpoints.restore_model(latest, run.like)


def make_sampler(
    run: Run, labels: np.ndarray, round_: int, bank: Any
) -> Callable[[int], np.ndarray]:
    """step -> records of its batch: the method's `source`, else P x K identities."""
    data, source = run.data, run.method.source
    if source is not None:
        index, seed = data.train.index, run.options.seed
        return lambda step: source(index, seed, step, labels, bank)
    return PKSampler(labels, data.p, data.k, run.options.seed, round_)


def make_batches(
    run: Run, sampler: Callable[[int], np.ndarray], labels: np.ndarray, start: int
) -> Iterator[dict[str, np.ndarray]]:
    """This process's rows of the batches from step `start` on."""
    data, method = run.data, run.method
    optional = [key for key in method.optional_keys if key in data.train.modalities]
    return pipeline.train_batches(
        data,
        data.train.with_keys((*method.train_keys, *optional)),
        sampler,
        labels,
        seed=run.options.seed,
        start=start,
        stop=run.options.steps,
        optional=method.optional_keys,
        rows=mesh.process_rows(data.batch_size),
    )


def embed_all(
    run: Run, state: TrainState, rng: jax.Array | None = None
) -> dict[str, np.ndarray]:
    """{view: f32 [N, p, d]} of the records that are trained on."""
    return run.embedder(state, run.data.train, run.data.train_rows, rng)


def evaluate_now(run: Run, state: TrainState) -> list:
    """The data set's protocols on the state."""
    return evaluate.evaluate_state(state, run.data, run.embedder, run.eval_options)


def save(run: Run, state: TrainState, labels: np.ndarray, round_: int) -> None:
    """Hands the state to the checkpoint writer."""
    metrics = None
    if run.checkpoints.best:
        metrics = evaluate.scores(evaluate_now(run, state))
        if run.checkpoints.best not in metrics:
            raise GaitError(
                unknown(run.checkpoints.best, metrics, "metric in ckpt.best")
            )
    side = {
        "step": int(state.step),
        "round": round_,
        "labels": labels.tolist(),
        "names": run.data.names,
        "config": run.config,
        "preprocessing": {"cut": run.data.cut, "shapes": run.data.train.frame_shapes},
        "versions": evaluate.environment(),
    }
    try:
        run.checkpoints.save(int(state.step), state, side, metrics)
    except OSError as error:
        raise GaitError(
            f"cannot save step {int(state.step)} in {run.workdir}: {error.strerror}; "
            f"step {run.checkpoints.latest() or 'none'} is safe: make room, then "
            "type the same line again"
        ) from error


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
        names = run.data.train.index.names[sampler(step)]
        saved = run.checkpoints.latest()
        run.checkpoints.close()
        raise GaitError(
            f"step {step + 1}: {', '.join(f'{key} is {values[key]}' for key in bad)}; "
            f"stopped, the newest checkpoint is of step {saved or 'none'}; lower "
            f"optim.lr or set optim.clip, or look at this batch: {', '.join(names)}"
        )
    return values


def put(tree: Any, device_mesh: Mesh) -> Any:
    """A pytree on every device."""
    return jax.device_put(tree, mesh.replicated(device_mesh))


def _due(step: int, every: int | None) -> bool:
    return bool(every) and step % every == 0


def _round(step: int, options: TrainOptions) -> int:
    return step // options.refresh_every if options.refresh_every else 0


def _verb(start: int) -> str:
    return "resuming" if start else "training"
