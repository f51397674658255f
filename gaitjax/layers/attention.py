"""Attention over one axis of a feature map, and between the parts of two sequences."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.errors import GaitError


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


class CrossAttention(nn.Module):
    """Parts of one sequence look at the parts of another (CarGait, arXiv 2503.03501).

    heads, features: of all heads together. pre_norm: a LayerNorm before the
    projections. zero_init: the output starts as zero, so that nothing changes.
    """

    heads: int = 8
    features: int = 256
    pre_norm: bool = False
    zero_init: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """x [..., p, d] looks at y [..., p, d] -> what is to be added to x.

        Leading axes are broadcast: one probe [b, 1, p, d] and its candidates [b, k, p,
        d] make all pairs, and each is projected once.
        """
        if self.features % self.heads:
            raise GaitError(
                f"{self.heads} heads do not divide {self.features} features; choose a "
                "divisor"
            )
        if self.pre_norm:
            norm = nn.LayerNorm(dtype=self.dtype, name="norm")
            x, y = norm(x), norm(y)
        each = (self.heads, self.features // self.heads)

        def project(name: str, z: jax.Array) -> jax.Array:
            return nn.DenseGeneral(each, dtype=self.dtype, name=name)(z)

        query = project("query", x) / jnp.sqrt(each[1]).astype(self.dtype)
        key, value = project("key", y), project("value", y)
        logits = jnp.einsum("...qhc,...khc->...hqk", query, key)
        shares = jax.nn.softmax(logits.astype(jnp.float32)).astype(self.dtype)
        found = jnp.einsum("...hqk,...khc->...qhc", shares, value)
        zero = nn.initializers.zeros
        return nn.DenseGeneral(
            x.shape[-1],
            axis=(-2, -1),
            dtype=self.dtype,
            kernel_init=zero if self.zero_init else nn.initializers.lecun_normal(),
            name="out",
        )(found)
