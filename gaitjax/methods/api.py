"""The interface between a method and the train loop.

A method is a module of this package, or any importable one, with a function
`make(info, *, dtype, ...) -> Method`. The loop calls what is in `Method` and knows
nothing else about it. Shapes: n sequences, t frames, p parts, d dims.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax import methods
from gaitjax.arguments import check, unknown
from gaitjax.data.topology import Topology
from gaitjax.errors import GaitError

Batch = Mapping[str, jax.Array]
Tree = Any  # a pytree of arrays


@dataclasses.dataclass(frozen=True)
class Base:
    """A frozen network that a method stands on.

    A method takes one as `base`, or `<name>_base`, among its arguments: a mapping with
    `workdir` and `config` (see `runtime.base`). What was opened is `Info.bases[name]`;
    its arrays are kept in model_state["bases"][name], outside the optimiser.

    embed_keys: the modalities it wants. shapes: [p, d] of an embedding, by view.
    embed(arrays, batch) -> {view: f32 [n, p, d]}.
    """

    embed_keys: tuple[str, ...]
    shapes: Mapping[str, tuple[int, int]]
    embed: Callable[[Tree, Batch], dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Info:
    """What the data says. shapes: one frame of each modality as it arrives. bases: by
    the name of the argument. topology: of its 3D labels, as far as it is known."""

    num_classes: int
    shapes: Mapping[str, tuple[int, ...]]
    topology: Topology | None = None
    bases: Mapping[str, Base] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Method:
    """Functions of one method; the optional ones are None where it lacks them.

    train_keys, embed_keys: the modalities that `loss` and `embed` need.
    optional_keys: modalities that training takes where the data has them.

    init(rng, batch) -> params, model_state
    loss(params, model_state, batch, rng) -> scalar, (model_state, metrics); the
      batch carries `step`, `round`, `progress` (f32, the share of the round that is
      over) and `index` too. Metrics are scalars; the terms
      of the loss are called <term>/loss, so that a non-finite one can be named.
    embed(params, model_state, batch, rng=None) -> {view: f32 [n, p, d]}. Without rng
      the views lie in one space and are called by their modality: each is compared
      with each (`run.modality_pairs`). With rng there may be others, which only
      `refresh` needs, in rounds that `looks_closer` names.
    source(index, seed, step, labels, bank) -> records i64 [n] of batch `step`; with
      a bank its rows, of any shape [n, ...], and the batch has `features` in place of
      frames. bank: what `prepare` made, else None.
    prepare(bank, index, labels) -> what `source` needs of a `data.features.Bank`: the
      embeddings of the training split, once, before the first step. labels: -1 =
      neither drawn nor to be found.
    validate(params, model_state, batch) -> metrics of a batch that `source` made of
      the validation people (`data.val`), means of which `ckpt.best` may name.
    rescore(params, model_state, probe f32 [b, p, d], candidates f32 [b, k, p, d]) ->
      distances f32 [b, k], by which evaluation sorts the nearest ones again.
    predict(params, model_state, batch) -> what else the network says of a sequence, by
      name, for pictures and measurements; the loop does not call it.
    inference_args: arguments of `make` that exported weights get, so that nothing is
      wanted that only training needs.
    refresh(model_state, {view: f32 [N, p, d]}, round) -> labels i32 [N],
      model_state: new labels for the records that are trained on, -1 = not drawn.
    looks_closer(round) -> whether `refresh` then wants the other views, too.
    check_training(data) raises GaitError, before the first step, where training wants
      another `data` section of the config, or a package that is missing.
    """

    train_keys: tuple[str, ...]
    embed_keys: tuple[str, ...]
    init: Callable[[jax.Array, Batch], tuple[Tree, Tree]]
    loss: Callable[[Tree, Tree, Batch, jax.Array], tuple[jax.Array, tuple[Tree, dict]]]
    embed: Callable[..., dict[str, jax.Array]]
    optional_keys: tuple[str, ...] = ()
    inference_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    source: Callable[..., np.ndarray] | None = None
    prepare: Callable[..., Any] | None = None
    validate: Callable[[Tree, Tree, Batch], dict[str, jax.Array]] | None = None
    rescore: Callable[..., jax.Array] | None = None
    predict: Callable[[Tree, Tree, Batch], dict[str, jax.Array]] | None = None
    refresh: Callable[..., tuple[np.ndarray, Tree]] | None = None
    looks_closer: Callable[[int], bool] = lambda round_: True
    check_training: Callable[[Mapping[str, Any]], None] = lambda data: None


def find(name: str) -> Callable[..., Method]:
    """The `make` of a method, by the name of its module (dotted: as it is)."""
    modules = {module.name for module in pkgutil.iter_modules(methods.__path__)}
    here = modules - {"api", "streams"}  # what methods share
    if "." not in name and name not in here:
        raise GaitError(unknown(name, here, "method"))
    path = name if "." in name else f"{methods.__name__}.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if not path.startswith(error.name or " "):
            raise  # the method exists, one of its own imports does not
        raise GaitError(
            f"method {name}: no module {error.name}; here are {', '.join(sorted(here))}"
        ) from error
    if not hasattr(module, "make"):
        raise GaitError(f"method {name} has no make(info, ...); see methods/api.py")
    return module.make


def make(
    name: str, info: Info, method_args: Mapping, dtype: jnp.dtype = jnp.float32
) -> Method:
    """Builds a method from its config; wrong arguments are explained."""
    build = find(name)
    check(build, method_args, "method_args", besides=("dtype",))
    return build(info, dtype=dtype, **method_args)
