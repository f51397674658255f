"""Heat maps over a box: softmax, expected place, confidence.

A heat map is [..., d, h, w, k]: k maps of d x h x w voxels with axes z, y, x. Places
are (x, y, z) in a box of side one around zero, so in [-0.5, 0.5]. As in VirtualMarker
(Ma et al., CVPR 2023) the softmax runs over all voxels and the place is the mean over
them. There voxel i stands for i / size - 0.5, its lower corner; here for its centre,
(i + 0.5) / size - 0.5. So a mirrored map gives the mirrored place, an even map gives
the middle, and maps of 8, 16 and 32 voxels a side mean the same places (the corner is
1/32 of the box off at 16, 62 mm of 2 m). Always float32, whatever the network ran in.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

VOXELS = (-4, -3, -2)  # axes of z, y and x


def probabilities(logits: jax.Array, alpha: float = 15.0) -> jax.Array:
    """Softmax over the voxels of alpha * logit: [..., d, h, w, k] -> f32, same shape.

    alpha: the inverse temperature; 15 is VirtualMarker's, at 64 voxels a side.
    """
    return jax.nn.softmax(alpha * jnp.asarray(logits, jnp.float32), VOXELS)


def expected(p: jax.Array) -> jax.Array:
    """Mean place of each map: [..., d, h, w, k] summing to one -> f32[..., k, 3]."""
    p = jnp.asarray(p, jnp.float32)
    z, y, x = VOXELS
    # Sums, not products of matrices: those round to TF32 on a GPU.
    return jnp.stack([_mean(p, (z, y)), _mean(p, (z, x)), _mean(p, (y, x))], -1)


def confidence(p: jax.Array, at: jax.Array) -> jax.Array:
    """Value of maps [..., d, h, w, k] in the voxel of `at` [..., k, 3]: f32[..., k].

    Outside of the box it is the nearest voxel. The gradient goes to the value; which
    voxel it is has none.
    """
    *batch, depth, height, width, maps = p.shape
    size = jnp.array([width, height, depth])
    place = jnp.floor((at + 0.5) * size.astype(jnp.float32))
    x, y, z = jnp.moveaxis(jnp.clip(place.astype(jnp.int32), 0, size - 1), -1, 0)
    index = (z * height + y) * width + x  # [..., k]
    flat = jnp.asarray(p, jnp.float32).reshape(*batch, depth * height * width, maps)
    return jnp.take_along_axis(flat, index[..., None, :], -2)[..., 0, :]


def centres(size: int) -> jax.Array:
    """Where the middles of `size` voxels are along an axis of the box: f32[size]."""
    return (jnp.arange(size, dtype=jnp.float32) + 0.5) / size - 0.5


def _mean(p: jax.Array, others: tuple[int, int]) -> jax.Array:
    """Mean coordinate along the axis that is not among `others`: [..., k]."""
    marginal = p.sum(others)  # [..., i, k]
    return (marginal * centres(marginal.shape[-2])[:, None]).sum(-2)
