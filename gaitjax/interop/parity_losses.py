"""Losses and their gradients against the reference's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.interop import goldens
from gaitjax.interop.goldens import Row, failed, relative_error
from gaitjax.losses.classification import part_cross_entropy
from gaitjax.losses.triplet import triplet

TOLERANCE = 1e-5
# Of what is logged only: the reference's distance of a sequence to itself is a
# rounding error, ours is 0.
LOGGED_TOLERANCE = 5e-5


def check_loss(folder: str | os.PathLike, name: str) -> list[Row]:
    """Compares <folder>/<name>.npz, such as losses/triplet_mixed."""
    want = goldens.load(folder, name)
    if "margin" in want:
        return _triplet(name, want)
    if "logits" in want:
        return _cross_entropy(name, want)
    return [failed(name, "loss", "expected a triplet or cross-entropy loss")]


def exact_triplet(
    x: np.ndarray, labels: np.ndarray, margin: float
) -> tuple[float, np.ndarray]:
    """`losses.triplet` of x [n, p, d] and its gradient, by differences in float64.

    The usual |x|^2 + |y|^2 - 2xy loses digits where distances are tiny.
    """
    x = x.astype(np.float64)
    same = labels[:, None] == labels
    loss, grad = 0.0, np.zeros_like(x)
    for p in range(x.shape[1]):
        apart = x[:, None, p] - x[None, :, p]  # [n, n, d]
        d = np.sqrt(np.square(apart).sum(-1))
        values = d[:, :, None] - d[:, None, :] + margin
        active = same[:, :, None] & ~same[:, None, :] & (values > 0)
        count = max(active.sum(), 1) * x.shape[1]
        loss += values[active].sum() / count
        slope = (active.sum(2) - active.sum(1))[..., None] / count  # d loss / d d
        pull = slope * apart / np.where(d > 0, d, 1)[..., None]
        grad[:, p] = pull.sum(1) - pull.sum(0)
    return loss, grad


def _triplet(name: str, want: Mapping[str, np.ndarray]) -> list[Row]:
    labels, margin = jnp.asarray(want["labels"], jnp.int32), float(want["margin"])
    weight = float(want["weight"])

    def loss(x: jax.Array) -> tuple[jax.Array, dict]:
        value, terms = triplet(x, labels, margin=margin)
        return weight * value, terms

    value, terms, grad = _value_and_grad(loss, want["embeddings"])
    x = want["embeddings"].transpose(0, 2, 1)
    exact, exact_grad = exact_triplet(x, want["labels"], margin)
    exact_grad = weight * exact_grad.transpose(0, 2, 1)
    rows = [
        _noisy_row(name, "total", value, want["total"], weight * exact),
        _noisy_row(name, "gradient", grad, want["grad_embeddings"], exact_grad),
    ]
    for theirs, ours, tolerance in (
        ("loss_num", "nonzero", TOLERANCE),
        ("hard_loss", "hard", LOGGED_TOLERANCE),
        ("mean_dist", "mean_dist", LOGGED_TOLERANCE),
    ):
        error = relative_error(terms[ours], want[theirs].mean())
        rows.append(Row(name, theirs, error, tolerance))
    return rows


def _cross_entropy(name: str, want: Mapping[str, np.ndarray]) -> list[Row]:
    labels = jnp.asarray(want["labels"], jnp.int32)
    scale = float(want["scale"])
    smoothing = float(want["eps"]) if want["label_smooth"] else 0.0

    def loss(logits: jax.Array) -> tuple[jax.Array, dict]:
        value, terms = part_cross_entropy(
            logits, labels, scale=scale, smoothing=smoothing
        )
        return float(want["weight"]) * value, terms

    value, terms, grad = _value_and_grad(loss, want["logits"])
    got = {"total": value, **terms}
    return [
        *(
            Row(name, what, relative_error(got[what], want[what]), TOLERANCE)
            for what in ("total", "loss", "accuracy")
        ),
        Row(name, "gradient", relative_error(grad, want["grad_logits"]), TOLERANCE),
    ]


def _noisy_row(name: str, what: str, got: Any, want: np.ndarray, exact: Any) -> Row:
    """A row that allows what the reference itself is away from float64."""
    noise = min(relative_error(exact, want), 1e-3)
    return Row(name, what, relative_error(got, want), TOLERANCE + noise)


def _value_and_grad(loss: Callable, array: np.ndarray) -> tuple[Any, dict, np.ndarray]:
    """The loss of torch's [n, c, p], its terms, and its gradient as [n, c, p]."""
    x = jnp.asarray(array.transpose(0, 2, 1))  # [n, p, c]
    (value, terms), grad = jax.jit(jax.value_and_grad(loss, has_aux=True))(x)
    return value, terms, np.asarray(grad).transpose(0, 2, 1)
