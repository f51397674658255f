"""`ops.exact` in numpy: each operation rounded on its own, in the same order."""

import numpy as np


def twin_sum(x):
    """Halves of the last axis are added until one number is left; float32."""
    while x.shape[-1] > 1:
        if x.shape[-1] % 2:
            x = np.concatenate([x, np.zeros_like(x[..., :1])], -1)
        half = x.shape[-1] // 2
        x = x[..., :half] + x[..., half:]
    return x[..., 0]


def twin_squares(x):
    high = _cut(x, 12)
    low = x - high
    return twin_sum((high * high + low * low) + 2 * (high * low))


def twin_prepared(x, metric):
    if metric == "euclidean":
        return x
    length = _cut(np.sqrt(twin_squares(x)), 1)[..., None]
    one = np.float32(1)
    scale = np.where(length > 0, one / np.where(length > 0, length, one), 0)
    return _cut(x * scale, 1)


def _cut(x, number):
    kept = np.uint32(2**32 - 2**number)
    return (np.float32(x).view(np.uint32) & kept).view(np.float32)


def twin_distances(probe, gallery, metric):
    """f32[q,p,d], f32[g,p,d] -> f32[q,g], the bits that `exact` promises."""
    x, y = (twin_prepared(one, metric) for one in (probe, gallery))
    x, y = x[:, None], y[None]
    square = twin_squares(x - y)
    zeros = ~x.any(-1) | ~y.any(-1)
    far = np.where(zeros, 1, square / 2) if metric == "cosine" else np.sqrt(square)
    return twin_sum(np.float32(far)) * np.float32(1 / x.shape[-2])
