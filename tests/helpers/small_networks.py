"""What must hold of every network, tried on small ones: padding, half precision."""

from __future__ import annotations

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np

from gaitjax import walkers
from gaitjax.ops.frames import network_input


def some_variables(model, x, mask):
    """Random variables, without the zeros of an initialisation, which hide mistakes."""
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), x, mask)  # compiles nothing
    rng = np.random.default_rng(0)

    def value(path, leaf):
        noise = rng.standard_normal(leaf.shape, np.float32)
        name = path[-1].key
        if name == "kernel":
            return noise * np.float32((2 / np.prod(leaf.shape[:-1])) ** 0.5)
        return np.float32(name in ("scale", "var")) + np.float32(0.1) * abs(noise)

    return jax.tree_util.tree_map_with_path(value, dict(shapes))


def padding_error(model, x, lengths) -> float:
    """Between rows of a padded batch and the same sequences alone, relative.

    x [n, t, ...] or a dict of these, random also where rows have ended.
    """
    most = jax.tree.leaves(x)[0].shape[1]
    mask = jnp.asarray(np.arange(most) < np.array(lengths)[:, None], jnp.float32)
    variables = some_variables(model, x, mask)
    apply = jax.jit(functools.partial(model.apply, variables, train=False))
    together = apply(x, mask)
    errors = []
    for row, length in enumerate(lengths):
        alone = jax.tree.map(lambda x, i=row, t=length: x[i : i + 1, :t], x)
        alone = apply(alone, jnp.ones((1, length)))
        for key, want in alone.items():
            errors.append(golden.relative_error(together[key][row][None], want))
    return max(errors)


def masked_training_error(model, x, length: int) -> float:
    """Between a training step on frames cut to a length, and on the same masked."""
    cut = jax.tree.map(lambda x: x[:, :length], x)
    n, t = jax.tree.leaves(x)[0].shape[:2]
    mask = jnp.asarray(np.arange(t) < np.full((n, 1), length), jnp.float32)
    variables = some_variables(model, x, mask)

    @jax.jit
    def outcome(x, mask):
        def loss(params):
            out, mutated = model.apply(
                {**variables, "params": params},
                x,
                mask,
                train=True,
                mutable=["batch_stats"],
            )
            last = out.get("logits", out["embeddings"])
            return jnp.square(last).sum(), (out, mutated)

        return jax.grad(loss, has_aux=True)(variables["params"])

    got, want = (
        jax.tree.leaves(outcome(*args)) for args in ((x, mask), (cut, mask[:, :length]))
    )
    # A bias before a norm has a gradient of 0 but for rounding: nothing to compare.
    floor = 1e-3 * max(np.abs(leaf).max() for leaf in want)
    errors = [
        float(np.abs(ours - leaf).max() / max(np.abs(leaf).max(), floor))
        for ours, leaf in zip(got, want, strict=True)
    ]
    return max(errors)


def half_precision_cosine(
    make, keys: tuple[str, ...] = ("sils",), num_classes: int = 5, **sizes
) -> float:
    """Least cosine of bf16 embeddings to float32 ones, frames of three walkers."""
    sequences = [
        walkers.make_sequence(0, subject, "nm", 0, 90.0, 6, keys=keys)
        for subject in range(3)
    ]
    x = {}
    for key in keys:
        frames = jnp.asarray(np.stack([sequence[key] for sequence in sequences]))
        image = frames.dtype == jnp.uint8
        x[key] = network_input(frames)[:, :, :, 10:54] if image else frames
    x = x[keys[0]] if len(keys) == 1 else x
    mask = jnp.ones((3, 6))
    full, half = (
        make(num_classes, dtype, **sizes) for dtype in (jnp.float32, jnp.bfloat16)
    )
    variables = some_variables(full, x, mask)
    a, b = (
        jax.jit(functools.partial(model.apply, train=False))(variables, x, mask)
        for model in (full, half)
    )
    assert {b[key].dtype for key in b} == {jnp.dtype("float32")}
    a, b = (np.asarray(out["embeddings"]).reshape(3, -1) for out in (a, b))
    assert np.abs(a - b).max() > 0  # it was half precision
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / lengths).min())
