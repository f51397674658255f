"""A config tried out in shapes alone: no data, no arrays, nothing compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from gaitjax.data import schema
from gaitjax.data.augment import cut_columns
from gaitjax.methods import api
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.precision import compute_dtype
from gaitjax.runtime.state import init_state, stream


def trace(
    config: Mapping[str, Any], num_classes: int, stored: Mapping[str, tuple[int, ...]]
) -> Any:
    """A fresh state's shapes; the loss of a whole batch was traced on the way.

    config: plain dicts. num_classes: identities of the training set. stored: shape of
    one frame of every modality as it lies on disk. Raises what a run would raise.
    """
    data, options = config["data"], config["train"]
    shapes = {key: _cut(shape, key in data["cut"]) for key, shape in stored.items()}
    method = api.make(
        config["method"],
        api.Info(num_classes, shapes),
        config["method_args"],
        compute_dtype(options["precision"]),
    )
    n, t = data["p"] * data["k"], data["frames_max"] or data["frames"]
    batch = {
        key: jax.ShapeDtypeStruct((n, t, *shapes[key]), schema.modality(key).dtype)
        for key in method.train_keys
    }
    batch["mask"] = jax.ShapeDtypeStruct((n, t), np.float32)
    batch["label"] = jax.ShapeDtypeStruct((n,), np.int32)

    def start(key: jax.Array, batch: api.Batch) -> Any:
        params, _ = jax.eval_shape(method.init, key, batch)
        tx, _ = make_optimizer(params, options["steps"], **config["optim"])
        return init_state(method, tx, key, batch, options["ema"])

    key = stream(options["seed"], "init")
    state = jax.eval_shape(start, key, batch)
    loss, _ = jax.eval_shape(method.loss, state.params, state.model_state, batch, key)
    assert loss.shape == (), loss
    return state


def _cut(shape: tuple[int, ...], cut: bool) -> tuple[int, ...]:
    """As `pipeline.Data.shapes` has it."""
    return (
        (shape[0], shape[1] - 2 * cut_columns(shape[1]), *shape[2:]) if cut else shape
    )
