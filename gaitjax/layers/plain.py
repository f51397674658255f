"""The field's plain backbones: convolutions, leaky ReLU and max pooling in a row.

A backbone is a list of words: `BC-64` is a convolution to 64 channels, `FC-64-2` the
same one applied to each of 2^2 horizontal strips by itself (focal convolution, Fan et
al., CVPR 2020, GaitPart), `M` a 2 x 2 max pooling. Every convolution is followed by
a leaky ReLU; there is no normalisation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.errors import GaitError
from gaitjax.layers.conv import Conv


def leaky_relu(x: jax.Array) -> jax.Array:
    """x where positive, 0.01 x elsewhere (torch's default slope).

    At 0 the slope is 0.01, as in torch; `nn.leaky_relu` has 1 there.
    """
    return jnp.where(x > 0, x, 0.01 * x)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest of every 2 x 2: x [..., h, w, c] -> [..., h / 2, w / 2, c]."""
    return nn.max_pool(x, (2, 2), strides=(2, 2))


def to_strips(x: jax.Array, count: int) -> jax.Array:
    """`count` equal strips as a batch: [n, ..., h, w, c] -> [n count, ..., h', w, c].

    A convolution on the result pads every strip with zeros of its own.
    """
    height = x.shape[-3]
    if height % count:
        raise GaitError(
            f"a feature map of {height} rows cannot be cut into {count} equal strips; "
            "choose fewer strips or images of another height"
        )
    n, *between, _, width, channels = x.shape
    x = x.reshape(n, *between, count, height // count, width, channels)
    x = jnp.moveaxis(x, -4, 1)  # [n, count, ..., h', w, c]
    return x.reshape(n * count, *x.shape[2:])


def from_strips(x: jax.Array, count: int) -> jax.Array:
    """What `to_strips` did, undone: [n count, ..., h', w, c] -> [n, ..., h, w, c]."""
    x = jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, -4)
    return x.reshape(*x.shape[:-4], count * x.shape[-3], *x.shape[-2:])


class Plain(nn.Module):
    """A plain backbone on every frame. `first_kernel`: of its first convolution."""

    layers: Sequence[str]
    first_kernel: int = 5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [n, t, h, w, c], or [n, h, w, c] -> the same axes, h and w pooled."""
        batch = x.shape[:-3]
        x = x.reshape(-1, *x.shape[-3:]).astype(self.dtype)  # frames are independent
        kernel = self.first_kernel
        for number, layer in enumerate(parse(self.layers)):
            if layer is None:
                x = max_pool(x)
                continue
            features, strips = layer
            conv = Conv(features, kernel, dtype=self.dtype, name=f"conv{number}")
            x = leaky_relu(from_strips(conv(to_strips(x, strips)), strips))
            kernel = 3
        return x.reshape(*batch, *x.shape[1:])


def parse(layers: Sequence[str]) -> list[tuple[int, int] | None]:
    """(features, strips) of every convolution, None for a pooling.

    Raises GaitError for a word that is none of `BC-64`, `FC-64-2`, `M`.
    """
    parsed = []
    for word in layers:
        match = re.fullmatch(r"M|BC-([1-9]\d*)|FC-([1-9]\d*)-(\d)", word)
        if not match:
            raise GaitError(
                f"unknown layer {word!r}; expected BC-<channels>, "
                "FC-<channels>-<halvings of the height> or M"
            )
        plain, focal, halvings = match.groups()
        if word == "M":
            parsed.append(None)
        elif plain:
            parsed.append((int(plain), 1))
        else:
            parsed.append((int(focal), 2 ** int(halvings)))
    if not any(parsed):
        raise GaitError("layers holds no convolution; give some BC-<channels>")
    return parsed
