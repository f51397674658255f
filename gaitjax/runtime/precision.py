"""What a network computes in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

Precision = Literal["float32", "tf32", "bf16"]


def compute_dtype(precision: Precision) -> jnp.dtype:
    """The dtype of activations and matrix products inside the networks.

    Parameters, statistics, logits, distances and losses are float32 either way;
    bfloat16 has float32's range, so nothing needs loss scaling.
    """
    return jnp.bfloat16 if precision == "bf16" else jnp.float32


def with_products(fn: Callable, precision: Precision) -> Callable:
    """`fn`, traced such that float32 products are what the config says.

    Accelerators round the factors of a float32 product by default (to TF32 on an
    NVIDIA GPU, to bfloat16 on a TPU): `tf32` leaves that on, `float32` means it.
    """
    products = "highest" if precision == "float32" else "default"

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        with jax.default_matmul_precision(products):
            return fn(*args, **kwargs)

    return wrapped
