"""A PyTorch twin of DiffCrossGait's training step, see `torch_twins.py`.

Of the published recipe, whose choices are fixed here: three phases, decoupled heads,
the token, axial attention, separable convolutions, one U-Net, noise that both
modalities share. There is no other PyTorch code of it to measure against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gaitjax.bench.torch_twins import (
    PerFrame,
    ResNet,
    add_heads,
    as_users_do,
    batch_all,
    channels_last,
    compile_anew,
    cross_entropy,
    device_of,
    distances,
    find_device,
    frames,
    heads,
    make_optimizer,
    mixed,
    peak,
    pyramid,
    repeated,
    stepping,
)
from gaitjax.layers.denoiser import TIME_DIMS
from gaitjax.losses.diffusion import alpha_bars, phase_intervals
from gaitjax.methods.diffcrossgait import TOKEN_DIMS
from gaitjax.runtime.precision import Precision

__all__ = ["find_device", "peak", "repeated", "training", "twin_of"]

EPSILON = 1e-6  # of Flax's group and layer norms


class DiffCrossGait(nn.Module):
    """Encoders, heads and denoiser of silhouettes and range views."""

    def __init__(
        self,
        num_classes: int,
        *,
        inputs: Sequence[str],
        channels: Sequence[int],
        strides: Sequence[int],
        bins: Sequence[int],
        features: int,
        denoiser_features: int,
        denoiser_heads: int,
        **others: Any,
    ):
        super().__init__()
        self.bins, wide = bins, channels[-1]
        colours = {key: 3 if key == "ranges" else 1 for key in inputs}
        self.encoders = nn.ModuleDict(
            {key: PerFrame(ResNet(channels, strides, c)) for key, c in colours.items()}
        )
        self.dis = nn.ModuleDict({key: pointwise(wide, wide) for key in inputs})
        self.gen = pointwise(wide, wide)
        self.token = nn.Parameter(0.02 * torch.randn(TOKEN_DIMS))
        self.unet = Denoiser(wide, denoiser_features, denoiser_heads)
        add_heads(self, wide, features, num_classes)

    def forward(
        self, batch: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """u8 frames by modality -> embeddings [n m, d, p], logits [n m, classes, p] of
        m modalities within sequences, latents [n, m, c, h, w]."""
        maps = {
            key: encode(frames(batch[key] / 255)).max(2)[0]
            for key, encode in self.encoders.items()
        }
        found = torch.stack([self.dis[key](x) for key, x in maps.items()], 1)
        latents = torch.stack([self.gen(x) for x in maps.values()], 1)
        return *heads(self, found.flatten(0, 1)), latents

    def recognise(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[n, m, c, h, w] that are discriminative already, through the same head."""
        x = self.FCs(pyramid(maps.flatten(0, 1), self.bins))
        return x, self.BNNecks(x, remember=False)

    def denoise(
        self, noisy: torch.Tensor, steps: torch.Tensor, priors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """noisy [n, p, m, c, h, w], steps [n, p], priors [n, p, m, c] of p phases ->
        the noise, and bridging states."""
        lead = priors.shape[:3]
        steps = steps[:, :, None].expand(lead)
        priors = torch.cat([self.token.expand(*lead, -1), priors], -1)
        args = (x.flatten(0, 2) for x in (noisy, steps, priors))
        noise, bridge = (x.float().unflatten(0, lead) for x in self.unet(*args))
        return noise, bridge


class Denoiser(nn.Module):
    """A U-Net of four residual blocks, with attention in the middle."""

    def __init__(self, channels: int, features: int, heads: int):
        super().__init__()
        self.time1 = nn.Linear(TIME_DIMS, TIME_DIMS)
        self.time2 = nn.Linear(TIME_DIMS, TIME_DIMS)
        self.block_a = ResBlock(channels, features)
        self.down = Separable(features, features, 2)
        self.block_b = ResBlock(features, features)
        self.condition = nn.Linear(TIME_DIMS + TOKEN_DIMS + channels, features)
        self.axial = AxialAttention(features, heads)
        self.block_c = ResBlock(features, features)
        self.block_d = ResBlock(2 * features, features)
        self.norm = group_norm(features)
        self.noise = pointwise(features, channels, bias=True)

    def forward(
        self, x: torch.Tensor, steps: torch.Tensor, condition: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x [n, c, h, w] -> noise like it, bridging state [n, features, h', w']."""
        x = x.contiguous(memory_format=torch.channels_last)
        time = self.time2(F.silu(self.time1(step_embedding(steps))))
        outer = self.block_a(x, time)
        inner = self.block_b(self.down(outer), time)
        both = self.condition(torch.cat([time, condition], -1))
        bridge = inner + both[:, :, None, None]
        bridge = bridge + self.axial(bridge)
        inner = F.interpolate(self.block_c(bridge, time), scale_factor=2)
        inner = inner[:, :, : x.shape[2], : x.shape[3]]
        y = self.block_d(torch.cat([inner, outer], 1), time)
        return self.noise(F.silu(self.norm(y))), bridge


class ResBlock(nn.Module):
    """Two convolutions, each after norm and SiLU, the time added in between."""

    def __init__(self, before: int, features: int):
        super().__init__()
        self.norm1 = group_norm(before)
        self.conv1 = Separable(before, features)
        self.time = nn.Linear(TIME_DIMS, features)
        self.norm2 = group_norm(features)
        self.conv2 = Separable(features, features)
        self.shortcut = pointwise(before, features) if before != features else None

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (self.shortcut(x) if self.shortcut else x)


class Separable(nn.Module):
    """A 3 x 3 convolution of each channel, then a 1 x 1 over channels."""

    def __init__(self, before: int, features: int, stride: int = 1):
        super().__init__()
        self.depthwise = nn.Conv2d(
            before, before, 3, stride, 1, groups=before, bias=False
        )
        self.pointwise = pointwise(before, features, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.depthwise(x))


class AxialAttention(nn.Module):
    """The rows of each column attend to each other; without the residual."""

    def __init__(self, features: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(features, EPSILON)
        self.query, self.key, self.value, self.out = (
            nn.Linear(features, features) for _ in range(4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.norm(x.permute(0, 3, 2, 1))  # [n, w, h, c]
        parts = [
            layer(columns).unflatten(-1, (self.heads, -1)).transpose(2, 3)
            for layer in (self.query, self.key, self.value)
        ]
        found = F.scaled_dot_product_attention(*parts)  # [n, w, heads, h, c / heads]
        return self.out(found.transpose(2, 3).flatten(-2)).permute(0, 3, 2, 1)


def pointwise(before: int, features: int, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(before, features, 1, bias=bias)


def group_norm(channels: int) -> nn.GroupNorm:
    """In as many groups as `layers/denoiser.py` has."""
    most = min(max(channels // 8, 1), 32)
    groups = max(g for g in range(1, most + 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels, EPSILON)


def step_embedding(steps: torch.Tensor) -> torch.Tensor:
    half = TIME_DIMS // 2
    rates = 10_000.0 ** (-torch.arange(half, device=steps.device) / half)
    angles = steps[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def twin_of(config: Mapping[str, Any], num_classes: int) -> nn.Module:
    """A config's network."""
    return channels_last(DiffCrossGait(num_classes, **config["method_args"]))


def make_loss(
    model: DiffCrossGait, args: Mapping[str, Any], k: int, precision: Precision
) -> Callable[..., torch.Tensor]:
    """(frames by modality, labels, steps [n, 3], noise [n, 3, 1, c, h, w]) -> what
    `methods/diffcrossgait.py` minimises."""
    left_of = torch.from_numpy(alpha_bars(args["num_steps"], args["schedule"])).float()
    left_of = left_of.to(device_of(model))

    def recognition(x: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor):
        far = distances(x[::2], x[1::2])
        both = [batch_all(d, labels, k, args["margin"]) for d in (far, far.mT)]
        labels = labels.repeat_interleave(2)
        told = cross_entropy(logits, labels, args["ce_scale"], args["ce_smoothing"])
        return args["triplet_weight"] * sum(both) + 2 * args["ce_weight"] * told

    def loss(
        batch: Mapping[str, torch.Tensor],
        labels: torch.Tensor,
        steps: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        half = mixed(labels.device.type, precision)
        with half:
            x, logits, latents = model(batch)
        total = recognition(x, logits, labels)
        z, mean, scale = unit(latents.float())
        left = left_of[steps - 1][:, :, None, None, None, None]
        noisy = left.sqrt() * z[:, None] + (1 - left).sqrt() * noise
        prior = z.mean((3, 4))
        priors = torch.stack([prior, prior, prior.flip(1)], 1)
        with half:
            guess, bridge = model.denoise(noisy, steps, priors)
        clean = (noisy - (1 - left).sqrt() * guess) / left.sqrt()
        with half:
            x, logits = model.recognise(clean[:, 0] * scale + mean)
        total = total + args["id_weight"] * recognition(x, logits, labels)
        target = z.detach()
        for phase, wanted in ((1, target), (2, target.flip(1))):
            for name, values in (("eps", guess), ("mid", bridge)):
                term = F.mse_loss(values[:, phase, 0], values[:, phase, 1])
                total = total + args[f"{name}_weight"] * term
            total = total + args["rec_weight"] * F.mse_loss(clean[:, phase], wanted)
        return total

    return loss


def unit(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents [n, m, c, h, w] of mean 0 and variance 1; what they had."""
    axes = (2, 3, 4)
    mean = z.mean(axes, keepdim=True)
    scale = ((z - mean).square().mean(axes, keepdim=True) + 1e-6).sqrt()
    return (z - mean) / scale, mean, scale


def training(
    model: DiffCrossGait,
    config: Mapping[str, Any],
    batch: Mapping[str, np.ndarray],
    precision: Precision,
    *,
    compiled: bool,
) -> Callable[[], torch.Tensor]:
    """As that of `torch_twins`; steps and noise are drawn anew."""
    as_users_do(precision)
    args, device = config["method_args"], device_of(model)
    loss = make_loss(model, args, config["data"]["k"], precision)
    if compiled:
        loss = compile_anew(loss)
    there = {key: torch.from_numpy(batch[key]).to(device) for key in args["inputs"]}
    labels = torch.from_numpy(batch["label"]).to(device)
    left = alpha_bars(args["num_steps"], args["schedule"])
    intervals, _ = phase_intervals(left, args["small_noise"], args["large_noise"])
    with torch.no_grad(), mixed(device.type, precision):
        shape = model.eval()({key: x[:1] for key, x in there.items()})[2].shape[2:]
    model.train()

    def once() -> torch.Tensor:
        steps = torch.stack(
            [
                torch.randint(first, last + 1, labels.shape, device=device)
                for first, last in intervals
            ],
            1,
        )
        noise = torch.randn(len(labels), 3, 1, *shape, device=device)
        return loss(there, labels, steps, noise)

    return stepping(once, make_optimizer(model, **config["optim"]))
