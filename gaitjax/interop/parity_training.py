"""One training step against the reference's: loss, gradients, state after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gaitjax.errors import GaitError
from gaitjax.interop import goldens, parity_networks
from gaitjax.interop.goldens import Row, failed, relative_error
from gaitjax.interop.opengait import Network, layout_of, variable_of
from gaitjax.interop.parity_losses import exact_triplet
from gaitjax.losses.classification import part_cross_entropy
from gaitjax.losses.triplet import triplet
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.precision import with_products

TOLERANCE = 1e-5
# A maximum can switch with rounding: the reference's own gradients then move by up to
# 1 % (values) and 0.1 % (norms), ours by 2 % where weights change by 1e-7 (DeepGaitV2).
VALUE_TOLERANCE = 4e-2
NORM_TOLERANCE = 4e-3
# Noise of 1e-7 on the weights moves the loss of the second step by 1e-3 (DeepGaitV2).
SECOND_TOLERANCE = 5e-3
COUNT_TOLERANCE = 1e-3  # a triplet at the border of the margin
# A distance is a difference of larger values, and has their rounding errors.
LOSS_TOLERANCE = 5e-5
# Logged only; the reference's diagonal is the square root of rounding errors.
MEAN_DISTANCE_TOLERANCE = 1e-3


def check_training(folder: str | os.PathLike, name: str) -> list[Row]:
    """Compares <folder>/train/<name>, whose weights <folder>/<name>.json lists."""
    item = f"train/{name}"
    spec, want = goldens.load_json(folder, item), goldens.load(folder, item)
    try:
        plan = goldens.load_json(folder, name)
        network, model, variables = parity_networks.rebuild(plan)
        loss_fn = total_loss(spec["losses"])
    except (GaitError, ModuleNotFoundError, FileNotFoundError) as error:
        return [failed(item, "network", str(error))]
    got = _two_steps(spec, want, network, model, variables, loss_fn)
    shapes = {key: entry["shape"] for key, entry in plan["state_dict"].items()}
    ours = _Ours(network, shapes)
    return [
        *_outputs(item, got, want),
        *_losses(item, got, spec, want),
        *_gradients(item, ours, got["grads"], spec["grad_norms"], want),
        *_state(item, ours, got, variables, spec, want),
    ]


def total_loss(losses: list[Mapping[str, Any]]) -> Callable:
    """(out, labels) -> the weighted sum of a config's `loss_cfg`, and its terms."""

    def fn(out: Mapping[str, jax.Array], labels: jax.Array) -> tuple[jax.Array, dict]:
        total, logged = jnp.zeros(()), {}
        for options in losses:
            value, terms = _one_loss(options, out, labels)
            total += options.get("loss_term_weight", 1.0) * value
            prefix = options["log_prefix"]
            logged |= {f"{prefix}/{key}": term for key, term in terms.items()}
        return total, logged

    for options in losses:
        if options["type"] not in ("TripletLoss", "CrossEntropyLoss"):
            raise GaitError(
                f"expected TripletLoss or CrossEntropyLoss, got {options['type']}; "
                "leave it out"
            )
    return fn


def _one_loss(
    options: Mapping[str, Any], out: Mapping[str, jax.Array], labels: jax.Array
) -> tuple[jax.Array, dict]:
    """A loss under OpenGait's options and defaults, its terms under its names."""
    if options["type"] == "TripletLoss":
        value, terms = triplet(
            out["embeddings"], labels, margin=options.get("margin", 0.2)
        )
        names = {"hard": "hard_loss", "nonzero": "loss_num"}
        return value, {names.get(key, key): term for key, term in terms.items()}
    smooth = options.get("label_smooth", True)
    return part_cross_entropy(
        out["logits"],
        labels,
        scale=options.get("scale", 16),
        smoothing=options.get("eps", 0.1) if smooth else 0.0,
    )


def _two_steps(
    spec: Mapping[str, Any],
    want: Mapping[str, np.ndarray],
    network: Network,
    model: nn.Module,
    variables: Mapping[str, Any],
    loss_fn: Callable,
) -> dict[str, Any]:
    """The step's outputs, gradients and state, and the loss of the step after it."""
    kinds = [key.removeprefix("input_") for key in want if key.startswith("input_")]
    frames = {
        parity_networks.RECORD_KEYS[kind]: parity_networks.as_network_input(
            kind, want[f"input_{kind}"]
        )
        for kind in kinds
    }
    x = parity_networks.network_input(frames, network.inputs)
    labels = jnp.asarray(want["labels"], jnp.int32)
    mask = jnp.ones(want[f"input_{kinds[0]}"].shape[:2])

    def forward(params, stats, x):
        def loss(params):
            out, mutated = model.apply(
                {"params": params, **stats},
                x,
                mask,
                train=True,
                mutable=list(stats),
                rngs={"dropout": jax.random.key(0)},
            )
            total, terms = loss_fn(out, labels)
            return total, (mutated, out, terms)

        return jax.value_and_grad(loss, has_aux=True)(params)

    step = jax.jit(with_products(forward, "float32"))
    stats = dict(variables)
    params = stats.pop("params")
    (total, (stats, out, terms)), grads = step(params, stats, x)
    tx = _optimizer(params, spec["optimizer"])
    updates, _ = tx.update(grads, tx.init(params), params)
    params = optax.apply_updates(params, updates)
    (total2, _), _ = step(params, stats, x)
    return {
        "total_step1": total,
        "total_step2": total2,
        "out": out,
        "terms": terms,
        "grads": {"params": grads},
        "after": {"params": params, **stats},
    }


def _optimizer(params: Any, spec: Mapping[str, Any]) -> optax.GradientTransformation:
    options = {
        key: spec[key] for key in ("lr", "momentum", "weight_decay") & spec.keys()
    }
    tx, _ = make_optimizer(
        params, 10, name=spec["solver"].lower(), schedule="constant", **options
    )
    return tx


def _outputs(
    item: str, got: Mapping[str, Any], want: Mapping[str, np.ndarray]
) -> list[Row]:
    return [
        parity_networks.output_row(item, key, got["out"], key, slice(None), want)
        for key in ("embeddings", "logits")
        if key in want
    ]


def _losses(
    item: str,
    got: Mapping[str, Any],
    spec: Mapping[str, Any],
    want: Mapping[str, np.ndarray],
) -> list[Row]:
    tolerance = LOSS_TOLERANCE + _reference_noise(spec, want)
    pairs = [(k, got["terms"].get(k), v) for k, v in spec["steps"][0].items()]
    pairs.append(("total_step1", got["total_step1"], want["total_step1"]))
    pairs.append(("total_step2", got["total_step2"], want["total_step2"]))
    tolerances = {
        "mean_dist": MEAN_DISTANCE_TOLERANCE,
        "loss_num": COUNT_TOLERANCE,
        "total_step2": SECOND_TOLERANCE,
    }
    return [
        Row(
            item,
            key,
            relative_error(ours, theirs),
            tolerances.get(key.rpartition("/")[2], tolerance),
        )
        for key, ours, theirs in pairs
        if ours is not None
    ]


def _reference_noise(spec: Mapping[str, Any], want: Mapping[str, np.ndarray]) -> float:
    """How far the reference's triplet loss is from float64, on its own embeddings."""
    for options in spec["losses"]:
        if options["type"] == "TripletLoss":
            x = want["embeddings"].transpose(0, 2, 1)
            exact, _ = exact_triplet(x, want["labels"], options.get("margin", 0.2))
            logged = spec["steps"][0][f"{options['log_prefix']}/loss"]
            return min(relative_error(exact, np.asarray(logged)), 1e-3)
    return 0.0


class _Ours:
    """Arrays of Flax trees under torch's keys, in torch's order of values."""

    def __init__(self, network: Network, shapes: Mapping[str, list[int]]):
        self.network, self.shapes = network, shapes

    def get(self, key: str, variables: Mapping[str, Any]) -> np.ndarray:
        """Flat values; a layout change is a permutation: invert it by numbers."""
        network, shape = self.network, self.shapes[key]
        numbers = np.arange(np.prod(shape)).reshape(shape)
        moved = layout_of(key, network.table)(numbers, network.num_parts)
        values = variable_of(key, variables, network.table)
        flat = np.empty(numbers.size)
        flat[moved.reshape(-1)] = np.asarray(values, np.float64).reshape(-1)
        return flat


def _gradients(
    item: str,
    ours: _Ours,
    grads: Mapping[str, Any],
    norms: Mapping[str, float],
    want: Mapping[str, np.ndarray],
) -> list[Row]:
    """The worst parameter's norm, and the worst value against its tensor's largest."""
    largest = max(norms.values())
    norm_error, value_error = 0.0, 0.0
    for key in norms:
        grad = ours.get(key, grads)
        norm, first = float(want[f"grad/{key}/norm"]), want[f"grad/{key}/first32"]
        # A gradient that is 0 but for rounding has no digits to compare.
        error = abs(np.linalg.norm(grad) - norm) / max(norm, 1e-6 * largest)
        norm_error = max(norm_error, error)
        scale = max(np.abs(grad).max(), 1e-7 * largest)
        value_error = max(value_error, np.abs(grad[: len(first)] - first).max() / scale)
    return [
        Row(item, "gradient norms", float(norm_error), NORM_TOLERANCE),
        Row(item, "gradient values", float(value_error), VALUE_TOLERANCE),
    ]


def _state(
    item: str,
    ours: _Ours,
    got: Mapping[str, Any],
    before: Mapping[str, Any],
    spec: Mapping[str, Any],
    want: Mapping[str, np.ndarray],
) -> list[Row]:
    """Running statistics, and weights: their worst error over the largest change."""
    errors = {"running statistics": 0.0, "weights": 0.0}
    decay = spec["optimizer"]["weight_decay"]
    signs = spec["optimizer"]["solver"] != "SGD"
    for key, first in _after(want):
        after = ours.get(key, got["after"])
        apart = np.abs(after[: len(first)] - first)
        if "running" in key:
            error = apart.max() / np.abs(after).max()
            errors["running statistics"] = max(errors["running statistics"], error)
            continue
        start = ours.get(key, before)
        step = np.abs(after - start).max()
        apart -= np.finfo(np.float32).eps * np.abs(after).max()
        if signs:  # Adam's first step is the sign of a gradient: some are in doubt
            grad = ours.get(key, got["grads"]) + decay * start
            doubt = np.abs(grad) <= VALUE_TOLERANCE * np.abs(grad).max()
            apart = np.where(doubt[: len(first)], 0, apart)
        errors["weights"] = max(errors["weights"], apart.max() / max(step, 1e-30))
    tolerances = {"running statistics": TOLERANCE, "weights": VALUE_TOLERANCE}
    return [
        Row(item, f"{what} after the step", float(error), tolerances[what])
        for what, error in errors.items()
    ]


def _after(want: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    for name, first in want.items():
        if name.startswith("after_step1/") and name.endswith("/first32"):
            yield name.removeprefix("after_step1/").removesuffix("/first32"), first
