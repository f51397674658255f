"""Attention over one axis of a feature map."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


class AxialAttention(nn.Module):
    """Multi-head self-attention among the rows of each column (Ho et al. 2019).

    Gait has its order from head to foot. The norm before it is over channels: one over
    a map would mix the columns.
    """

    heads: int = 8
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [n, h, w, c] -> the same shape, without the residual."""
        columns = x.swapaxes(1, 2)  # [n, w, h, c]: attention is over the last but one
        columns = nn.LayerNorm(dtype=self.dtype, name="norm")(columns)
        attention = nn.MultiHeadDotProductAttention(
            self.heads, dtype=self.dtype, force_fp32_for_softmax=True, name="attention"
        )
        return attention(columns).swapaxes(1, 2)
