"""Frozen networks that a method stands on: opened by name, kept in its state.

A method's argument `base`, or `<name>_base`, is a mapping: `workdir`, a run or a folder
of weights alone, and `config`, that of the run that makes it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.arguments import unknown
from gaitjax.data.pipeline import CLASSES
from gaitjax.errors import GaitError
from gaitjax.methods import api
from gaitjax.runtime import checkpoint, weights


@dataclasses.dataclass(frozen=True)
class Frozen:
    """base: what the method gets. like: shapes of its arrays, those alone that
    embeddings depend on. load(sharding) reads them."""

    base: api.Base
    like: Any
    load: Callable[[jax.sharding.Sharding], Any]


def base_arguments(method_args: Mapping[str, Any]) -> Iterator[tuple[str, Mapping]]:
    """(name, {workdir, config}) of the bases that a method's arguments name."""
    for name, value in method_args.items():
        if (name == "base" or name.endswith("_base")) and value:
            for key in value.keys() - {"workdir", "config"}:
                raise GaitError(
                    unknown(f"method_args.{name}.{key}", ("workdir", "config"))
                )
            yield name, value


def base_folder(argument: Mapping[str, Any]) -> pathlib.Path | None:
    """The absolute path of the argument's workdir."""
    workdir = argument.get("workdir")
    return pathlib.Path(workdir).expanduser().absolute() if workdir else None


def is_there(argument: Mapping[str, Any]) -> bool:
    """Whether the workdir holds something that `open_base` can read."""
    folder = base_folder(argument)
    return folder is not None and (folder / "checkpoints").is_dir()


def must_train(argument: Mapping[str, Any]) -> bool:
    """Whether the workdir wants training by the config given: nothing is there, or an
    unfinished run of that very config."""
    folder = base_folder(argument)
    if folder is None or not argument.get("config"):
        return False
    if not is_there(argument):
        return True
    if not (folder / "config.json").exists():  # it got no further than its folder
        return True
    ours = json.loads(json.dumps(argument["config"]))
    theirs = json.loads(json.dumps(base_config("base", argument)))
    return theirs == ours and not (folder / "finished").exists()


def open_base(
    name: str,
    argument: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    cut: tuple[str, ...],
    dtype: jnp.dtype,
    example: Callable[[api.Method], Mapping[str, np.ndarray]],
) -> Frozen:
    """The network of a base, built for these data; nothing is read but its config.

    shapes, cut: of frames as they arrive here (see `data.make_data`). example: one
    made-up sequence for a method.
    """
    config = base_config(name, argument)
    about = config.get("weights")
    folder = base_folder(argument)
    if about:
        weights.check_shapes(config, shapes, folder)
    elif tuple(config["data"]["cut"]) != cut:
        raise GaitError(
            f"method_args.{name} was trained with data.cut={config['data']['cut']}, "
            f"here it is {cut}; give the base's own data section"
        )
    # Embeddings do not depend on the classifier, whatever its size; of other classes
    # than people the number is known.
    names = CLASSES.get(config["data"].get("label"), ("anybody",))
    info = api.Info(num_classes=len(names), shapes=shapes)
    method = api.make(config["method"], info, config["method_args"], dtype)
    batch = example(method)
    params, state = jax.eval_shape(method.init, jax.random.key(0), batch)
    whole = {"params": params, "model_state": state}

    def run(model: Any, batch: Mapping) -> dict[str, jax.Array]:
        return method.embed(model["params"], model["model_state"], batch)

    like = weights.keep(whole, weights.used_arrays(lambda m: run(m, batch), whole))

    def embed(model: Any, batch: Mapping) -> dict[str, jax.Array]:
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), whole)
        full, _ = checkpoint.take_matching(model, zeros)
        return run(full, batch)

    views = jax.eval_shape(embed, like, batch)
    base = api.Base(
        embed_keys=method.embed_keys,
        shapes={view: x.shape[1:] for view, x in views.items()},
        embed=embed,
    )
    return Frozen(base, like, lambda sharding: _load(name, argument, like, sharding))


def base_config(name: str, argument: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config that says what the network of a base is: its own, else that given."""
    folder = base_folder(argument)
    if folder is not None and (folder / "config.json").is_file():
        return weights.read_config(folder)
    if argument.get("config"):
        return argument["config"]
    raise GaitError(
        f"method_args.{name}.workdir={argument.get('workdir')} holds no run and no "
        "weights; train the base there first, or give a converted checkpoint"
    )


def digest(model: Any) -> str:
    """Which network: a hash of the names and the values of its arrays."""
    seen = hashlib.sha256()
    for name, x in zip(checkpoint.names(model), jax.tree.leaves(model), strict=True):
        seen.update(name.encode())
        seen.update(np.ascontiguousarray(jax.device_get(x)).tobytes())
    return seen.hexdigest()[:16]


def _load(
    name: str, argument: Mapping[str, Any], like: Any, sharding: jax.sharding.Sharding
) -> Any:
    folder = base_folder(argument)
    if not is_there(argument):
        raise GaitError(
            f"method_args.{name}.workdir={folder} holds no checkpoints; train the base "
            "there first, or give a converted checkpoint"
        )
    config = base_config(name, argument)
    if "weights" not in config and not (folder / "finished").exists():
        print(f"note: the base {folder} has not come to its end, it is taken as it is")
    best = config.get("eval", {}).get("checkpoint") == "best"
    opened = checkpoint.open_checkpoints(
        folder, best=config["ckpt"]["best"] if best else None
    )
    step = opened.best_step() if best else opened.latest()
    if step is None:
        raise GaitError(f"the base {folder} has no finished checkpoint; train it on")
    saved = opened.saved_model(step, sharding)
    opened.close()
    if saved.get("ema") is not None:
        saved = {**saved, "params": saved["ema"]}
    lines = checkpoint.differences(saved, like, checkpoint.names(like))
    if lines:
        raise GaitError(
            f"the base {folder} does not fit its own config: {'; '.join(lines[:6])}"
        )
    return checkpoint.take_matching(saved, like)[0]
