"""GaitBase (Fan et al., CVPR 2023, "OpenGait: Revisiting Gait Recognition").

ResNet9 on every frame, maximum over time, horizontal strips, one FC per strip, and
a BNNeck classifier. With three input channels it is LidarGait (Shen et al., CVPR
2023). Equal to the goldens of the reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.arguments import at_least
from gaitjax.errors import GaitError
from gaitjax.layers.conv import BasicBlock, Conv
from gaitjax.layers.norm import BatchNorm
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max


class ResNet9(nn.Module):
    """A 3 x 3 stem without pooling and one residual stage per entry of channels.

    stem: False for stages that go on where another network stopped.
    """

    channels: Sequence[int] = (64, 128, 256, 512)
    strides: Sequence[int] = (1, 2, 2, 1)
    blocks: Sequence[int] | None = None  # per stage; None is one each
    stem: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, t, h', w', channels[-1]]."""
        n, t = mask.shape
        mask = mask.reshape(n * t, 1, 1, 1)
        x = x.reshape(n * t, *x.shape[2:]).astype(self.dtype)  # frames are independent
        if self.stem:
            x = Conv(self.channels[0], dtype=self.dtype, name="stem")(x)
            x = nn.relu(BatchNorm(dtype=self.dtype, name="bn1")(x, mask, train=train))
        blocks = self.blocks or (1,) * len(self.channels)
        stages = zip(self.channels, self.strides, blocks, strict=True)
        for stage, (features, stride, count) in enumerate(stages, 1):
            for i in range(count):
                block = BasicBlock(
                    features,
                    stride if i == 0 else 1,
                    self.dtype,
                    name=f"layer{stage}_{i}",
                )
                x = block(x, mask, train=train)
        return x.reshape(n, t, *x.shape[1:])  # [n, t, h', w', c]


class GaitBase(nn.Module):
    """Embeddings before the BNNeck; logits where `num_classes` is not 0."""

    num_classes: int = 0
    channels: Sequence[int] = (64, 128, 256, 512)
    strides: Sequence[int] = (1, 2, 2, 1)
    bins: Sequence[int] = (16,)
    features: int = 256
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] -> embeddings [n, p, d], logits [n, p, k].

        h and w are such that the last feature map can be cut into `bins`.
        """
        resnet = ResNet9(self.channels, self.strides, dtype=self.dtype, name="backbone")
        x = resnet(x, mask, train=train)  # [n, t, h', w', c]
        x = temporal_max(x, mask)  # [n, h', w', c]
        x = horizontal_pyramid(x.astype(jnp.float32), self.bins)  # [n, p, c]
        embeddings = SeparateFCs(self.features, name="fcs")(x)  # [n, p, d]
        if not self.num_classes:
            return {"embeddings": embeddings}
        necks = SeparateBNNecks(self.num_classes, name="necks")
        _, logits = necks(embeddings, train=train)  # [n, p, k]
        return {"embeddings": embeddings, "logits": logits}


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    channels: tuple[int, ...] = (64, 128, 256, 512),
    strides: tuple[int, ...] = (1, 2, 2, 1),
    bins: tuple[int, ...] = (16,),
    features: int = 256,
) -> GaitBase:
    """GaitBase from a config's `backbone_args`."""
    check_sizes("method_args.backbone_args", channels, strides, bins, features)
    return GaitBase(
        num_classes, tuple(channels), tuple(strides), tuple(bins), features, dtype
    )


def check_sizes(
    where: str,
    channels: Sequence[int],
    strides: Sequence[int],
    bins: Sequence[int],
    features: int,
) -> None:
    """Raises GaitError for sizes that make no network; `where` is their section."""
    prefix = where.replace(".", "__")
    for name, values in (("channels", channels), ("strides", strides), ("bins", bins)):
        at_least(1, **{f"{prefix}__{name}": min(values, default=0)})
    at_least(1, **{f"{prefix}__features": features})
    if len(channels) != len(strides):
        raise GaitError(
            f"{where} has {len(channels)} channels and {len(strides)} strides; give "
            "one stride per stage"
        )
