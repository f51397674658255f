"""PyTorch twins of our networks, and steps of theirs as PyTorch users run them.

To measure against, nothing else: torch is no dependency, and whoever imports this
file has it. Written from the goldens' lists of weights, whose names are kept, so that
these load; tests show the outputs and a step equal. Frames are in channels-last
memory throughout: [n, c, t, h, w] is a view of [n t, c, h, w], and no layer copies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gaitjax.runtime.precision import Precision


class PerFrame(nn.Module):
    """A network of images, on every frame of x [n, c, t, h, w]."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.forward_block = layers[0] if len(layers) == 1 else nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.transpose(1, 2)
        y = self.forward_block(frames.flatten(0, 1))
        return y.unflatten(0, frames.shape[:2]).transpose(1, 2)


class Block(nn.Module):
    """ResNet's block of two 3 x 3 convolutions."""

    def __init__(self, before: int, features: int, stride: int):
        super().__init__()
        self.conv1 = conv2(before, features, 3, stride)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = conv2(features, features, 3)
        self.bn2 = nn.BatchNorm2d(features)
        if stride != 1 or before != features:
            short = conv2(before, features, 1, stride)
            self.downsample = nn.Sequential(short, nn.BatchNorm2d(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        return F.relu(y + x, inplace=True)


class BlockP3D(nn.Module):
    """The same, with a 3 x 1 x 1 convolution beside what the first one gives."""

    def __init__(self, before: int, features: int, stride: int):
        super().__init__()
        steps = (1, stride, stride)
        self.conv1 = PerFrame(
            conv2(before, features, 3, stride), nn.BatchNorm2d(features)
        )
        self.conv2 = PerFrame(conv2(features, features, 3), nn.BatchNorm2d(features))
        self.shortcut3d = nn.Conv3d(
            features, features, (3, 1, 1), padding=(1, 0, 0), bias=False
        )
        self.sbn = nn.BatchNorm3d(features)
        if stride != 1 or before != features:
            short = nn.Conv3d(before, features, 1, steps, bias=False)
            self.downsample = nn.Sequential(short, nn.BatchNorm3d(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.conv1(x), inplace=True)
        y = F.relu(y + self.sbn(self.shortcut3d(y)), inplace=True)
        y = self.conv2(y)
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        return F.relu(y + x, inplace=True)


class Stem(nn.Module):
    """A 3 x 3 convolution under the name that the goldens have for it."""

    def __init__(self, before: int, features: int, kernel: int = 3):
        super().__init__()
        self.conv = conv2(before, features, kernel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class ResNet(nn.Module):
    """One block per stage."""

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], inputs: int = 1
    ):
        super().__init__()
        self.conv1 = Stem(inputs, channels[0])
        self.bn1 = nn.BatchNorm2d(channels[0])
        before, self.stages = channels[0], []
        for number, (features, stride) in enumerate(
            zip(channels, strides, strict=True), 1
        ):
            self.stages.append(f"layer{number}")
            layer = nn.Sequential(Block(before, features, stride))
            self.add_module(self.stages[-1], layer)
            before = features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        for name in self.stages:
            x = getattr(self, name)(x)
        return x


class SeparateFCs(nn.Module):
    """x [n, c, p] -> [n, d, p], a matrix per part."""

    def __init__(self, parts: int, before: int, features: int):
        super().__init__()
        self.fc_bin = nn.Parameter(torch.empty(parts, before, features))
        nn.init.xavier_uniform_(self.fc_bin)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.permute(2, 0, 1) @ self.fc_bin).permute(1, 2, 0)


class BNNecks(nn.Module):
    """x [n, c, p] -> cosines [n, classes, p]."""

    def __init__(self, parts: int, before: int, classes: int):
        super().__init__()
        self.fc_bin = nn.Parameter(torch.empty(parts, before, classes))
        self.bn1d = nn.BatchNorm1d(parts * before)
        nn.init.xavier_uniform_(self.fc_bin)

    def forward(self, x: torch.Tensor, remember: bool = True) -> torch.Tensor:
        """remember: in the running statistics, too."""
        flat, norm = x.reshape(len(x), -1), self.bn1d
        if remember:
            flat = norm(flat)
        else:
            flat = F.batch_norm(
                flat, None, None, norm.weight, norm.bias, True, eps=norm.eps
            )
        x = F.normalize(flat.reshape(x.shape).permute(2, 0, 1), dim=-1)
        return (x @ F.normalize(self.fc_bin, dim=1)).permute(1, 2, 0)


class GaitBase(nn.Module):
    """sils [n, t, h, w] -> embeddings [n, d, p], logits [n, classes, p] or None."""

    def __init__(
        self,
        num_classes: int,
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        bins: Sequence[int],
        features: int,
    ):
        super().__init__()
        self.bins = bins
        self.Backbone = PerFrame(ResNet(channels, strides))
        add_heads(self, channels[-1], features, num_classes)

    def forward(self, sils: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return heads(self, self.Backbone(frames(sils)).max(2)[0])


class DeepGaitV2(nn.Module):
    """The P3D one; as GaitBase."""

    def __init__(
        self,
        num_classes: int,
        *,
        layers: Sequence[int],
        channels: Sequence[int],
        features: int,
        bins: Sequence[int] = (16,),
    ):
        super().__init__()
        self.bins = bins
        first = conv2(1, channels[0], 3), nn.BatchNorm2d(channels[0])
        self.layer0 = PerFrame(*first, nn.ReLU(inplace=True))
        flat = stage(Block, channels[0], channels[0], 1, layers[0])
        self.layer1 = PerFrame(nn.Sequential(*flat))
        for number, stride in ((2, 2), (3, 2), (4, 1)):
            before, features_here = channels[number - 2 : number]
            blocks = stage(BlockP3D, before, features_here, stride, layers[number - 1])
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        add_heads(self, channels[-1], features, num_classes)

    def forward(self, sils: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = self.layer1(self.layer0(frames(sils)))
        x = self.layer4(self.layer3(self.layer2(x)))
        return heads(self, x.max(2)[0])


class GaitSet(nn.Module):
    """As GaitBase, without logits; three blocks, as published."""

    def __init__(self, *, channels: Sequence[int], bins: Sequence[int], features: int):
        super().__init__()
        self.bins = bins
        one, two, three = channels
        self.set_block1 = PerFrame(pair(1, one, 5, pool=True))
        self.set_block2 = PerFrame(pair(one, two, 3, pool=True))
        self.set_block3 = PerFrame(pair(two, three, 3, pool=False))
        self.gl_block2 = pair(one, two, 3, pool=True)
        self.gl_block3 = pair(two, three, 3, pool=False)
        self.Head = SeparateFCs(2 * sum(bins), three, features)

    def forward(self, sils: torch.Tensor) -> tuple[torch.Tensor, None]:
        x = self.set_block1(frames(sils))
        whole = self.gl_block2(x.max(2)[0])
        x = self.set_block2(x)
        whole = self.gl_block3(whole + x.max(2)[0])
        last = self.set_block3(x).max(2)[0]
        strips = [pyramid(maps, self.bins) for maps in (last, whole + last)]
        return self.Head(torch.cat(strips, -1)), None


def conv2(before: int, features: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, features, kernel, stride, kernel // 2, bias=False)


def stage(
    block: type[nn.Module], before: int, features: int, stride: int, count: int
) -> list[nn.Module]:
    """The first takes the stride."""
    more = [block(features, features, 1) for _ in range(count - 1)]
    return [block(before, features, stride), *more]


def pair(before: int, features: int, kernel: int, *, pool: bool) -> nn.Sequential:
    """GaitSet's two convolutions."""
    layers = [Stem(before, features, kernel), nn.LeakyReLU(inplace=True)]
    layers += [Stem(features, features), nn.LeakyReLU(inplace=True)]
    return nn.Sequential(*layers, *[nn.MaxPool2d(2)] * pool)


def add_heads(model: nn.Module, before: int, features: int, num_classes: int) -> None:
    parts = sum(model.bins)
    model.FCs = SeparateFCs(parts, before, features)
    model.BNNecks = BNNecks(parts, features, num_classes) if num_classes else None


def heads(
    model: nn.Module, maps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """maps [n, c, h, w] -> embeddings, logits."""
    x = model.FCs(pyramid(maps, model.bins))
    return x, model.BNNecks(x) if model.BNNecks else None


def frames(sils: torch.Tensor) -> torch.Tensor:
    """[n, t, h, w] -> [n, 1, t, h, w] with the strides of channels-last memory: with
    one channel both layouts are contiguous, and torch would go on with the other.
    Of pictures [n, t, h, w, c] the channels are moved."""
    x = sils if sils.ndim == 5 else sils.unsqueeze(-1)
    return x.permute(0, 4, 1, 2, 3)


def pyramid(maps: torch.Tensor, bins: Sequence[int]) -> torch.Tensor:
    """Mean and maximum of every strip: [n, c, h, w] -> [n, c, p]."""
    strips = [maps.reshape(*maps.shape[:2], b, -1) for b in bins]
    return torch.cat([x.mean(-1) + x.max(-1)[0] for x in strips], -1)


def make(backbone: str, args: Mapping[str, Any], num_classes: int) -> nn.Module:
    """The twin of `backbones/<backbone>.py`, of its arguments."""
    fixed = ("mode", "unit_embeddings", "bnneck")  # the twins know one value of each
    names = {"gaitbase": GaitBase, "deepgaitv2": DeepGaitV2, "gaitset": GaitSet}
    sizes = {key: value for key, value in args.items() if key not in fixed}
    if backbone != "gaitset":
        sizes["num_classes"] = num_classes
    return channels_last(names[backbone](**sizes))


def twin_of(config: Mapping[str, Any], num_classes: int) -> nn.Module:
    """A config's network."""
    args = config["method_args"]
    return make(args["backbone"], args["backbone_args"], num_classes)


def channels_last(model: nn.Module) -> nn.Module:
    """Kernels of images and of volumes have a layout each."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)
        if isinstance(layer, nn.Conv3d):
            layer.to(memory_format=torch.channels_last_3d)
    return model


def triplet(
    embeddings: torch.Tensor, labels: torch.Tensor, k: int, margin: float
) -> torch.Tensor:
    """Batch-all, of embeddings [n, d, p] with k sequences of every label."""
    far = distances(embeddings, embeddings)
    itself = torch.eye(len(labels), dtype=torch.bool, device=far.device)
    return batch_all(far.masked_fill(itself, 0), labels, k, margin)


def distances(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Of [n, d, p] and [m, d, p]: [p, n, m]."""
    x, y = (z.float().permute(2, 0, 1) for z in (x, y))
    square = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None]
    return (square - 2 * x @ y.transpose(1, 2)).clamp_min(1e-12).sqrt()


def batch_all(
    far: torch.Tensor, labels: torch.Tensor, k: int, margin: float
) -> torch.Tensor:
    """The triplet loss of distances [p, n, n].

    Each row is put in order, its k positives first: shapes are static, and the host
    need not wait for a count, as it would after a boolean index.
    """
    same = labels[:, None] == labels
    order = same.byte().argsort(dim=1, descending=True, stable=True)
    far = far.gather(2, order.expand_as(far))
    values = F.relu(far[:, :, :k, None] - far[:, :, None, k:] + margin)
    count = (values > 0).sum((1, 2, 3))
    return (values.sum((1, 2, 3)) / (count + 1e-9)).mean()


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, scale: float, smoothing: float
) -> torch.Tensor:
    """Mean over sequences and parts of logits [n, classes, p]."""
    target = labels.long()[:, None].expand(-1, logits.shape[-1])
    return F.cross_entropy(scale * logits.float(), target, label_smoothing=smoothing)


def make_loss(
    model: nn.Module, method_args: Mapping[str, Any], k: int, precision: Precision
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """(u8 sils [n, t, h, w], labels) -> what `methods/supervised.py` minimises."""
    args = method_args

    def loss(sils: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with mixed(sils.device.type, precision):
            embeddings, logits = model(sils / 255)
        total = args["triplet_weight"] * triplet(embeddings, labels, k, args["margin"])
        if logits is None:
            return total
        scale, smoothing = args["ce_scale"], args["ce_smoothing"]
        return total + args["ce_weight"] * cross_entropy(
            logits, labels, scale, smoothing
        )

    return loss


def mixed(device: str, precision: Precision) -> contextlib.AbstractContextManager:
    """AMP in bfloat16, whose range is float32's: no loss scaling."""
    if precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(device, torch.bfloat16)


def make_optimizer(
    model: nn.Module,
    *,
    name: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    **others: Any,
) -> torch.optim.Optimizer:
    """Of a config's `optim`; the schedule's first rate."""
    options = dict(lr=lr, weight_decay=weight_decay)
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=momentum, **options)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[name](model.parameters(), **options)


def training(
    model: nn.Module,
    config: Mapping[str, Any],
    batch: Mapping[str, np.ndarray],
    precision: Precision,
    *,
    compiled: bool,
) -> Callable[[], torch.Tensor]:
    """One step of a config on a batch that is where the model is; gives the loss,
    which may still be computed."""
    as_users_do(precision)
    loss = make_loss(model, config["method_args"], config["data"]["k"], precision)
    if compiled:
        loss = compile_anew(loss)
    optimizer = make_optimizer(model, **config["optim"])
    device = device_of(model)
    args = [torch.from_numpy(batch[key]).to(device) for key in ("sils", "label")]
    return stepping(lambda: loss(*args), optimizer)


def stepping(
    loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer
) -> Callable[[], torch.Tensor]:
    """A step; gives the loss before it."""

    def step() -> torch.Tensor:
        value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value.detach()

    return step


def embedding(
    model: nn.Module,
    config: Mapping[str, Any],
    batch: Mapping[str, np.ndarray],
    precision: Precision,
    *,
    compiled: bool,
) -> Callable[[], torch.Tensor]:
    """As `training`: embeddings [n, d, p] of the batch."""
    as_users_do(precision)
    model.eval()
    device = device_of(model)
    sils = torch.from_numpy(batch["sils"]).to(device)

    def embed(sils: torch.Tensor) -> torch.Tensor:
        with mixed(device.type, precision):
            return model(sils / 255)[0]

    if compiled:
        embed = compile_anew(embed)
    return torch.inference_mode()(lambda: embed(sils))


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def compile_anew(fn: Callable) -> Callable:
    """torch keeps programs by line of code, and gives up after eight networks."""
    torch.compiler.reset()
    return torch.compile(fn)


def as_users_do(precision: Precision) -> None:
    """What scripts begin with. torch rounds float32 convolutions to TF32 unless told
    not to, and ours are exact then."""
    torch.backends.cudnn.benchmark = True
    exact = precision == "float32"
    torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cuda.matmul.allow_tf32 = not exact


def find_device(backend: str) -> torch.device | None:
    """What JAX calls `backend`; None where this torch cannot run on it."""
    if backend == "cpu":
        return torch.device("cpu")
    return torch.device("cuda") if torch.cuda.is_available() else None


def repeated(
    step: Callable[[], torch.Tensor], count: int, device: torch.device
) -> Callable[[], None]:
    """`count` steps, waited for at the end."""

    def once() -> None:
        for _ in range(count):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return once


def peak(step: Callable[[], torch.Tensor], device: torch.device) -> float | None:
    """MiB that tensors take at most during a step, other models' weights included;
    None on a CPU, where torch does not count."""
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    repeated(step, 1, device)()
    return torch.cuda.max_memory_allocated() / 2**20
