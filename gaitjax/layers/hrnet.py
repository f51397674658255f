"""HRNet (Sun et al., CVPR 2019, "Deep High-Resolution Representation Learning").

A stem to a quarter of the size, four Bottlenecks, then stages of parallel branches:
stage s has s branches, each half as large and twice as wide as the one before, and
every module of a stage ends by giving each branch the sum of all (figure 3). Width
48, 32 and 18 are the paper's W48 and W32 and its authors' later W18. Numbers of
features, kernels and the initialisation are those of the authors' pose network.

On a CPU: `HRNet(outputs, width=8, stem=16, modules=(1, 1, 1), blocks=1)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.errors import GaitError
from gaitjax.layers.conv import BasicBlock, Conv
from gaitjax.layers.norm import BatchNorm

# The authors' pose network. So small that only batch normalisation keeps the signal
# alive: outside training an untrained network gives next to nothing but its bias.
INIT = nn.initializers.normal(1e-3)

Maps = jax.Array | list[jax.Array]  # one map, or one per branch


class ConvNorm(nn.Module):
    """A convolution and its batch normalisation, then ReLU unless told otherwise."""

    features: int
    kernel: int = 3
    stride: int = 1
    relu: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [m, h, w, c], mask [m, 1, 1, 1] -> [m, h / stride, w / stride, c']."""
        conv = Conv(
            self.features, self.kernel, self.stride, self.dtype, init=INIT, name="conv"
        )
        x = BatchNorm(dtype=self.dtype, name="bn")(conv(x), mask, train=train)
        return nn.relu(x) if self.relu else x


class Bottleneck(nn.Module):
    """ResNet's block of 1 x 1, 3 x 3 and 1 x 1 (He et al. 2016, figure 5)."""

    features: int  # inside; four times as many come out
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [m, h, w, c], mask [m, 1, 1, 1] -> [m, h, w, 4 features]."""

        def layer(
            x: jax.Array, name: str, features: int, kernel: int, relu: bool = True
        ) -> jax.Array:
            conv = ConvNorm(features, kernel, 1, relu, self.dtype, name=name)
            return conv(x, mask, train=train)

        wide = 4 * self.features
        y = layer(x, "conv1", self.features, 1)
        y = layer(y, "conv2", self.features, 3)
        y = layer(y, "conv3", wide, 1, relu=False)
        if x.shape[-1] != wide:
            x = layer(x, "shortcut", wide, 1, relu=False)
        return nn.relu(x + y)


class Fusion(nn.Module):
    """Gives each branch the sum of all, brought to its size and width (figure 3)."""

    outputs: int  # the first so many branches are given
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, xs: list[jax.Array], mask: jax.Array, *, train: bool
    ) -> list[jax.Array]:
        """xs: branch i [m, h / 2^i, w / 2^i, c_i] -> the same, `outputs` of them."""

        def layer(
            x: jax.Array, name: str, features: int, kernel: int, stride: int, relu: bool
        ) -> jax.Array:
            conv = ConvNorm(features, kernel, stride, relu, self.dtype, name=name)
            return conv(x, mask, train=train)

        def up(j: int, i: int) -> jax.Array:
            """Branch j as the larger i: 1 x 1 convolution, then nearest neighbours."""
            x = layer(xs[j], f"up{j}to{i}", xs[i].shape[-1], 1, 1, relu=False)
            factor = 2 ** (j - i)
            return x.repeat(factor, axis=1).repeat(factor, axis=2)

        def down(j: int, i: int) -> jax.Array:
            """Branch j as the smaller i: halved i - j times, ReLU between only."""
            x = xs[j]
            for k in range(j + 1, i):
                x = layer(x, f"down{j}to{i}_{k}", x.shape[-1], 3, 2, relu=True)
            return layer(x, f"down{j}to{i}", xs[i].shape[-1], 3, 2, relu=False)

        def fused(i: int) -> jax.Array:
            y = xs[i]
            for j in range(len(xs)):
                if j != i:
                    y = y + (up(j, i) if j > i else down(j, i))
            return nn.relu(y)

        return [fused(i) for i in range(self.outputs)]


class ParallelModule(nn.Module):
    """BasicBlocks on each branch by itself, then the fusion of all."""

    blocks: int
    outputs: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, xs: list[jax.Array], mask: jax.Array, *, train: bool
    ) -> list[jax.Array]:
        """xs: branch i [m, h / 2^i, w / 2^i, c_i] -> the same, `outputs` of them."""
        ys = []
        for i, x in enumerate(xs):
            for k in range(self.blocks):
                block = BasicBlock(
                    x.shape[-1], 1, self.dtype, INIT, name=f"branch{i}_{k}"
                )
                x = block(x, mask, train=train)
            ys.append(x)
        return Fusion(self.outputs, self.dtype, name="fusion")(ys, mask, train=train)


class HRNet(nn.Module):
    """The high-resolution map of each frame, or what a 1 x 1 convolution makes of it.

    outputs: features of that convolution, which has a bias; 0 gives the map.
    stem: features of the stem and of layer1's Bottlenecks (out: four times as many).
    modules: per stage from stage 2 on. blocks: BasicBlocks per branch of each module,
    and Bottlenecks of layer1. remat: recompute each module and Bottleneck in the
    backward pass, which saves memory and changes neither parameters nor results.
    """

    outputs: int = 0
    width: int = 48  # of the high-resolution branch
    stem: int = 64
    modules: Sequence[int] = (1, 4, 3)
    blocks: int = 4
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [m, h, w, c], mask [m, 1, 1, 1] -> [m, h / 4, w / 4, width or outputs].

        h and w are multiples of 2^(2 + stages), so of 32 with the paper's three.
        Raises GaitError otherwise.
        """
        check_size(*x.shape[1:3], num_stages=len(self.modules))

        def conv(features: int, stride: int, name: str) -> ConvNorm:
            return ConvNorm(features, 3, stride, dtype=self.dtype, name=name)

        def call(module: nn.Module, x: Maps, mask: jax.Array) -> Maps:
            return module(x, mask, train=train)

        heavy = nn.remat(call) if self.remat else call
        x = x.astype(self.dtype)
        x = call(conv(self.stem, 2, "stem1"), x, mask)  # [m, h / 2, w / 2, stem]
        x = call(conv(self.stem, 2, "stem2"), x, mask)  # [m, h / 4, w / 4, stem]
        for k in range(self.blocks):
            x = heavy(Bottleneck(self.stem, self.dtype, name=f"layer1_{k}"), x, mask)
        # [m, h / 4, w / 4, 4 stem]
        xs = [call(conv(self.width, 1, "transition1"), x, mask)]
        for stage, count in enumerate(self.modules, 2):
            low = conv(self.width * 2 ** (stage - 1), 2, f"transition{stage}")
            xs = [*xs, call(low, x if stage == 2 else xs[-1], mask)]
            for k in range(count):
                end = stage == len(self.modules) + 1 and k == count - 1
                module = ParallelModule(
                    self.blocks,
                    1 if end else stage,
                    self.dtype,
                    name=f"stage{stage}_{k}",
                )
                xs = heavy(module, xs, mask)
        if not self.outputs:
            return xs[0]
        head = nn.Dense(
            self.outputs, dtype=self.dtype, kernel_init=INIT, name="head"
        )  # a 1 x 1 convolution
        return head(xs[0])


def check_size(height: int, width: int, *, num_stages: int = 3) -> None:
    """Raises GaitError unless every branch is exactly half the one before."""
    multiple = 2 ** (2 + num_stages)
    if height % multiple or width % multiple:
        raise GaitError(
            f"HRNet expects frames whose sides are multiples of {multiple}, got "
            f"{height} x {width}; zero-pad them to {-(-height // multiple) * multiple} "
            f"x {-(-width // multiple) * multiple}"
        )
