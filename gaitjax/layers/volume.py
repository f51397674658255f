"""Heat maps over a box from pictures, features from them, and a body from their places.

The 3D branch of Mesh-Gait (Wang et al., arXiv 2510.10406), of which only the outline is
known: HRNet gives each frame a map of 16 x 16 x 16 voxels per joint and marker; 3D
convolutions make features of the maps; a decoder makes joints, markers and vertices.
The decoder follows VirtualMarker (Ma et al., CVPR 2023). What is chosen here is marked
so; experiments/meshgait/choices.md has the alternatives.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision

from gaitjax.layers.conv import Conv
from gaitjax.layers.hrnet import INIT, HRNet
from gaitjax.layers.norm import BatchNorm
from gaitjax.layers.temporal import per_frame
from gaitjax.ops import heatmap

# Places are millimetres: not for the short products of accelerators.
product = functools.partial(jnp.einsum, precision=Precision.HIGHEST)


class HeatMaps(nn.Module):
    """One heat map over the box per joint and marker, as logits.

    maps: how many. side: voxels along each axis. What HRNet gives is brought to that
    size before its last 1 x 1 convolution (chosen: nothing happens at 64 x 64 pixels
    and 16 voxels, as in the paper). The rest: see `HRNet`.
    """

    maps: int
    side: int = 16
    width: int = 48
    stem: int = 64
    modules: Sequence[int] = (1, 4, 3)
    blocks: int = 4
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [m, s, s, c], mask [m, 1, 1, 1] -> [m, d, h, w, maps]."""
        hrnet = HRNet(
            0,
            self.width,
            self.stem,
            self.modules,
            self.blocks,
            self.remat,
            self.dtype,
            name="hrnet",
        )
        x = resized(hrnet(x, mask, train=train), self.side)
        # Logits are float32. Starts as the pose network's, so that all maps are even: a
        # softmax that starts with a peak somewhere hardly moves it.
        head = nn.Dense(
            self.side * self.maps, dtype=jnp.float32, kernel_init=INIT, name="head"
        )
        x = head(x)
        x = x.reshape(*x.shape[:3], self.side, self.maps)  # [m, h, w, d, maps]
        return jnp.moveaxis(x, 3, 1)


class VolumeFeatures(nn.Module):
    """F_1: 3D convolutions over heat maps, each of which halves the depth.

    channels: of each convolution (number and widths chosen). What remains of the depth
    is averaged.
    """

    channels: Sequence[int] = (64, 128, 256, 512)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [m, d, h, w, k], mask [m, 1, 1, 1] -> [m, h, w, channels[-1]]."""
        x = x.astype(self.dtype)
        for i, features in enumerate(self.channels):
            x = halved(x)  # [m, d / 2, h, w, 3 c]
            conv = Conv(features, 3, 1, self.dtype, name=f"conv{i}")
            norm = BatchNorm(dtype=self.dtype, name=f"bn{i}")
            x = nn.relu(norm(per_frame(conv, x), mask[:, None], train=train))
        return x.mean(1)


def halved(x: jax.Array) -> jax.Array:
    """Every other slice with its two neighbours as channels: [m, d, h, w, c] ->
    [m, ceil(d / 2), h, w, 3 c], zeros beyond the ends.

    A convolution of the slices then is one of 3 x 3 x 3 with a stride of 2 along the
    depth; those over three axes are far slower on every device.
    """
    depth = x.shape[1]
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    return jnp.concatenate([x[:, i : i + depth : 2] for i in range(3)], -1)


class MeshDecoder(nn.Module):
    """Vertices as weighted sums of joints and markers.

    weights: [k, v], where they start, of a vertex 1 together; None starts with equal
    ones. rank: of the correction of the weights by the confidence of the heat maps,
    which starts as zero; 0 leaves it out. (VirtualMarker makes all weights from the
    confidence, in 54 million parameters for SMPL.)
    """

    vertices: int
    rank: int = 8
    weights: np.ndarray | None = None

    @nn.compact
    def __call__(self, points: jax.Array, confidence: jax.Array) -> jax.Array:
        """points [..., k, 3], confidence [..., k] -> f32[..., v, 3]."""
        k = points.shape[-2]
        start = self.weights
        if start is None:
            start = np.full((k, self.vertices), 1 / k, np.float32)
        kernel = self.param("weights", lambda _: jnp.asarray(start, jnp.float32))
        vertices = product("kv,...kc->...vc", kernel, points)
        if not self.rank:
            return vertices
        # One number per direction of the correction and frame: never [..., k, v].
        turn = nn.Dense(self.rank, precision=Precision.HIGHEST, name="turn")
        amount = turn(confidence)[..., None]  # [..., r, 1]
        normal = nn.initializers.normal(k**-0.5)
        into = self.param("into", normal, (self.rank, k))
        out = self.param("out", nn.initializers.zeros, (self.rank, self.vertices))
        moved = product("rk,...kc->...rc", into, points) * amount
        return vertices + product("rv,...rc->...vc", out, moved)


class BodyDecoder(nn.Module):
    """Heat maps to joints, markers and vertices, in training only.

    joints: how many of the maps are joints; they come first. Everything is float32.
    alpha: of the softmax. detach: the mesh does not teach the maps (VirtualMarker's
    way; the paper says that it does).
    """

    joints: int
    vertices: int
    rank: int = 8
    weights: np.ndarray | None = None
    alpha: float = 15.0
    detach: bool = False

    @nn.compact
    def __call__(self, logits: jax.Array) -> dict[str, jax.Array]:
        """logits [..., d, h, w, k] -> joints, markers, vertices [..., number, 3], in
        boxes around the pelvis (see `ops.heatmap`). vertices=0 leaves these out."""
        maps = heatmap.probabilities(logits, self.alpha)
        points = heatmap.expected(maps)  # [..., k, 3]
        found = {
            "joints": points[..., : self.joints, :],
            "markers": points[..., self.joints :, :],
        }
        if self.vertices:
            confidence = heatmap.confidence(maps, points)
            if self.detach:
                points, confidence = jax.lax.stop_gradient((points, confidence))
            decoder = MeshDecoder(self.vertices, self.rank, self.weights, name="mesh")
            found["vertices"] = decoder(points, confidence)
        return found


def squared(x: jax.Array) -> jax.Array:
    """Frames [..., h, w, c] with empty sides as wide as they are high: the columns
    that cutting took away. Higher than wide, or as they are."""
    height, width = x.shape[-3:-1]
    left = max(height - width, 0) // 2
    right = max(height - width, 0) - left
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(left, right), (0, 0)])


def middle(x: jax.Array, width: int) -> jax.Array:
    """The middle `width` columns of [..., h, w, c]. Of 16 columns that 11 stand in the
    middle of (64 pixels, cut to 44), it is half a column off."""
    left = (x.shape[-2] - width) // 2
    return x[..., left : left + width, :]


def resized(x: jax.Array, height: int) -> jax.Array:
    """Square maps [m, h, h, c] with `height` rows and columns, by linear weights."""
    if x.shape[1] == height:
        return x
    return jax.image.resize(x, (x.shape[0], height, height, x.shape[3]), "linear")
