"""What training carries from step to step, and the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct

from gaitjax.methods.api import Batch, Method


@struct.dataclass
class TrainState:
    """step: i32, the number of steps done. ema: averaged params, or None."""

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: optax.OptState
    ema: Any = None

    @property
    def eval_params(self) -> Any:
        """The parameters that evaluation uses."""
        return self.params if self.ema is None else self.ema


def stream(seed: int, use: Literal["init", "step", "refresh"]) -> jax.Array:
    """A key of its own for each use of randomness."""
    tags = ("init", "step", "refresh")
    return jax.random.fold_in(jax.random.key(seed), tags.index(use))


def make_step(
    method: Method,
    tx: optax.GradientTransformation,
    seed: int,
    ema: float | None,
    traces: list[int],
    prepare: Callable[[Batch], Batch] = lambda batch: batch,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """One update: (state, batch) -> (state, metrics). Pure; to be jitted.

    prepare: what is done to a batch first, see `runtime.inputs`.

    Randomness depends on the seed and the step alone, so that a resumed run
    draws what an uninterrupted one does. `traces` grows by one whenever JAX traces
    the step: more than one entry is a recompilation that somebody should look at.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict]:
        traces.append(len(traces) + 1)
        batch = {**prepare(batch), "step": state.step}
        # The key is made here: a closed-over array would be a transfer that the
        # loop's guard forbids on an accelerator.
        rng = jax.random.fold_in(stream(seed, "step"), state.step)
        gradient = jax.value_and_grad(method.loss, has_aux=True)
        (loss, (model_state, metrics)), grads = gradient(
            state.params, state.model_state, batch, rng
        )
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        averaged = state.ema
        if ema is not None:
            averaged = optax.incremental_update(params, averaged, 1 - ema)
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), **metrics}
        return TrainState(
            state.step + 1, params, model_state, opt_state, averaged
        ), metrics

    return step


def init_state(
    method: Method,
    tx: optax.GradientTransformation,
    key: jax.Array,
    batch: Batch,
    ema: float | None,
    bases: Mapping[str, Any] | None = None,
) -> TrainState:
    """Fresh parameters; call it under `jit` or `eval_shape`. bases: arrays of frozen
    networks by name, kept beside what the method itself keeps."""
    params, model_state = method.init(key, batch)
    if bases:
        model_state = {**model_state, "bases": bases}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=tx.init(params),
        ema=jax.tree.map(jnp.copy, params) if ema is not None else None,
    )
