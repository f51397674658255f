"""GLN, the Gait Lateral Network (Hou et al., ECCV 2020), for 128 x 88 silhouettes.

Convolutions on every frame and a second branch on the maxima over time, as in GaitSet;
a feature pyramid from both, coarse to fine; horizontal strips of its three levels.
Trained in two phases: without classes the network of the first, otherwise with the
compact block of the second, whose classifier gives one row of logits. The embedding
is that of the strips in both. Equal to the golden of the reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.arguments import at_least, between
from gaitjax.backbones.gaitset import check_channels
from gaitjax.errors import GaitError
from gaitjax.layers.conv import Conv
from gaitjax.layers.norm import BatchNorm
from gaitjax.layers.parts import SeparateFCs
from gaitjax.layers.plain import Plain, max_pool
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max


class CompactBlock(nn.Module):
    """All strips together to `features` numbers, and a linear classifier."""

    num_classes: int
    features: int = 256
    dropout: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """x [n, p, d] -> logits [n, 1, k]."""

        def dense(features: int, name: str) -> nn.Dense:
            xavier = nn.initializers.xavier_uniform()
            return nn.Dense(features, use_bias=False, kernel_init=xavier, name=name)

        # Neither norm learns a bias in the reference.
        x = BatchNorm(feature_axes=2, fixed_bias=True, name="bn")(x, train=train)
        x = nn.relu(nn.Dropout(self.dropout, deterministic=not train)(x))
        x = dense(self.features, "reduce")(x.reshape(len(x), -1))  # [n, features]
        x = BatchNorm(fixed_bias=True, name="reduce_bn")(x, train=train)
        return dense(self.num_classes, "classifier")(x)[:, None]


class GLN(nn.Module):
    """channels: of the three stages. lateral: of the pyramid. features: d."""

    num_classes: int = 0
    channels: Sequence[int] = (32, 64, 128)
    bins: Sequence[int] = (16, 8, 4, 2, 1)
    lateral: int = 256
    features: int = 256
    dropout: float = 0.9
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] -> embeddings [n, p, d], logits [n, 1, k].

        h and w are multiples of 4; p = 3 sum(bins), the finest level first.
        """
        if x.shape[2] % 4 or x.shape[3] % 4:
            raise GaitError(
                f"gln needs images whose sides are multiples of 4, got {x.shape[2]} x "
                f"{x.shape[3]}; it is made for 128 x 88"
            )
        strips = [
            horizontal_pyramid(maps.astype(jnp.float32), self.bins)
            for maps in self._pyramid(self._levels(x, mask))
        ]  # [n, sum(bins), lateral] each
        x = jnp.concatenate(strips, axis=1)  # [n, p, lateral]
        embeddings = SeparateFCs(self.features, name="fcs")(x)  # [n, p, d]
        if not self.num_classes:
            return {"embeddings": embeddings}
        compact = CompactBlock(
            self.num_classes, self.features, self.dropout, name="compact"
        )
        return {"embeddings": embeddings, "logits": compact(embeddings, train=train)}

    def _levels(self, x: jax.Array, mask: jax.Array) -> list[jax.Array]:
        """Frames and sets of every stage, side by side: [n, h', w', 2 c]."""

        def stage(number: int, name: str) -> Plain:
            words = (f"BC-{self.channels[number]}",) * 2
            first = 5 if number == 0 else 3
            return Plain(words, first, self.dtype, name=f"{name}{number}")

        x = stage(0, "frames")(x)
        frames = temporal_max(x, mask)
        levels = [jnp.concatenate([frames, frames], -1)]  # no set branch yet
        whole = frames
        for number in (1, 2):
            x = _pooled(x)
            # Maxima over time and over pixels commute: at first this is the set of
            # the pooled frames.
            whole = stage(number, "set")(max_pool(whole))
            x = stage(number, "frames")(x)
            frames = temporal_max(x, mask)
            whole = whole + frames
            levels.append(jnp.concatenate([frames, whole], -1))
        return levels

    def _pyramid(self, levels: Sequence[jax.Array]) -> list[jax.Array]:
        """Every level with what comes down from the coarser ones: [n, h', w', c]."""
        maps: list[jax.Array] = []
        for number, level in reversed(list(enumerate(levels))):
            conv = Conv(self.lateral, 1, dtype=self.dtype, name=f"lateral{number}")
            level = conv(level)
            if maps:
                level += jnp.repeat(jnp.repeat(maps[0], 2, axis=1), 2, axis=2)
            maps.insert(0, level)
        return [
            Conv(self.lateral, dtype=self.dtype, name=f"smooth{number}")(level)
            for number, level in enumerate(maps)
        ]


def _pooled(x: jax.Array) -> jax.Array:
    """`max_pool` of frames [n, t, h, w, c]."""
    y = max_pool(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    channels: tuple[int, ...] = (32, 64, 128),
    bins: tuple[int, ...] = (16, 8, 4, 2, 1),
    lateral: int = 256,
    features: int = 256,
    dropout: float = 0.9,
) -> GLN:
    """GLN from a config's `backbone_args`; phase 1 where `num_classes` is 0."""
    check_channels(channels, 3)
    at_least(
        1,
        method_args__backbone_args__bins=min(bins, default=0),
        method_args__backbone_args__lateral=lateral,
        method_args__backbone_args__features=features,
    )
    between(0, 1, method_args__backbone_args__dropout=dropout)
    return GLN(
        num_classes, tuple(channels), tuple(bins), lateral, features, dropout, dtype
    )
