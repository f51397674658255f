"""GaitSet (Chao et al., AAAI 2019): a gait as an unordered set of silhouettes.

Convolutions on every frame, and a second branch on the maxima over time that joins
after each block (multilayer global pipeline); horizontal pyramids of both, one FC per
strip. No normalisation and no classifier, unless a BNNeck is asked for. Equal to the
goldens of the reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.arguments import at_least
from gaitjax.errors import GaitError
from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs
from gaitjax.layers.plain import Plain
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max


class GaitSet(nn.Module):
    """channels: of the blocks, three as published; the first two halve the map.

    num_classes: where not 0, a BNNeck classifies (Ren et al., arXiv 2303.10772, tell
    views apart with it); embeddings stay those before it.
    """

    num_classes: int = 0
    channels: Sequence[int] = (32, 64, 128)
    bins: Sequence[int] = (16, 8, 4, 2, 1)
    features: int = 256
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] -> embeddings [n, p, d], logits [n, p, k];
        p = 2 sum(bins)."""

        def block(number: int, name: str) -> Plain:
            words = (f"BC-{self.channels[number - 1]}",) * 2
            words += ("M",) * (number < 3)
            first = 5 if number == 1 else 3
            return Plain(words, first, self.dtype, name=f"{name}{number}")

        x = block(1, "block")(x)  # [n, t, h / 2, w / 2, c]
        whole = temporal_max(x, mask)  # [n, h / 2, w / 2, c]
        for number in range(2, len(self.channels) + 1):
            x = block(number, "block")(x)
            frames = temporal_max(x, mask)
            whole = block(number, "global")(whole) + frames
        strips = [
            horizontal_pyramid(maps.astype(jnp.float32), self.bins)
            for maps in (frames, whole)
        ]  # [n, p / 2, c] each
        x = jnp.concatenate(strips, axis=1)  # [n, p, c]
        embeddings = SeparateFCs(self.features, name="fcs")(x)
        if not self.num_classes:
            return {"embeddings": embeddings}
        necks = SeparateBNNecks(self.num_classes, name="necks")
        _, logits = necks(embeddings, train=train)
        return {"embeddings": embeddings, "logits": logits}


def make(
    num_classes: int,
    dtype: jnp.dtype,
    *,
    channels: tuple[int, ...] = (32, 64, 128),
    bins: tuple[int, ...] = (16, 8, 4, 2, 1),
    features: int = 256,
    bnneck: bool = False,
) -> GaitSet:
    """GaitSet from a config's `backbone_args`; OU-MVLP has channels 64, 128, 256.

    bnneck: classifies, which the published network does not.
    """
    if not bnneck:
        no_classifier("gaitset", num_classes)
    check_channels(channels, max(len(channels), 3))
    at_least(
        1,
        method_args__backbone_args__bins=min(bins, default=0),
        method_args__backbone_args__features=features,
    )
    return GaitSet(num_classes, tuple(channels), tuple(bins), features, dtype)


def check_channels(channels: Sequence[int], count: int) -> None:
    """Raises GaitError for channels that are not `count` positive numbers."""
    if len(channels) != count:
        raise GaitError(
            f"method_args.backbone_args.channels: expected {count} numbers, got "
            f"{len(channels)}; give one per stage"
        )
    at_least(1, method_args__backbone_args__channels=min(channels))


def no_classifier(name: str, num_classes: int) -> None:
    """Raises GaitError where a network without classifier is asked for logits."""
    if num_classes:
        raise GaitError(
            f"{name} has no classifier, so there is no cross-entropy; set "
            "method_args.ce_weight=0.0"
        )
