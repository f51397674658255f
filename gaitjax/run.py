"""What every mode needs of a config: checked, built, and restored.

`open_run` turns nested dicts into a `Run`; the sections of a config are keyword
arguments of the functions that `sections` names, which makes them the schema.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import jax
import numpy as np

from gaitjax.arguments import at_least, between, check, defaults, unknown
from gaitjax.data import pipeline
from gaitjax.data.sampler import PKSampler
from gaitjax.errors import GaitError
from gaitjax.methods import api
from gaitjax.retrieval import protocols, rerank
from gaitjax.runtime import checkpoint, inputs, mesh, shapes, weights
from gaitjax.runtime.base import base_arguments, base_folder, is_there
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.precision import Precision, with_products
from gaitjax.runtime.state import TrainState, init_state, make_step, stream
from gaitjax.runtime.workdir import (
    check_same_run,
    open_workdir,
    write_config,
)

DISTANCES = ("euclidean", "cosine")  # what eval.distances may name


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The config's `train` section.

    steps: updates in all. seed: of the parameters, the data order and the noise.
    precision: inside the networks, see `runtime.precision`. ema: decay of the
    averaged parameters that evaluation then uses. eval_every, refresh_every: steps
    between evaluations and between a method's refreshes (None: never on the way).
    refresh_later: (step, every), from that step on rounds are so long.
    init_from: a workdir whose newest checkpoint gives the parameters that fit (not the
    averaged ones), and init_config the config that trains it first on walkers, where it
    is missing.
    """

    steps: int
    seed: int = 0
    precision: Precision = "float32"
    ema: float | None = None
    eval_every: int | None = None
    refresh_every: int | None = None
    refresh_later: tuple[int, ...] = ()
    init_from: str | None = None
    init_config: Mapping | None = None

    def __post_init__(self):
        at_least(1, train__steps=self.steps)
        between(0, 2**31 - 1, train__seed=self.seed)
        between(0, 1, train__ema=self.ema)
        at_least(1, train__eval_every=self.eval_every)
        at_least(1, train__refresh_every=self.refresh_every)
        if self.refresh_later:
            if len(self.refresh_later) != 2 or self.refresh_every is None:
                raise GaitError(
                    "train.refresh_later wants (step, every), and refresh_every until "
                    f"then, got {self.refresh_later} and {self.refresh_every}"
                )
            at_least(1, train__refresh_later=min(self.refresh_later))

    def round_at(self, step: int) -> tuple[int, float]:
        """The round of a step, and the share of it that is over."""
        if self.refresh_every is None:
            return 0, step / self.steps
        begin, every, before = 0, self.refresh_every, 0
        if self.refresh_later and step >= self.refresh_later[0]:
            before = -(-self.refresh_later[0] // every)  # the last of them may be cut
            begin, every = self.refresh_later
        rounds, rest = divmod(step - begin, every)
        return before + rounds, rest / every


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogOptions:
    """The config's `log` section. every: steps between lines."""

    every: int = 50
    tensorboard: bool = True

    def __post_init__(self):
        at_least(1, log__every=self.every)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """The config's `eval` section.

    split: `test`, or `val` (see data.val). checkpoint: the newest one, or the best by
    `ckpt.best`. distances: between embeddings, `euclidean`, `cosine` or both; the first
    is the headline one, which logs, `ckpt.best` and the report's pictures are of.
    ranks: the k of Rank-k. batch: sequences at a time. frames_limit: only so many
    first frames of a sequence. buckets: how many lengths sequences are padded to.
    rounded: round view-pair cells to two decimals before averaging, as OpenGait does.
    lists: rank lists per condition in the report. report: whether report.html is
    written, which a study of many runs can do without. rerank: K, how many of the
    nearest a method that re-ranks sorts again. rivals: re-rankers without training
    beside it, some of kreciprocal, lbr, gcr.
    """

    split: Literal["test", "val"] = "test"
    checkpoint: Literal["latest", "best"] = "latest"
    distances: tuple[str, ...] = ("euclidean",)
    ranks: tuple[int, ...] = (1, 5, 10)
    batch: int = 64
    frames_limit: int = 720
    buckets: int = 4
    rounded: bool = False
    lists: int = 6
    report: bool = True
    rerank: int = 10
    rivals: tuple[str, ...] = ()

    def __post_init__(self):
        at_least(1, eval__batch=self.batch, eval__buckets=self.buckets)
        at_least(1, eval__frames_limit=self.frames_limit)
        at_least(0, eval__lists=self.lists)
        at_least(1, eval__rerank=self.rerank)
        rerank.make(self.rivals, "euclidean")
        at_least(1, **{"eval__ranks": min(self.ranks, default=0)})
        given = set(self.distances)
        once = 0 < len(given) == len(self.distances)
        if not once or not given <= set(DISTANCES):
            raise GaitError(
                f"eval.distances: expected some of {', '.join(DISTANCES)}, each once, "
                f"got {list(self.distances)}; write {DISTANCES} or one of them"
            )


def sections() -> dict[str, Callable]:
    """The sections of a config and what their keys are arguments of."""
    return {
        "data": pipeline.make_data,
        "optim": make_optimizer,
        "train": TrainOptions,
        "eval": EvalOptions,
        "ckpt": checkpoint.open_checkpoints,
        "log": LogOptions,
    }


@dataclasses.dataclass(frozen=True)
class Run:
    """A config that was checked, and what was built from it.

    like: shapes and shardings of a state, without arrays. init_fn makes one. rate:
    learning rate by step. step_fn, embed_fn: jitted over the mesh; so are rescore_fn
    and validate_fn, None where the method lacks them. traces: grows whenever JAX traces
    the step.
    """

    config: Mapping[str, Any]
    workdir: pathlib.Path
    options: TrainOptions
    eval_options: EvalOptions
    log_options: LogOptions
    mesh: jax.sharding.Mesh
    data: pipeline.Data
    method: api.Method
    rate: Callable[[int], Any]
    step_fn: Callable
    embed_fn: Callable
    rescore_fn: Callable | None
    validate_fn: Callable | None
    init_fn: Callable[[], TrainState]
    like: TrainState
    checkpoints: checkpoint.Checkpoints
    traces: list[int]


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
    path = open_workdir(workdir, create=create)
    options = TrainOptions(**config["train"])
    eval_options = EvalOptions(**config["eval"])
    device_mesh = mesh.make_mesh(num_devices)
    with mesh.in_turn("data"):  # walkers are made where they are missing
        data = pipeline.make_data(**config["data"])
    mesh.check_batch(data.p, data.k, device_mesh)
    frames = data.shapes(data.train.modalities)
    method, bases = shapes.make(config, len(data.names), frames, data.topology)
    data.train.with_keys(method.train_keys)
    data.test.with_keys(method.embed_keys)
    if method.source is None and method.refresh is None:
        PKSampler(data.labels, data.p, data.k, options.seed)  # enough identities?
    if eval_options.split == "val" and not len(data.val_rows):
        raise GaitError(
            "eval.split=val wants validation identities, but data.val is 0; train with "
            "data.val=0.2 or so"
        )

    key = stream(options.seed, "init")
    example = example_batch(data, method)
    params, _ = jax.eval_shape(method.init, key, example)
    tx, rate = make_optimizer(params, options.steps, **config["optim"])
    init = functools.partial(init_state, method, tx, ema=options.ema)
    everywhere = mesh.replicated(device_mesh)
    frozen = {name: one.like for name, one in bases.items()}
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
        jax.eval_shape(init, key, example, bases=frozen),
    )
    if config["ckpt"]["best"] is not None:
        model = like.params, like.model_state
        views = jax.eval_shape(method.embed, *model, example)
        check_best(config["ckpt"]["best"], data, config["eval"]["ranks"], views, method)

    def init_fn() -> TrainState:
        arrays = {name: one.load(everywhere) for name, one in bases.items()}
        once = jax.jit(init, out_shardings=everywhere, compiler_options=in_haste())
        return once(key, example, bases=arrays)

    def jitted(fn: Callable | None) -> Callable | None:
        if fn is None:
            return None
        return jax.jit(with_products(fn, options.precision), out_shardings=everywhere)

    traces: list[int] = []
    prepare = inputs.make_prepare(data, device_mesh)
    step = make_step(method, tx, options.seed, options.ema, traces, prepare)
    return Run(
        config=config,
        workdir=path,
        options=options,
        eval_options=eval_options,
        log_options=LogOptions(**config["log"]),
        mesh=device_mesh,
        data=data,
        method=method,
        rate=rate,
        step_fn=jax.jit(
            with_products(step, options.precision),
            donate_argnums=0,
            out_shardings=everywhere,
        ),
        embed_fn=jitted(method.embed),
        rescore_fn=jitted(from_gallery(method.rescore)),
        validate_fn=jitted(method.validate),
        init_fn=init_fn,
        like=like,
        checkpoints=checkpoint.open_checkpoints(path, **config["ckpt"]),
        traces=traces,
    )


def in_haste() -> dict[str, Any]:
    """Options of the compiler for what runs once: on a CPU, drawing the first weights
    of a narrow Mesh-Gait takes 61 s to compile, and 14 s so."""
    cpu = jax.default_backend() == "cpu"
    return {"xla_backend_optimization_level": 0} if cpu else {}


def reopen(workdir: str | os.PathLike, method: str | None = None) -> Run:
    """The run of a workdir, by the config that it holds.

    method: which it has to be of. Raises GaitError for another one, and for weights
    without a run.
    """
    config = weights.read_config(workdir)
    if method is not None and config["method"] != method:
        raise GaitError(
            f"{workdir} is of the method {config['method']}; give a run of {method}"
        )
    if "weights" in config:
        raise GaitError(
            f"{workdir} holds weights alone, without what only training needs; give "
            "the run that they are from"
        )
    return open_run(config, workdir, create=False)


def from_gallery(rescore: Callable | None) -> Callable | None:
    """The method's `rescore` of places in a gallery that is on the device: i32 [b, k]
    in place of embeddings [b, k, p, d]."""
    if rescore is None:
        return None

    def fn(
        params: api.Tree,
        model_state: api.Tree,
        probe: jax.Array,
        gallery: jax.Array,
        near: jax.Array,
    ) -> jax.Array:
        return rescore(params, model_state, probe, gallery[near])

    return fn


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


def modality_pairs(views: Iterable[str]) -> list[tuple[str, str]]:
    """(probe, gallery) of every evaluation: across views first, then within one."""
    pairs = itertools.product(sorted(views), repeat=2)
    return sorted(pairs, key=lambda pair: pair[0] == pair[1])  # a stable sort


def score_prefix(pair: tuple[str, str], pairs: Iterable[tuple[str, str]]) -> str:
    """What a score's name begins with: "sils>ranges/", or "" for the only pair."""
    return "{}>{}/".format(*pair) if len(set(pairs)) > 1 else ""


def score_names(protocol: protocols.Protocol, ranks: Iterable[int]) -> list[str]:
    """What a protocol gives of one pair: "NM/rank-1" and so on."""
    metrics = [f"rank-{k}" for k in sorted({*ranks, *protocol.ranks})]
    if protocol.breakdown != "view_pairs":
        metrics += ["mAP", "mINP"]
    return [f"{name}/{metric}" for name in protocol.probes for metric in metrics]


def check_best(
    best: str,
    data: pipeline.Data,
    ranks: tuple[int, ...],
    views: Iterable[str],
    method: api.Method,
) -> None:
    """`ckpt.best` names a score of the data set's protocols, on validation people, or
    `val/...`, what the method itself measures on them."""
    pairs = modality_pairs(views)
    known = [
        score_prefix(pair, pairs) + name
        for pair in pairs
        for protocol in protocols.for_dataset(data.name)
        for name in score_names(protocol, ranks)
    ]
    own = method.validate is not None and best.startswith("val/")
    if best not in known and not own:
        raise GaitError(unknown(best, known, "metric in ckpt.best"))
    if not len(data.val_rows):
        raise GaitError(
            "ckpt.best chooses on validation identities, but data.val is 0; set "
            "data.val=0.2 or so"
        )


def example_batch(data: pipeline.Data, method: api.Method) -> dict[str, np.ndarray]:
    """One made-up sequence in the shapes that batches have."""
    keys = dict.fromkeys((*method.train_keys, *method.embed_keys))
    return shapes.example_batch(data.shapes(keys), method, data.clip.most)


def restore_or_init(run: Run) -> tuple[TrainState, dict[str, Any]]:
    """The state to go on from, and its round and labels.

    The newest checkpoint of the workdir, else `train.init_from`, else fresh.
    """
    if weights.read_about(run.workdir) is not None:
        raise GaitError(
            f"{run.workdir} holds weights alone; train in another --workdir with "
            f"train.init_from={run.workdir}"
        )
    latest = run.checkpoints.latest()
    if latest is not None:
        side = read_side(run, latest)
        if side["index"] != run.data.train.index.digest:
            raise GaitError(
                f"{run.workdir}: the training set is not the one that step {latest} "
                "was trained on (other records, or another order); point data.dir at "
                "that one, or choose another --workdir with train.init_from"
            )
        labels = np.asarray(side["labels"], np.int32)
        state = run.checkpoints.restore(latest, run.like)
        write_config(run.workdir, run.config)
        return state, {"round": side["round"], "labels": labels}
    check_begin(run)
    write_config(run.workdir, run.config)
    state = run.init_fn()
    if run.options.init_from:
        state = init_from(run, state, run.options.init_from)
    return state, {
        "round": 0 if not run.method.refresh else -1,
        "labels": run.data.labels,
    }


def read_side(run: Run, step: int) -> dict[str, Any]:
    """The JSON of a checkpoint, which must be of this run's config."""
    side = run.checkpoints.side(step)
    # What refresh embeds with makes the labels, so there it belongs to the run.
    embedding = ("eval.batch", "eval.buckets", "eval.frames_limit")
    fixed = embedding if run.method.refresh else ()
    known = default_values(run.config["method"])
    check_same_run(run.workdir, side["config"], run.config, fixed, known)
    return side


def default_values(method: str) -> dict[str, Any]:
    """{"optim.lr": 0.1} of every argument of the code that has a default."""
    functions = {**sections(), "method_args": api.find(method)}
    return {
        f"{name}.{key}": value
        for name, fn in functions.items()
        for key, value in defaults(fn).items()
        if key != "dtype"
    }


def check_begin(run: Run) -> None:
    """Raises GaitError where what a fresh run starts from, or stands on, is not
    there."""
    own_labels = run.method.refresh is not None
    arguments = [
        (f"method_args.{name}.workdir", argument)
        for name, argument in base_arguments(run.config["method_args"])
    ]
    if run.options.init_from:
        start = {"workdir": run.options.init_from}
        arguments = [("train.init_from", start), *arguments]
    elif own_labels:
        print("note: no train.init_from: the first labels are of random weights")
    missing = [(name, one) for name, one in arguments if not is_there(one)]
    if missing:
        listed = " and ".join(f"{name}={base_folder(one)}" for name, one in missing)
        verb, it = ("holds", "it") if len(missing) == 1 else ("hold", "them")
        how = " (see docs/unsupervised.md)" if own_labels else ""
        raise GaitError(
            f"{listed} {verb} no checkpoints; train {it} there first{how}, or give the "
            "workdir of a run or of weights"
        )


def init_from(run: Run, state: TrainState, source: str) -> TrainState:
    """Parameters of another run's newest checkpoint, where names and shapes agree.

    Where a method makes its labels of embeddings, all that these depend on has to.
    """
    other = checkpoint.open_checkpoints(base_folder({"workdir": source}))
    step = other.latest()
    if step is None:
        raise GaitError(
            f"train.init_from={source} holds no finished checkpoint; train it on"
        )
    saved = other.saved_model(step, mesh.replicated(run.mesh))
    other.close()
    params, kept = checkpoint.take_matching(saved["params"], state.params)
    # The bases stay those of this config.
    own = {key: x for key, x in saved["model_state"].items() if key != "bases"}
    model_state, _ = checkpoint.take_matching(own, state.model_state)
    lines = checkpoint.differences(saved["params"], state.params)
    if not kept:
        raise GaitError(
            f"train.init_from={source}: no parameter fits this network "
            f"({'; '.join(lines[:3])}); use a checkpoint of the same backbone"
        )
    if run.method.refresh:
        saved_model = {"params": saved["params"], "model_state": own}
        wanted = {"params": state.params, "model_state": state.model_state}
        needed = embedding_arrays(run)
        amiss = checkpoint.differences(saved_model, wanted, needed)
        if amiss:
            raise GaitError(
                f"train.init_from={source}: {len(amiss)} of the {len(needed)} arrays "
                "of embeddings, which make the first labels, do not fit "
                f"({'; '.join(amiss[:3])}); use a checkpoint of the same backbone and "
                "backbone_args"
            )
    print(
        f"{kept} arrays from {source} step {step}; left out: {'; '.join(lines) or '-'}"
    )
    ema = jax.tree.map(jax.numpy.copy, params) if state.ema is not None else None
    return state.replace(params=params, model_state=model_state, ema=ema)


def restore_model(run: Run) -> TrainState:
    """Parameters of the newest or best checkpoint, for evaluation."""
    which = run.eval_options.checkpoint
    best = which == "best"
    step = run.checkpoints.best_step() if best else run.checkpoints.latest()
    if step is None:
        raise GaitError(
            f"{run.workdir} has no {which} checkpoint; train it first (--mode train"
            f"{', with ckpt.best' if best else ''})"
        )
    about = weights.read_about(run.workdir)
    if about is not None:
        state = restore_weights(run, step, about)
    else:
        read_side(run, step)
        state = run.checkpoints.restore_model(step, run.like)
    if step < run.options.steps:
        print(f"note: step {step} of {run.options.steps} in this recipe")
    return state.replace(step=np.int32(step))


def restore_weights(run: Run, step: int, about: Mapping[str, Any]) -> TrainState:
    """The state of a folder of weights, whose classifier may be any or none."""
    weights.check_shapes(
        about, run.data.shapes(about["weights"]["shapes"]), run.workdir
    )
    saved = run.checkpoints.saved_model(step, mesh.replicated(run.mesh))
    return weights.fill(saved, run.like, embedding_arrays(run), run.workdir)


def embedding_arrays(run: Run) -> set[str]:
    """Names of the arrays that evaluation depends on, under params and model_state."""
    method, batch = run.method, example_batch(run.data, run.method)

    def used(model: Mapping[str, Any]) -> list[Any]:
        arrays = model["params"], model["model_state"]
        views = method.embed(*arrays, batch)
        if method.rescore is None:
            return [views]
        x = next(iter(views.values()))
        return [views, method.rescore(*arrays, x, x[:, None])]

    return weights.used_arrays(
        used, {"params": run.like.params, "model_state": run.like.model_state}
    )
