"""Mesh-Gait (Wang et al., arXiv 2510.10406): silhouettes, and the body that they show.

A 2D branch (DeepGaitV2) and a 3D branch (HRNet, a heat map over a box per joint and
marker, 3D convolutions) look at the same silhouettes; what they give is put side by
side and recognised as usual. In training a decoder makes joints, markers and vertices
of the heat maps, and these are compared with labels. At inference there is no decoder
and no label.

    loss = triplet + cross-entropy + 100 |joints| + 100 |markers| + 10 |vertices|

Only a summary of the paper was at hand: what it does not say is chosen here, see
docs/meshgait.md. Labels are seen from the pelvis, in the camera's directions, and
divided by `BOX`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.arguments import at_least, between
from gaitjax.backbones.deepgaitv2 import STRIDES, Trunk, check_stages, heads
from gaitjax.data import smpl_file
from gaitjax.data.pipeline import Data
from gaitjax.data.topology import num_vertices
from gaitjax.errors import GaitError
from gaitjax.layers.temporal import per_frame
from gaitjax.layers.volume import (
    BodyDecoder,
    HeatMaps,
    VolumeFeatures,
    middle,
    resized,
    squared,
)
from gaitjax.losses.mesh import place_l1
from gaitjax.methods.api import Batch, Info, Method, Tree
from gaitjax.methods.supervised import as_input, check_input, recognition_loss
from gaitjax.ops import heatmap, smpl

BOX = 2.0  # metres, as in VirtualMarker: a heat map's side
JOINTS, MARKERS = 24, 64
# The `method_args` that weight each kind of label.
WEIGHTS = {
    "joints": "joint_weight",
    "markers": "marker_weight",
    "vertices": "mesh_weight",
}
LABELS = tuple(WEIGHTS)
NO_LABELS = dict.fromkeys(WEIGHTS.values(), 0.0) | dict(smpl_model=None, warmup=0)
Fusion = Literal["concat", "add", "2d", "3d"]


def make(
    info: Info,
    *,
    dtype: jnp.dtype = jnp.float32,
    fusion: Fusion = "concat",
    fused_after: int = 4,
    mode: Literal["2d", "3d", "p3d"] = "p3d",
    layers: tuple[int, ...] = (1, 1, 1, 1),
    channels: tuple[int, ...] = (64, 128, 256, 512),
    bins: tuple[int, ...] = (16,),
    features: int = 256,
    downsample: int = 1,
    width: int = 48,
    stem: int = 64,
    modules: tuple[int, ...] = (1, 4, 3),
    blocks: int = 4,
    remat: bool = False,
    side: int = 16,
    volume: tuple[int, ...] = (64, 128, 256, 512),
    alpha: float = 15.0,
    feed: Literal["logits", "probabilities"] = "logits",
    detach_features: bool = False,
    detach_mesh: bool = False,
    rank: int = 8,
    smpl_model: str | None = None,
    supervised_frames: int = 0,
    labelled: float = 1.0,
    warmup: int = 0,
    joint_weight: float = 100.0,
    marker_weight: float = 100.0,
    mesh_weight: float = 10.0,
    margin: float = 0.2,
    triplet_weight: float = 1.0,
    ce_weight: float = 1.0,
    ce_scale: float = 16.0,
    ce_smoothing: float = 0.1,
) -> Method:
    """fusion: of the two branches (addition is the paper's rival), or one of them.
    fused_after: how many of the 2D branch's stages come before; the rest, which see
    both, after.

    mode, layers, channels, bins, features: of DeepGaitV2. width, stem, modules,
    blocks: of HRNet. remat: of both, recompute in the backward pass. side: voxels along
    a heat map. volume: channels of the 3D convolutions. alpha: sharpness of the
    softmax. feed: what these convolutions get. detach_features: they do not teach the
    heat maps. detach_mesh: the mesh does not.
    rank: see `MeshDecoder`. smpl_model: the licensed file, with which labels are made
    of `smpl` in the step: a path, or a name in the folder `smpl` of the prepared sets;
    None takes labels as the data has them. supervised_frames: drawn from each clip at
    random for the labels, 0 is all of them. labelled: the share of sequences whose
    labels are used. warmup: steps of the labels alone. Weights of 0 switch off, and
    their labels are not read.
    """
    weights = dict(
        joint_weight=joint_weight, marker_weight=marker_weight, mesh_weight=mesh_weight
    )
    labels = learnt({"fusion": fusion, **weights})
    at_least(1, method_args__side=side, method_args__width=width)
    at_least(0, method_args__rank=rank, method_args__warmup=warmup)
    at_least(0, method_args__supervised_frames=supervised_frames)
    between(0, 1, method_args__labelled=labelled)
    check_stages("method_args", bins, features, 4, layers=layers, channels=channels)
    check_input(info, "sils", downsample, "downsample")
    source = label_source(info, labels, smpl_model)
    if warmup and not labels:
        raise GaitError(
            f"method_args.warmup={warmup} is of labels alone, and this run learns "
            "none; set warmup=0"
        )
    check_fusion(fusion, fused_after, channels, volume)

    def stages(some: slice) -> Callable[..., nn.Module]:
        """A part of the 2D branch, with the stem where it begins."""
        sizes = (tuple(of[some]) for of in (layers, channels, STRIDES))
        first = not some.start
        return functools.partial(Trunk, mode, *sizes, first, dtype=dtype, remat=remat)

    num_classes = info.num_classes if ce_weight else 0
    model = MeshGait(
        num_classes=num_classes,
        fusion=fusion,
        trunk=stages(slice(fused_after)),
        later=stages(slice(fused_after, None)) if fused_after < len(STRIDES) else None,
        maps=functools.partial(
            HeatMaps, JOINTS + MARKERS, side, width, stem, modules, blocks, remat, dtype
        ),
        volume=functools.partial(VolumeFeatures, tuple(volume), dtype),
        decoder=functools.partial(
            BodyDecoder,
            JOINTS,
            source.num_vertices if "vertices" in labels else 0,
            rank,
            info.topology.weights if info.topology else None,
            alpha,
            detach_mesh,
        ),
        bins=tuple(bins),
        features=features,
        scale=alpha if feed == "probabilities" else None,
        detach=detach_features,
    )
    recognition = recognition_loss(
        margin, triplet_weight, ce_weight, ce_scale, ce_smoothing
    )

    def frames(batch: Batch) -> jax.Array:
        return as_input("sils", batch["sils"], downsample)

    def init(rng: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        x, mask = frames(batch), batch["mask"]
        first = jnp.zeros(1, jnp.int32) if labels else None
        variables = dict(model.init(rng, x, mask, first, train=False))
        return variables.pop("params"), variables

    def loss(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, dict]]:
        chosen = None
        if labels:
            chosen = draw_frames(rng, batch["mask"].shape[1], supervised_frames)
        out, model_state = model.apply(
            {"params": params, **model_state},
            frames(batch),
            batch["mask"],
            chosen,
            train=True,
            mutable=tuple(model_state),
        )
        total, metrics = recognition(out, batch["label"])
        if warmup:
            total = jnp.where(batch["step"] < warmup, 0.0, total)
        if labels:
            counts = batch["mask"][:, chosen]
            counts *= has_labels(batch["index"], labelled)[:, None]
            root = out["joints"][..., :1, :]
            places = source.places(batch, chosen)
        for key in labels:
            term, values = place_l1(out[key], places[key], root, counts)
            total += weights[WEIGHTS[key]] * term
            values["error_mm"] = 1000 * BOX * values.pop("error")
            metrics |= {f"{key}/{name}": value for name, value in values.items()}
        return total, (model_state, metrics)

    def embed(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        variables = {"params": params, **model_state}
        out = model.apply(variables, frames(batch), batch["mask"], train=False)
        return {"sils": out["embeddings"]}

    def predict(params: Tree, model_state: Tree, batch: Batch) -> dict[str, jax.Array]:
        every = jnp.arange(batch["mask"].shape[1])
        variables = {"params": params, **model_state}
        out = model.apply(variables, frames(batch), batch["mask"], every, train=False)
        maps = heatmap.probabilities(out["maps"], alpha)
        places = {key: BOX * out[key] for key in LABELS if key in out}
        return {"heatmaps": maps, **places}

    return Method(
        train_keys=("sils", *source.keys),
        embed_keys=("sils",),
        init=init,
        loss=loss,
        embed=embed,
        predict=predict if labels else None,
        inference_args=NO_LABELS,
    )


class MeshGait(nn.Module):
    """Embeddings and logits as of any network; of some frames the body too.

    trunk, maps, volume, decoder: make the parts; later what of the 2D branch comes
    after fusion, if anything. scale: where not None, the 3D
    convolutions get probabilities, sharpened by it, of mean one; else logits.
    """

    num_classes: int
    fusion: Fusion
    trunk: Callable[..., nn.Module]
    later: Callable[..., nn.Module] | None
    maps: Callable[..., nn.Module]
    volume: Callable[..., nn.Module]
    decoder: Callable[..., nn.Module]
    bins: Sequence[int]
    features: int
    scale: float | None = None
    detach: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array,
        chosen: jax.Array | None = None,
        *,
        train: bool,
    ) -> dict[str, jax.Array]:
        """x [n, t, h, w, c], mask [n, t] -> embeddings [n, p, d], logits [n, p, k].

        chosen i[s]: frames of which the decoder gives joints, markers and vertices
        [n, s, number, 3] (see `BodyDecoder`), from `maps` [n, s, d, h, w, k].
        """
        found, out = {}, {}
        if self.fusion != "3d":
            found["2d"] = self.trunk(name="backbone")(x, mask, train=train)
        if self.fusion != "2d":
            flat = mask.reshape(-1, 1, 1, 1)
            look = functools.partial(self.maps(name="maps"), mask=flat, train=train)
            maps = per_frame(look, squared(x))  # [n, t, d, h, w, k]
            found["3d"] = self.lift(maps, flat, found.get("2d"), x, train)
            if chosen is not None:
                out["maps"] = maps[:, chosen]
                out |= self.decoder(name="decoder")(out["maps"])
        if self.fusion == "add":
            fused = found["2d"] + found["3d"]
        else:
            fused = jnp.concatenate(list(found.values()), -1)
        if self.later is not None:
            fused = self.later(name="later")(fused, mask, train=train)
        return out | heads(
            fused,
            mask,
            train,
            num_classes=self.num_classes,
            bins=self.bins,
            features=self.features,
        )

    def lift(
        self,
        maps: jax.Array,
        mask: jax.Array,
        beside: jax.Array | None,
        x: jax.Array,
        train: bool,
    ) -> jax.Array:
        """Heat maps [n, t, d, h, w, k] -> features [n, t, h', w', c'], of the size of
        what they stand beside; alone of the shape of the pictures x."""
        if self.detach:
            maps = jax.lax.stop_gradient(maps)
        if self.scale is not None:
            voxels = np.prod(maps.shape[2:5])
            maps = voxels * heatmap.probabilities(maps, self.scale)
        volume = functools.partial(self.volume(name="volume"), mask=mask, train=train)
        y = per_frame(volume, maps)  # [n, t, h, w, c]
        if beside is not None:
            height, columns = beside.shape[2:4]
        else:
            height = y.shape[2]
            columns = -(-height * x.shape[3] // x.shape[2])
        y = per_frame(functools.partial(resized, height=height), y)
        return middle(y, columns)


def draw_frames(rng: jax.Array, frames: int, number: int) -> jax.Array:
    """Places of `number` of the frames, the same in every clip; 0 is all: i[number].

    Labels of all frames would want the decoder's memory for all of them.
    """
    if not number or number >= frames:
        return jnp.arange(frames)
    return jax.random.choice(rng, frames, (number,), replace=False)


def has_labels(index: jax.Array, share: float) -> jax.Array:
    """1 for `share` of the records, always the same ones: f32[n] of i[n]."""
    key = jax.random.key(0)
    draw = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))
    return (draw(index) < share).astype(jnp.float32)


def learnt(args: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels that `method_args` ask for."""
    two = args["fusion"] == "2d"
    return tuple(key for key, name in WEIGHTS.items() if args[name] and not two)


@dataclasses.dataclass(frozen=True)
class Labels:
    """Where labels come from. keys: modalities to load. places(batch, chosen) -> of
    the chosen frames f32[n, s, number, 3], seen from the pelvis, in boxes."""

    keys: tuple[str, ...]
    num_vertices: int
    places: Callable[[Batch, jax.Array], dict[str, jax.Array]]


def label_source(info: Info, labels: Sequence[str], smpl_model: str | None) -> Labels:
    """Of `labels`, those of the data, or made of its SMPL parameters; markers that are
    not there are vertices. Raises GaitError for what is neither there nor can be made.
    """
    there, body = dict(info.shapes), None
    markers = info.topology.markers if info.topology else None
    if smpl_model and labels:
        body = smpl.Body(**smpl_file.load(smpl_file.named(smpl_model)))
        there |= {"joints": (JOINTS, 3), "vertices": body.template.shape}
        there.pop("markers", None)
    picked = "markers" in labels and "markers" not in there and markers is not None
    # In order: a set's would be another program in each process, compiled anew.
    wanted = dict.fromkeys(
        "vertices" if picked and key == "markers" else key for key in labels
    )
    check_labels(info, labels, wanted, smpl_model, there)

    def places(batch: Batch, chosen: jax.Array) -> dict[str, jax.Array]:
        if body is None:
            found = {key: batch[key][:, chosen] for key in wanted}
        else:
            made = smpl.labels(body, batch["smpl"][:, chosen])
            found = dict(zip(("joints", "vertices"), made, strict=True))
        if picked:
            found["markers"] = found["vertices"][:, :, markers]
        root = found["joints"][..., :1, :]
        return {key: (found[key] - root) / BOX for key in labels}

    keys = ("smpl",) if body else tuple(key for key in LABELS if key in wanted)
    return Labels(keys, there.get("vertices", (0,))[0], places)


def labels_of(args: Mapping[str, Any], data: Data) -> Labels:
    """Those of a run, by its `method_args`, as in training."""
    shapes = data.shapes(data.train.modalities)
    info = Info(len(data.names), shapes, topology=data.topology)
    return label_source(info, learnt(args), args["smpl_model"])


def check_labels(
    info: Info,
    labels: Sequence[str],
    wanted: Collection[str],
    smpl_model: str | None,
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises GaitError for labels that cannot be had, or of which there are too few.

    wanted: what they are made of. shapes: of what is in the data or is made.
    """
    missing = set(wanted) - set(shapes)
    if labels and "joints" not in labels:
        raise GaitError(
            "method_args.joint_weight=0, but markers and vertices are seen from the "
            "first joint; give it a weight, or set marker_weight and mesh_weight to 0"
        )
    if smpl_model and labels and "smpl" not in info.shapes:
        raise GaitError(
            f"method_args.smpl_model={smpl_model}, but the data has no smpl; prepare "
            "the set with it (docs/meshgait.md), or leave the model out"
        )
    if "markers" in missing and smpl_model:
        raise GaitError(
            "the set does not say which vertices are markers; put a topology.npz "
            "beside its records (tools/make_markers.py), or set marker_weight=0"
        )
    if missing:
        raise GaitError(
            f"meshgait learns from {', '.join(labels)}, and the data has no "
            f"{', '.join(sorted(missing))}; prepare the set with them "
            "(docs/meshgait.md), or set joint_weight, marker_weight and mesh_weight "
            "to 0; a trained run looks at such a set after --mode export, where its "
            "labels are"
        )
    for key, number in (("joints", JOINTS), ("markers", MARKERS)):
        if key in labels and shapes.get(key, (number,))[0] != number:
            raise GaitError(
                f"meshgait wants {number} {key}, got {shapes[key][0]} in the data; "
                "prepare the set with that number (docs/meshgait.md)"
            )
    if "vertices" in wanted and info.topology:
        number, table = shapes["vertices"][0], info.topology
        largest = -1 if table.markers is None else int(table.markers.max())
        of = max(num_vertices(table) or number, largest + 1)
        if of != number:
            raise GaitError(
                f"the set's topology.npz is of {of} vertices, its bodies have "
                f"{number}; make it of these (tools/make_markers.py)"
            )


def check_fusion(
    fusion: str, fused_after: int, channels: Sequence[int], volume: Sequence[int]
) -> None:
    """Raises GaitError where the branches do not meet, or cannot be added."""
    between(1, len(STRIDES), method_args__fused_after=fused_after)
    if fused_after < len(STRIDES) and fusion in ("2d", "3d"):
        raise GaitError(
            f"method_args.fused_after={fused_after} is of two branches, and "
            f"fusion={fusion} has one; leave fused_after={len(STRIDES)}"
        )
    ours = channels[fused_after - 1]
    if fusion == "add" and ours != volume[-1]:
        raise GaitError(
            f"method_args.fusion=add wants as many channels from both branches, got "
            f"{ours} and {volume[-1]}; change channels or volume"
        )
