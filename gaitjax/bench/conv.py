"""What our ways of writing convolutions win on this machine.

The gradient of a 3 x 3 kernel (`ops/conv.py`) beside XLA's, in the shapes of a
quarter-width ResNet9 and in a whole training step of it; and P3D's convolutions over
three axes beside the same ones over two, as the layers have them.
"""

from __future__ import annotations

import unittest.mock
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from configs import casia_b
from gaitjax.bench import network
from gaitjax.bench.measure import Row, interleaved, ratios, row
from gaitjax.bench.network import Recipe
from gaitjax.ops import conv
from gaitjax.runtime import mesh

SHAPES = ((64, 44, 16), (32, 22, 32), (16, 11, 64), (16, 11, 128))


def run(quick: bool) -> Iterator[Row]:
    """Milliseconds of each, and XLA's plain way as a multiple of ours."""
    mesh.check_device(None)
    n, times = (16, 3) if quick else (128, 7)
    for shape in SHAPES:
        yield from kernel_gradients(n, *shape, times)
    sides = ((64, 44), (32, 22))
    for side in sides[1:] if quick else sides:
        yield from steps(side, times)
    for shape in ((32, 22, 16), (16, 11, 32)):
        yield from over_time(max(n // 8, 2), 10, *shape, times)


def compared(
    label: str, ours: Callable[[], object], plain: Callable[[], object], times: int
) -> Iterator[Row]:
    """Timed in turns."""
    took = interleaved({"gaitjax": ours, "plain": plain}, times)
    for name, seconds in took.items():
        yield row(f"{label}: {name}", "ms", [1e3 * s for s in seconds])
    yield row(f"{label}: plain / gaitjax", "times", ratios(took, "plain", "gaitjax"))


def kernel_gradients(n: int, h: int, w: int, c: int, times: int) -> Iterator[Row]:
    """Of a convolution that keeps the number of channels."""
    x, grad = normal(0, n, h, w, c), normal(1, n, h, w, c)

    def plain(x: jax.Array, grad: jax.Array) -> jax.Array:
        def fn(kernel: jax.Array) -> jax.Array:
            return convolution(x, kernel, (1, 1))

        return jax.vjp(fn, jnp.zeros((3, 3, c, c)))[1](grad)[0]

    ours = called(lambda x, grad: conv.kernel_gradient(x, grad, (3, 3)), x, grad)
    label = f"kernel gradient, [{n}, {h}, {w}, {c}]"
    yield from compared(label, ours, called(plain, x, grad), times)


def steps(side: tuple[int, int], times: int) -> Iterator[Row]:
    """Training GaitBase at a quarter of its width, 8 x 4 clips of 4 frames."""
    config = casia_b.get_config().to_dict()
    args = config["method_args"]
    width = [size // 4 for size in (64, 128, 256, 512)]
    args["backbone_args"] = {**args["backbone_args"], "channels": tuple(width)}
    config["data"].update(p=8, k=4, frames=4)
    recipe = Recipe("gaitbase", config, 100, {"sils": side})

    def made() -> Callable[[], object]:
        built = network.build(recipe, args, "float32")
        step = built.step.lower().compile()
        return network.stepping(step, built.init(), jax.device_put(built.batch))

    ours = made()
    with unittest.mock.patch.object(conv, "is_ours", return_value=False):
        plain = made()
    label = f"training step, a quarter of GaitBase's width, 128 frames of {side}"
    yield from compared(label, ours, plain, times)


def over_time(n: int, t: int, h: int, w: int, c: int, times: int) -> Iterator[Row]:
    """Forward and backward; frames [n, t, h, w, c]."""
    x = normal(0, n, t, h, w, c)
    for kernel, flat in (((1, 3, 3), (n * t, h, w, c)), ((3, 1, 1), (n, t, h * w, c))):
        weights = normal(1, *kernel, c, c)
        two = [size for size in kernel if size > 1]
        two = (3, 1) if len(two) == 1 else (3, 3)

        def three_axes(x: jax.Array, k: jax.Array) -> jax.Array:
            return convolution(x, k, (1, 1, 1))

        def two_axes(
            x: jax.Array,
            k: jax.Array,
            flat: tuple[int, ...] = flat,
            two: tuple[int, int] = two,
        ) -> jax.Array:
            return conv.same_conv(x.reshape(flat), k.reshape(*two, c, c))

        label = f"convolution {kernel}, [{n}, {t}, {h}, {w}, {c}], both passes"
        fns = [called(both_passes(fn), x, weights) for fn in (two_axes, three_axes)]
        yield from compared(label, *fns, times)


def both_passes(fn: Callable) -> Callable:
    """Gradients of the sum of squares."""
    return jax.grad(lambda x, k: (fn(x, k) ** 2).sum(), (0, 1))


def convolution(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """XLA's, with zeros outside; two or three axes."""
    half = [(size // 2, size // 2) for size in kernel.shape[:-2]]
    axes = "DHW"[3 - len(strides) :]
    names = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(x, kernel, strides, half, dimension_numbers=names)


def called(fn: Callable, *args: jax.Array) -> Callable[[], object]:
    """A compiled call that is waited for."""
    compiled = jax.jit(fn).lower(*args).compile()
    return lambda: jax.block_until_ready(compiled(*args))


def normal(seed: int, *shape: int) -> jax.Array:
    """f32, on the device."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)
