"""Recognition with identity labels: any backbone, two losses.

The recipe of OpenGait's baselines: batch-all triplet on the embeddings and
cross-entropy on the BNNeck's logits, summed with weights.
"""

from __future__ import annotations

import importlib
import pkgutil
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax import backbones
from gaitjax.arguments import check, unknown
from gaitjax.data import schema
from gaitjax.errors import GaitError
from gaitjax.losses.classification import part_cross_entropy
from gaitjax.losses.triplet import triplet
from gaitjax.methods.api import Batch, Info, Method, Tree
from gaitjax.ops.frames import network_input


def make(
    info: Info,
    *,
    dtype: jnp.dtype = jnp.float32,
    backbone: str = "gaitbase",
    backbone_args: Mapping | None = None,
    inputs: tuple[str, ...] = ("sils",),
    downsample: int = 1,
    margin: float = 0.2,
    triplet_weight: float = 1.0,
    ce_weight: float = 1.0,
    ce_scale: float = 16.0,
    ce_smoothing: float = 0.1,
    gives: Literal["embeddings", "classes"] = "embeddings",
) -> Method:
    """inputs: the modalities; a backbone gets the array of one, a dict of several.

    downsample: of images, see `ops.frames`. Weights of 0 switch off. gives: what comes
    out; of a network for other classes than people (`data.label`) their probabilities,
    the mean over parts [n, 1, classes], for a method that stands on it.
    """
    if gives == "classes" and not ce_weight:
        raise GaitError(
            "method_args.gives=classes wants a classifier, and ce_weight=0 leaves it "
            "out; set a ce_weight"
        )
    num_classes = info.num_classes if ce_weight else 0
    model = make_backbone(backbone, backbone_args or {}, num_classes, dtype)
    check_count(backbone, inputs)
    for key in inputs:
        check_input(info, key, downsample, "inputs")

    def frames(batch: Batch) -> jax.Array | dict[str, jax.Array]:
        arrays = {key: as_input(key, batch[key], downsample) for key in inputs}
        return arrays if len(inputs) > 1 else arrays[inputs[0]]

    def run(variables: Tree, batch: Batch, **kwargs):
        return model.apply(variables, frames(batch), batch["mask"], **kwargs)

    def init(rng: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        variables = dict(model.init(rng, frames(batch), batch["mask"], train=False))
        return variables.pop("params"), variables

    def loss(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, dict]]:
        variables = {"params": params, **model_state}
        out, model_state = run(
            variables,
            batch,
            train=True,
            mutable=tuple(model_state),
            rngs={"dropout": rng},
        )
        total, metrics = recognition(out, batch["label"])
        return total, (model_state, metrics)

    def embed(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        out = run({"params": params, **model_state}, batch, train=False)
        found = out["embeddings"]
        if gives == "classes":
            found = jax.nn.softmax(ce_scale * out["logits"]).mean(1, keepdims=True)
        return {"+".join(inputs): found}

    recognition = recognition_loss(
        margin, triplet_weight, ce_weight, ce_scale, ce_smoothing
    )
    keys = tuple(inputs)
    return Method(train_keys=keys, embed_keys=keys, init=init, loss=loss, embed=embed)


def recognition_loss(
    margin: float,
    triplet_weight: float,
    ce_weight: float,
    ce_scale: float,
    ce_smoothing: float,
) -> Callable[[Mapping[str, jax.Array], jax.Array], tuple[jax.Array, dict]]:
    """Of a network's outputs and labels: batch-all triplet on the embeddings, and
    cross-entropy on the logits. Weights of 0 switch off."""

    def loss(
        out: Mapping[str, jax.Array], labels: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        total, metrics = jnp.zeros(()), {}
        if triplet_weight:
            term, values = triplet(out["embeddings"], labels, margin=margin)
            total += triplet_weight * term
            metrics |= {f"triplet/{key}": value for key, value in values.items()}
        if ce_weight:
            term, values = part_cross_entropy(
                out["logits"], labels, scale=ce_scale, smoothing=ce_smoothing
            )
            total += ce_weight * term
            metrics |= {f"ce/{key}": value for key, value in values.items()}
        return total, metrics

    return loss


def as_input(key: str, x: jax.Array, downsample: int) -> jax.Array:
    """Images as `ops.frames` has them, anything else as float32 numbers."""
    if schema.modality(key).image:
        return network_input(x, downsample)
    return x.astype(jnp.float32)


def make_backbone(
    name: str, args: Mapping, num_classes: int, dtype: jnp.dtype
) -> nn.Module:
    """The network of `backbones/<name>.py`; wrong names and fields are explained."""
    build = find_backbone(name).make
    check(build, args, "method_args.backbone_args")
    return build(num_classes, dtype, **args)


def check_count(backbone: str, inputs: Sequence[str]) -> None:
    """Raises GaitError for modalities other than the backbone's `INPUTS`.

    A backbone without them takes one modality, whichever.
    """
    wanted = getattr(find_backbone(backbone), "INPUTS", None)
    if wanted and set(inputs) != set(wanted):
        raise GaitError(
            f"method_args.inputs: backbone {backbone} takes {', '.join(wanted)}, got "
            f"{', '.join(inputs) or 'none'}; set it to {wanted}"
        )
    if not wanted and len(inputs) != 1:
        raise GaitError(
            f"method_args.inputs: backbone {backbone} takes one modality, got "
            f"{', '.join(inputs) or 'none'}; name one, as in ('sils',)"
        )


def find_backbone(name: str) -> types.ModuleType:
    """The module `backbones/<name>.py`."""
    here = {module.name for module in pkgutil.iter_modules(backbones.__path__)}
    if name not in here:
        raise GaitError(unknown(name, here, "backbone"))
    return importlib.import_module(f"{backbones.__name__}.{name}")


def check_input(info: Info, key: str, downsample: int, argument: str) -> None:
    """Raises GaitError for a modality that the data lacks or that does not divide."""
    if key not in info.shapes:
        raise GaitError(
            f"method_args.{argument}={key}, but the data has "
            f"{', '.join(info.shapes)}; choose one of these"
        )
    shape = info.shapes[key]
    if not schema.modality(key).image:
        return
    if downsample < 1 or shape[0] % downsample or shape[1] % downsample:
        raise GaitError(
            f"method_args.downsample={downsample} does not divide {key} of "
            f"{shape[0]} x {shape[1]}; choose a divisor of both"
        )
