"""A folder of weights alone: what a finished run, or another code's checkpoint, gives.

It looks like a workdir: `checkpoints/` has parameters and statistics without an
optimiser, `config.json` the method that they belong to and, under `weights`, where
they are from and the frames they want. `evaluate` and `extract` take it as --workdir
and its method instead of the config's; `train.init_from` takes it, too.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gaitjax.errors import GaitError
from gaitjax.runtime import checkpoint
from gaitjax.runtime.state import TrainState
from gaitjax.runtime.workdir import write_config


def write(
    folder: str | os.PathLike,
    model: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    step: int,
    shapes: Mapping[str, tuple[int, ...]],
    num_classes: int,
    source: str,
) -> None:
    """Makes the folder. model: `params` and `model_state`. config: `method` and
    `method_args` at least. shapes: of one frame of each input. num_classes: labels in
    training. source: for people.
    """
    folder = pathlib.Path(folder).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise GaitError(f"{folder} is not empty; choose another folder, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {key: list(shape) for key, shape in shapes.items()}
    about = {
        "step": step,
        "shapes": shapes,
        "num_classes": num_classes,
        "source": source,
    }
    config = {**config, "weights": about}
    checkpoints = checkpoint.open_checkpoints(folder)
    checkpoints.save_model(step, model, {"step": step, "config": config})
    checkpoints.close()
    write_config(folder, config)


def read_about(workdir: str | os.PathLike) -> dict[str, Any] | None:
    """The config.json of a folder of weights, None of any other folder."""
    if not (pathlib.Path(workdir).expanduser() / "config.json").is_file():
        return None
    config = read_config(workdir)
    return config if isinstance(config, dict) and "weights" in config else None


def read_config(workdir: str | os.PathLike) -> dict[str, Any]:
    """What config.json of a folder says: of a run, or (with `weights`) of weights."""
    folder = pathlib.Path(workdir).expanduser()
    try:
        text = (folder / "config.json").read_text()
    except OSError as error:
        raise GaitError(
            f"{folder} holds no run (no config.json); give a --workdir"
        ) from error
    try:
        return tuples(json.loads(text))
    except ValueError as error:
        raise GaitError(
            f"cannot read {folder / 'config.json'}: {error}; copy it again"
        ) from error


def adopt(config: Mapping[str, Any], workdir: str | os.PathLike) -> Mapping[str, Any]:
    """The config with the method of the weights in `workdir`; of a run, as it is.

    Data and evaluation stay the config's; there is one checkpoint, without average.
    """
    about = read_about(workdir)
    if about is None:
        return config
    changed = {
        "train": {"steps": max(about["weights"]["step"], 1), "ema": None},
        "eval": {"checkpoint": "latest"},
        "ckpt": {"best": None},
    }
    sections = {name: {**config[name], **new} for name, new in changed.items()}
    method = {key: tuples(about[key]) for key in ("method", "method_args")}
    return {**config, **sections, **method}


def check_shapes(
    about: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], workdir: Any
) -> None:
    """Raises GaitError where the data's frames are not those of the weights."""
    for key, want in about["weights"]["shapes"].items():
        got = shapes[key]
        if tuple(got) != want:
            raise GaitError(
                f"the weights in {workdir} want {key} of {_spell(want)}, the data have "
                f"{_spell(got)}; see data.cut, or prepare the set at that size"
            )


def fill(saved: Any, like: TrainState, needed: set[str], where: Any) -> TrainState:
    """`like` with the saved arrays, and zeros where none is needed.

    needed: names that must be there in the right shape (see `used_arrays`).
    """
    wanted = {"params": like.params, "model_state": like.model_state}
    lines = checkpoint.differences(saved, wanted, needed)
    if lines:
        raise GaitError(
            f"{where} does not fit its own method: {'; '.join(lines[:6])}; convert or "
            "export it again"
        )
    zeros = jax.tree.map(
        lambda x: jax.device_put(np.zeros(x.shape, x.dtype), x.sharding), wanted
    )
    model, _ = checkpoint.take_matching(saved, zeros)
    return like.replace(**model, ema=None)


def used_arrays(fn: Callable, model: Mapping[str, Any]) -> set[str]:
    """Names of the arrays of `model` (or their shapes) that fn(model) depends on.

    The program is walked backwards from its results. A classifier, for one, has no
    part in embeddings.
    """
    program = jax.make_jaxpr(fn)(model).jaxpr
    needed = {id(x) for x in program.outvars}
    for equation in reversed(program.eqns):
        if any(id(x) in needed for x in equation.outvars):
            needed |= {id(x) for x in equation.invars}
    names = checkpoint.names(model)
    pairs = zip(names, program.invars, strict=True)
    return {name for name, x in pairs if id(x) in needed}


def keep(model: Mapping[str, Any], names: set[str], prefix: str = "") -> dict[str, Any]:
    """The nested dict with the arrays of these names alone."""
    kept = {}
    for key, value in model.items():
        if isinstance(value, Mapping):
            value = keep(value, names, f"{prefix}{key}/")
            if value or not prefix:
                kept[key] = value
        elif prefix + key in names:
            kept[key] = value
    return kept


def tuples(value: Any) -> Any:
    """JSON's lists as the tuples that a config has."""
    if isinstance(value, list):
        return tuple(map(tuples, value))
    if isinstance(value, dict):
        return {key: tuples(x) for key, x in value.items()}
    return value


def _spell(shape: Any) -> str:
    return " x ".join(map(str, shape))
