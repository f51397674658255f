"""What a network computes in."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp

Precision = Literal["float32", "bf16"]


def compute_dtype(precision: Precision) -> jnp.dtype:
    """The dtype of activations and matrix products inside the networks.

    Parameters, statistics, logits, distances and losses are float32 either way;
    bfloat16 has float32's range, so nothing needs loss scaling.
    """
    return {"float32": jnp.float32, "bf16": jnp.bfloat16}[precision]
