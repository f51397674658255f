"""GaitGL (Lin et al., ICCV 2021): convolutions over time, of the whole and of strips.

3D convolutions, three frames to one (local temporal aggregation, LTA), then stages
that add a convolution of the whole body to one of each strip by itself; maximum over
time, generalised mean of every row, one FC per row. Sequences of fewer than 3 frames
are repeated. Equal to the goldens of the reference implementation, which takes one
sequence at a time; here a padded batch gives what single sequences give.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.arguments import at_least, between
from gaitjax.backbones.gaitset import check_channels
from gaitjax.layers.conv import Conv
from gaitjax.layers.norm import BatchNorm
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.layers.plain import from_strips, leaky_relu, max_pool, to_strips
from gaitjax.ops.pooling import generalised_mean, temporal_max


class GLConv(nn.Module):
    """A 3D convolution of the map and one of each of its strips, of other weights.

    concat: the strips' rows come after the map's, instead of being added.
    """

    features: int
    strips: int
    concat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [n, t, h, w, c], 0 where padded -> [n, t, h or 2 h, w, features]."""
        whole = Conv(self.features, dtype=self.dtype, name="global")(x)
        local = Conv(self.features, dtype=self.dtype, name="local")
        local = from_strips(local(to_strips(x, self.strips)), self.strips)
        whole, local = leaky_relu(whole), leaky_relu(local)
        return jnp.concatenate([whole, local], 2) if self.concat else whole + local


class GaitGL(nn.Module):
    """Embeddings are what the norm of the original head gives; with `bnneck` what
    comes before it. Logits where `num_classes` is not 0.

    channels: of the stem and of three stages. convs: of the stem and of each stage.
    halvings: the map is cut into 2^halvings strips.
    """

    num_classes: int = 0
    channels: Sequence[int] = (32, 64, 128, 128)
    convs: int = 1
    halvings: int = 3
    bnneck: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] (real frames first) -> embeddings [n, p, d],
        logits [n, p, k]; p = h, d = channels[-1]."""
        x, length = repeat_short(x, mask)
        x = zero_padding(x.astype(self.dtype), length)
        for number in range(self.convs):
            conv = Conv(self.channels[0], dtype=self.dtype, name=f"stem{number}")
            x = zero_padding(leaky_relu(conv(x)), length)
        three = dict(kernel=(3, 1, 1), stride=(3, 1, 1), padding=0)
        x = Conv(self.channels[0], dtype=self.dtype, **three, name="lta")(x)
        length = length // 3
        x = zero_padding(leaky_relu(x), length)  # [n, t / 3, h, w, c]
        x = self._stage(x, length, 0)
        n, t = x.shape[:2]
        x = max_pool(x.reshape(n * t, *x.shape[2:]))
        x = x.reshape(n, t, *x.shape[1:])  # [n, t / 3, h / 2, w / 2, c]
        x = self._stage(x, length, 1)
        x = self._stage(x, length, 2, concat=True)  # [n, t / 3, h, w / 2, d]
        x = temporal_max(x, real_frames(x.shape[1], length)).astype(jnp.float32)
        # 6.5 is where the reference starts.
        power = self.param("power", nn.initializers.constant(6.5), (1,))
        x = generalised_mean(x, power, axis=2)  # [n, p, d]
        x = SeparateFCs(self.channels[-1], name="fcs")(x)
        return self._head(x, train)

    def _stage(
        self, x: jax.Array, length: jax.Array, number: int, concat: bool = False
    ) -> jax.Array:
        for i in range(self.convs):
            last = concat and i == self.convs - 1
            conv = GLConv(
                self.channels[number + 1],
                2**self.halvings,
                last,
                self.dtype,
                name=f"stage{number}_{i}",
            )
            x = zero_padding(conv(x), length)
        return x

    def _head(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
        if self.bnneck:
            outputs = {"embeddings": x}
            if self.num_classes:
                necks = SeparateBNNecks(self.num_classes, name="necks")
                _, outputs["logits"] = necks(x, train=train)
            return outputs
        x = BatchNorm(name="bn")(x, train=train)  # all parts share it
        outputs = {"embeddings": x}
        if self.num_classes:
            classifier = SeparateFCs(self.num_classes, name="classifier")
            outputs["logits"] = classifier(x)
        return outputs


def repeat_short(x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One frame three times, two frames twice, in turn; longer sequences as they are.

    x [n, t, ...], mask [n, t] -> [n, max(t, 4), ...], lengths i32 [n]. LTA needs three
    frames, and what the reference makes of two is four.
    """
    length = mask.sum(1).astype(jnp.int32)
    t = max(mask.shape[1], 4)
    index = jnp.arange(t) % jnp.maximum(length, 1)[:, None]  # [n, t]
    index = index.reshape(index.shape + (1,) * (x.ndim - 2))
    x = jnp.take_along_axis(x, index, axis=1)
    return x, jnp.select([length == 1, length == 2], [3, 4], length)


def real_frames(t: int, length: jax.Array) -> jax.Array:
    """Lengths i32 [n] as a mask f32 [n, t]."""
    return (jnp.arange(t) < length[:, None]).astype(jnp.float32)


def zero_padding(x: jax.Array, length: jax.Array) -> jax.Array:
    """x [n, t, ...] with zeros from each sequence's own length on.

    Before every convolution over time: there zeros lie beyond the end of a sequence.
    """
    real = real_frames(x.shape[1], length)
    return x * real.reshape(real.shape + (1,) * (x.ndim - 2)).astype(x.dtype)


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    channels: tuple[int, ...] = (32, 64, 128, 128),
    convs: int = 1,
    halvings: int = 3,
    bnneck: bool = False,
) -> GaitGL:
    """GaitGL from a config's `backbone_args`; the defaults are CASIA-B's network.

    OU-MVLP and GREW have channels 32, 64, 128, 256, two convs and one halving.
    """
    check_channels(channels, 4)
    at_least(1, method_args__backbone_args__convs=convs)
    between(0, 6, method_args__backbone_args__halvings=halvings)
    return GaitGL(num_classes, tuple(channels), convs, halvings, bnneck, dtype)
