"""SMPLGait (Zheng et al., CVPR 2022, "Gait Recognition in the Wild with Dense 3D
Representations and A Benchmark"): silhouettes straightened by a body model.

A plain backbone on every frame; from the frame's SMPL parameters a matrix that the
feature map is multiplied by, so that it may undo the view; then maximum over time,
horizontal strips, FCs and BNNecks as in GaitBase. Equal to the golden of the reference
implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.arguments import at_least, between
from gaitjax.errors import GaitError
from gaitjax.layers.norm import BatchNorm
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.layers.plain import Plain, parse
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max

INPUTS = ("sils", "smpl")
LAYERS = ("BC-64", "BC-64", "M", "BC-128", "BC-128", "M", "BC-256", "BC-256")


class Straighten(nn.Module):
    """A square matrix per frame from SMPL parameters. Always float32."""

    side: int
    hidden: Sequence[int] = (128, 256)
    dropout: float = 0.2

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, 85], mask [n, t] -> [n, t, side, side]."""
        for number, features in enumerate((*self.hidden, self.side**2), 1):
            xavier = nn.initializers.xavier_uniform()
            x = nn.Dense(features, kernel_init=xavier, name=f"fc{number}")(x)
            if number > 1:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            norm = BatchNorm(name=f"bn{number}")
            x = nn.relu(norm(x, mask[..., None], train=train))
        x = x.reshape(*mask.shape, self.side, self.side)
        return x + jnp.eye(self.side)


class SMPLGait(nn.Module):
    """Embeddings before the BNNeck; logits where `num_classes` is not 0."""

    num_classes: int = 0
    layers: Sequence[str] = LAYERS
    bins: Sequence[int] = (16, 8, 4, 2, 1)
    features: int = 256
    dropout: float = 0.2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Mapping[str, jax.Array], mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x {sils [n, t, h, w, c], smpl [n, t, 85]}, mask [n, t] -> embeddings
        [n, p, d], logits [n, p, k]. Images are at least as high as wide."""
        maps = Plain(self.layers, dtype=self.dtype, name="backbone")(x["sils"])
        height, width = maps.shape[2:4]
        if width > height:
            raise GaitError(
                f"smplgait needs images at least as high as wide, got a feature map "
                f"of {height} x {width}; turn or cut them"
            )
        straighten = Straighten(height, dropout=self.dropout, name="straighten")
        matrix = straighten(x["smpl"], mask, train=train)  # [n, t, h', h']
        # The reference pads the map with zero columns to a square: the matrix's last
        # rows count for nothing.
        matrix = matrix[:, :, :width].astype(self.dtype)
        maps = jnp.einsum("nthwc,ntwv->nthvc", maps, matrix)  # [n, t, h', h', c]
        maps = temporal_max(maps, mask)
        x = horizontal_pyramid(maps.astype(jnp.float32), self.bins)  # [n, p, c]
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
    layers: tuple[str, ...] = LAYERS,
    bins: tuple[int, ...] = (16, 8, 4, 2, 1),
    features: int = 256,
    dropout: float = 0.2,
) -> SMPLGait:
    """SMPLGait from a config's `backbone_args`."""
    parse(layers)
    at_least(
        1,
        method_args__backbone_args__bins=min(bins, default=0),
        method_args__backbone_args__features=features,
    )
    between(0, 1, method_args__backbone_args__dropout=dropout)
    return SMPLGait(num_classes, tuple(layers), tuple(bins), features, dropout, dtype)
