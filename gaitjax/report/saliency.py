"""Where a network looks: Grad-CAM (Selvaraju et al., ICCV 2017) for any method.

The network is not touched: while it embeds, zeros are added to what its submodule
`backbone` gives, and the gradient with respect to these zeros is the gradient with
respect to the feature map. What is differentiated, since retrieval has no class
score: the cosine between the sequence's embedding and the mean of the other
sequences of its person, averaged over parts. So the heat says what makes a sequence
look like its person.

Departure from the paper: the gradient is averaged over frames and columns, not over
rows, because every strip has an FC of its own and a channel may count in one strip
and against in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.methods.api import Batch, Tree
from gaitjax.report import embedding_map, pictures

# Chosen: the time of a few gradients, and a page that stays small.
NUM_SEQUENCES, NUM_FRAMES, NUM_SHOWN = 6, 30, 6

Embed = Callable[[Tree, Tree, Batch], dict[str, jax.Array]]


def grad_cam(
    embed: Embed,
    params: Tree,
    model_state: Tree,
    batch: Batch,
    towards: np.ndarray,
    view: str,
    module: str = "backbone",
) -> np.ndarray | None:
    """Heat of every frame in [0, 1], f32 [n, t', h', w'].

    embed: a `Method`'s. towards: f32 [n, p, d], what each sequence is compared with.
    view: which of the embeddings. None where no submodule of that name gives a
    feature map [n, t', h', w', c].
    """
    shapes = jax.eval_shape(
        lambda params, model_state, batch: _tapped(
            embed, params, model_state, batch, module, {}
        )[1],
        params,
        model_state,
        batch,
    )
    zeros = {path: np.zeros(x.shape, x.dtype) for path, x in shapes.items()}
    if not zeros:
        return None

    def score(zeros, params, model_state, batch, towards):
        views, maps = _tapped(embed, params, model_state, batch, module, zeros)
        return similarity(views[view], towards), maps

    gradients, maps = jax.jit(jax.grad(score, has_aux=True))(
        zeros, params, model_state, batch, towards
    )
    gradients, maps = jax.device_get((gradients, maps))
    # With an encoder per modality only one of them feeds this view.
    path = max(gradients, key=lambda path: np.abs(np.float32(gradients[path])).sum())
    return heat(np.float32(maps[path]), np.float32(gradients[path]), batch["mask"])


def similarity(x: jax.Array, towards: jax.Array) -> jax.Array:
    """Sum over sequences of the mean cosine of their parts: [n,p,d] twice -> []."""
    dot = jnp.sum(x * towards, -1)
    length = jnp.sqrt(jnp.sum(x * x, -1) * jnp.sum(towards * towards, -1) + 1e-12)
    return jnp.mean(dot / length, -1).sum()


def heat(maps: np.ndarray, gradient: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """relu of the weighted sum of channels, the largest of a sequence being 1.

    maps, gradient: f32 [n, t, h, w, c]; mask [n, t'], its padding is left cold.
    """
    weights = gradient.mean((1, 3), keepdims=True)  # [n, 1, h, 1, c]
    warm = np.maximum((weights * maps).sum(-1), 0)  # [n, t, h, w]
    if mask.shape[1] == warm.shape[1]:
        warm = warm * mask[:, :, None, None]
    most = warm.max((1, 2, 3), keepdims=True)
    return warm / np.where(most > 0, most, 1)


def towards_own(x: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """The mean of the other sequences of one's person, its own where it is alone.

    f32 [n, p, d], str [n] -> f32 [n, p, d].
    """
    out = np.empty_like(x)
    for name in np.unique(subject):
        mine = subject == name
        count = int(mine.sum())
        others = (x[mine].sum(0) - x[mine]) / max(count - 1, 1)
        out[mine] = others if count > 1 else x[mine]
    return out


def choose(condition: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """Places of some sequences, as many conditions as possible among them, int[m]."""
    order = np.random.default_rng(seed).permutation(len(condition))
    kinds = np.array([embedding_map.kind(name) for name in condition[order]])
    turn = np.empty(len(kinds), int)
    for name in np.unique(kinds):
        mine = kinds == name
        turn[mine] = np.arange(mine.sum())
    return np.sort(order[np.lexsort((kinds, turn))[:number]])


def pictures_of(
    frames: np.ndarray, mask: np.ndarray, warm: np.ndarray, names: Sequence[str]
) -> list[tuple[str, np.ndarray]]:
    """Captions and pictures of some frames of each sequence.

    frames: u8 [n, t, h, w(, c)], mask [n, t], warm f32 [n, t', h', w'].
    """
    images = []
    for clip, length, one, name in zip(
        frames, mask.sum(1).astype(int), warm, names, strict=True
    ):
        shown = pictures.spread(length, NUM_SHOWN)
        later = shown * len(one) // len(clip)  # where the network has fewer steps
        images.append((name, pictures.overlay(clip[shown], one[later])))
    return images


def _tapped(
    embed: Embed,
    params: Tree,
    model_state: Tree,
    batch: Batch,
    module: str,
    add: dict[str, jax.Array],
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Embeddings by view, and feature maps by path of the submodule."""
    maps: dict[str, jax.Array] = {}

    def tap(next_fn, args, kwargs, context):
        out = next_fn(*args, **kwargs)
        path = "/".join(context.module.path)
        called = context.method_name == "__call__" and context.module.name == module
        if called and getattr(out, "ndim", 0) == 5:
            out = out + add[path] if path in add else out
            maps[path] = out
        return out

    with nn.intercept_methods(tap):
        views = embed(params, model_state, batch)
    return views, maps
