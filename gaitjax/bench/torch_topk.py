"""PyTorch's search of the nearest: `torch.cdist` and `topk`, as its users write it.

Embeddings are on the device, parts first, in float32 without TF32. Whoever imports this
file has torch.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import torch

from gaitjax.bench.torch_twins import as_users_do, find_device, repeated

Found = tuple[torch.Tensor, torch.Tensor]  # distances f32[q,k], places i64[q,k]


def searchers(
    probe: np.ndarray, gallery: np.ndarray, k: int, count: int
) -> dict[str, Callable[[], object]]:
    """By name, `count` searches of f32[q,p,d] in f32[g,p,d] and their parts, waited
    for; none where this torch cannot use the device that JAX has."""
    device = find_device(jax.default_backend())
    if device is None:
        return {}
    as_users_do("float32")
    x, y = (torch.from_numpy(z).to(device).transpose(0, 1) for z in (probe, gallery))
    x, y = x.contiguous(), y.contiguous()  # [p,.,d]
    far = distances(x, y)
    calls = {
        "torch matmul": lambda: x @ y.transpose(1, 2),
        "torch distances": lambda: distances(x, y),
        "torch selection": lambda: far.topk(k, largest=False),
        "torch": lambda: nearest(x, y, k),
        "torch, part by part": lambda: nearest_by_part(x, y, k),
    }
    return {
        name: torch.inference_mode()(repeated(call, count, device))
        for name, call in calls.items()
    }


def distances(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """[p,q,d], [p,g,d] -> mean over parts [q,g]."""
    return torch.cdist(x, y).mean(0)


def nearest(x: torch.Tensor, y: torch.Tensor, k: int) -> Found:
    """All parts at once: [p,q,g] lies in memory."""
    return tuple(distances(x, y).topk(k, largest=False))


def nearest_by_part(x: torch.Tensor, y: torch.Tensor, k: int) -> Found:
    """One [q,g] after the other, added up."""
    far = torch.cdist(x[0], y[0])
    for one, other in zip(x[1:], y[1:], strict=True):
        far += torch.cdist(one, other)
    return tuple((far / len(x)).topk(k, largest=False))
