"""A config tried out in shapes alone: no data, no arrays, nothing compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from gaitjax.data import schema
from gaitjax.data.augment import without_sides
from gaitjax.data.pipeline import fill_optional
from gaitjax.data.topology import Topology
from gaitjax.methods import api
from gaitjax.runtime.base import Frozen, base_arguments, open_base
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
    shapes = frame_shapes(config, stored)
    method, _ = make(config, num_classes, shapes)
    n, t = data["p"] * data["k"], data["frames_max"] or data["frames"]
    batch = {
        key: jax.ShapeDtypeStruct((n, t, *shapes[key]), schema.modality(key).dtype)
        for key in method.train_keys
    }
    batch["mask"] = jax.ShapeDtypeStruct((n, t), np.float32)
    batch |= {key: jax.ShapeDtypeStruct((n,), np.int32) for key in ("label", "index")}
    batch |= {key: jax.ShapeDtypeStruct((), np.int32) for key in ("step", "round")}
    batch["progress"] = jax.ShapeDtypeStruct((), np.float32)

    def start(key: jax.Array, batch: api.Batch) -> Any:
        params, _ = jax.eval_shape(method.init, key, batch)
        tx, _ = make_optimizer(params, options["steps"], **config["optim"])
        return init_state(method, tx, key, batch, options["ema"])

    key = stream(options["seed"], "init")
    state = jax.eval_shape(start, key, batch)
    if method.prepare:  # its batches are of a bank, which is not there
        return state
    loss, _ = jax.eval_shape(method.loss, state.params, state.model_state, batch, key)
    assert loss.shape == (), loss
    return state


def make(
    config: Mapping[str, Any],
    num_classes: int,
    shapes: Mapping[str, tuple[int, ...]],
    topology: Topology | None = None,
) -> tuple[api.Method, dict[str, Frozen]]:
    """The config's method, and the frozen networks that it stands on, by argument.

    shapes: of one frame as the network gets it. topology: of the set's 3D labels.
    """
    data, dtype = config["data"], compute_dtype(config["train"]["precision"])

    def example(method: api.Method) -> dict[str, np.ndarray]:
        return example_batch(shapes, method, data["frames_max"] or data["frames"])

    cut = tuple(data["cut"])
    bases = {
        name: open_base(name, argument, shapes, cut, dtype, example)
        for name, argument in base_arguments(config["method_args"])
    }
    info = api.Info(
        num_classes=num_classes,
        shapes=shapes,
        topology=topology,
        bases={name: frozen.base for name, frozen in bases.items()},
    )
    return api.make(config["method"], info, config["method_args"], dtype), bases


def example_batch(
    shapes: Mapping[str, tuple[int, ...]], method: api.Method, t: int
) -> dict[str, np.ndarray]:
    """One made-up sequence of t frames in the shapes that batches have."""
    keys = dict.fromkeys((*method.train_keys, *method.embed_keys))
    batch = {
        key: np.zeros((1, t, *shapes[key]), schema.modality(key).dtype) for key in keys
    }
    batch |= {"label": np.zeros(1, np.int32), "mask": np.ones((1, t), np.float32)}
    return fill_optional(batch, method.optional_keys)


def frame_shapes(
    config: Mapping[str, Any], stored: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """One frame as the network gets it, of one as it lies on disk."""
    cut = config["data"]["cut"]
    return {key: without_sides(shape, key in cut) for key, shape in stored.items()}
