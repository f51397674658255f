"""What the 3D branch of Mesh-Gait costs, and what is saved by leaving the mesh out.

Inference of clips of 30 frames, in turns in one run:

    concat     the method: both branches, embeddings; neither decoder nor label
    2d         DeepGaitV2 alone (`fusion=2d`)
    decoder    the method, and of every frame joints, markers and vertices
    fit        that, and a body fitted to every frame's markers

The paper calls its inference 72 times as fast as that of rivals and does not say (in
what we have of it) which they are. `fit` is one of their kind: a body model fitted to
each frame before anybody is recognised. Defined as 50 steps of Adam (rate 0.05) from
the rest pose, on pose and betas of each frame, down the mean squared distance between
64 of the body's vertices and the predicted markers, both seen from the pelvis; each
step moves the whole body of 6,890 vertices (`ops.smpl.skin`). Number and rate are
chosen. The body is made up, in SMPL's sizes: the licensed file is not needed for time.
Rivals that find bodies in RGB video have a larger network before the fit, too; that is
in no figure here.

Parameters, FLOPs and memory are counted of the published recipe on any machine. Its
labels are arrays here; the SMPL file is not there to make them of. Time is measured of
that recipe on an accelerator, of the narrow `:walkers` one on a CPU or with `quick`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import gait3d_meshgait
from gaitjax.bench.measure import Row, figure, interleaved, ratios, row
from gaitjax.bench.network import (
    Network,
    Recipe,
    build,
    flops,
    frames,
    make_method,
    size,
)
from gaitjax.data import topology
from gaitjax.methods import api
from gaitjax.methods.meshgait import JOINTS, LABELS, MARKERS
from gaitjax.ops import smpl
from gaitjax.runtime import mesh
from gaitjax.runtime.precision import Precision, with_products

VERTICES = 6890
STEPS, RATE = 50, 0.05
CLIP = 30  # frames that are timed; the published recipe trains on as many


def run(quick: bool) -> Iterator[Row]:
    """Rows of the published recipe and of the one that is timed here."""
    mesh.check_device(None)
    on_cpu = jax.default_backend() == "cpu"
    recipe = published()
    yield from counted(recipe.name, networks(recipe, "float32"))
    yield from kept(recipe)
    if quick or on_cpu:
        recipe = walkers()
        yield from counted(recipe.name, networks(recipe, "float32"))
    times = 3 if quick else 10
    for precision in ("float32",) if on_cpu else ("float32", "bf16"):
        pair = networks(recipe, precision)
        sequences = 1 if on_cpu else 8
        clips = frames(recipe, 1, sequences, CLIP)
        label = f"{recipe.name}, {precision}"
        yield from timed(label, pair, clips, precision, times)


def published() -> Recipe:
    """Of Gait3D, with labels of SMPL's sizes as arrays."""
    config = gait3d_meshgait.get_config().to_dict()
    config["method_args"]["smpl_model"] = None
    return Recipe("published", config, 3000, shapes(VERTICES))


def walkers() -> Recipe:
    """Of its twin, whose bodies have fewer vertices; 300 people."""
    config = gait3d_meshgait.get_config("walkers").to_dict()
    number = topology.num_vertices(topology.of_walkers())
    return Recipe("walkers", config, 300, shapes(number))


def shapes(vertices: int) -> dict[str, tuple[int, ...]]:
    """Of one frame of what training needs, silhouettes cut as they arrive."""
    points = {"joints": JOINTS, "markers": MARKERS, "vertices": vertices}
    return {"sils": (64, 44)} | {key: (number, 3) for key, number in points.items()}


def networks(recipe: Recipe, precision: Precision) -> dict[str, Network]:
    """Both branches and the 2D branch alone, traced; no array is on a device."""
    args = recipe.config["method_args"]
    return {
        "concat": build(recipe, {**args, "fusion": "concat"}, precision),
        "2d": build(recipe, {**args, "fusion": "2d"}, precision),
    }


# Counted.


def counted(label: str, pair: Mapping[str, Network]) -> Iterator[Row]:
    """Nothing runs or is compiled."""
    for name, one in pair.items():
        for part, tree in one.like.params.items():
            text = f"{label}: trained parameters, {name}, {part}"
            yield figure(text, "M", size(tree) / 1e6)
        total = size(one.like.params) / 1e6
        yield figure(f"{label}: trained parameters, {name}", "M", total)
        exported = size(one.used) / 1e6
        yield figure(f"{label}: inference, {name}, parameters", "M", exported)
        length = one.clip["mask"].size
        text = f"{label}: inference, {name}, {length} frames"
        yield figure(text, "GFLOP", flops(one.embed))
        n, t = one.batch["mask"].shape
        text = f"{label}: training step, {name}, {n} x {t} frames"
        yield figure(text, "GFLOP", flops(one.step))


def kept(recipe: Recipe) -> Iterator[Row]:
    """The memory of a training step, predicted from shapes alone.

    What the forward pass keeps for the backward pass, as JAX writes it; and what lies
    there all the time: parameters, gradient and two moments, float32. What a layer
    needs while it runs comes on top; what the compiler makes again goes off.
    """
    data = recipe.config["data"]
    batch = frames(recipe, data["p"], data["k"])
    text = f"{data['p']} x {data['k']} x {data['frames']} frames"
    for precision in ("bf16", "float32"):
        for remat in (True, False):
            args = {**recipe.config["method_args"], "remat": remat}
            method = make_method(recipe, args, precision)
            number = saved_bytes(method, batch, precision)
            state = f"remat {'on' if remat else 'off'}"
            what = f"{recipe.name}: training step of {text}, {precision}, {state}"
            yield figure(f"{what}, kept (predicted)", "GiB", number / 2**30)
    params, _ = jax.eval_shape(method.init, jax.random.key(0), frames(recipe, 1, 1))
    state = 4 * 4 * size(params) / 2**30
    yield figure(f"{recipe.name}: parameters, gradient, moments", "GiB", state)


def saved_bytes(method: api.Method, batch: Mapping, precision: Precision) -> int:
    """Of what the backward pass of the loss wants of the forward pass; parameters and
    the batch, which are there anyhow, left out, and what is wanted twice once."""
    key = jax.random.key(0)
    like = jax.eval_shape(method.init, key, batch)
    batch = {**batch, "step": np.int32(0)}

    def backward(params: api.Tree, model_state: api.Tree, batch: api.Batch) -> Any:
        def loss(params: api.Tree) -> Any:
            return method.loss(params, model_state, batch, key)

        return jax.vjp(loss, params, has_aux=True)[1]

    program = jax.make_jaxpr(with_products(backward, precision))(*like, batch).jaxpr
    there = set(program.invars)
    wanted = {
        out
        for out in program.outvars
        if not isinstance(out, jax.extend.core.Literal) and out not in there
    }
    return sum(math.prod(x.aval.shape) * x.aval.dtype.itemsize for x in wanted)


# Timed.


def timed(
    label: str,
    pair: Mapping[str, Network],
    clips: Mapping[str, np.ndarray],
    precision: Precision,
    times: int,
) -> Iterator[Row]:
    """Compiles and runs all, in turns; without the way from host to device."""
    clips = jax.device_put({key: clips[key] for key in ("sils", "mask")})
    models = {}
    for name, one in pair.items():
        state = one.init()
        models[name] = state.params, state.model_state
    calls = {}
    for name, fn in programs(pair, made_up_body()).items():
        model = models["2d" if name == "2d" else "concat"]
        program = jax.jit(with_products(fn, precision)).lower(*model, clips).compile()
        calls[name] = functools.partial(waited, program, *model, clips)
    took = interleaved(calls, times)
    n, t = clips["mask"].shape
    yield from rows(f"{label}, {n} x {t} frames", n * t, took)


def rows(label: str, number: int, took: Mapping[str, list[float]]) -> Iterator[Row]:
    """took: seconds for `number` frames, by name; ratios are turn by turn."""
    for name, values in took.items():
        rates = [number / value for value in values]
        yield row(f"{label}: inference, {name}", "frames/s", rates)
    for name in took:
        if name != "concat":
            more = ratios(took, name, "concat")
            yield row(f"{label}: time of {name} / concat", "times", more)


def waited(program: Callable, *arguments: Any) -> object:
    """What it gives, once it is there."""
    return jax.block_until_ready(program(*arguments))


def programs(pair: Mapping[str, Network], body: smpl.Body) -> dict[str, Callable]:
    """(params, model_state, batch) -> what each of the rivals gives."""
    method = pair["concat"].method
    at = np.linspace(0, len(body.template) - 1, MARKERS).astype(int)

    def decoder(params: api.Tree, model_state: api.Tree, batch: api.Batch) -> Any:
        # One program: the compiler runs once what both have in common.
        found = method.predict(params, model_state, batch)
        places = {key: found[key] for key in LABELS}
        return method.embed(params, model_state, batch), places

    def fitted(params: api.Tree, model_state: api.Tree, batch: api.Batch) -> Any:
        embeddings, places = decoder(params, model_state, batch)
        wanted = places["markers"] - places["joints"][..., :1, :]
        return embeddings, fit(body, at, wanted)

    return {
        "concat": method.embed,
        "2d": pair["2d"].method.embed,
        "decoder": decoder,
        "fit": fitted,
    }


def fit(
    body: smpl.Body, at: np.ndarray, wanted: jax.Array, steps: int = STEPS
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pose [..., j, 3], betas [..., b] and vertices [..., v, 3] of bodies whose
    vertices `at` are near wanted [..., k, 3], in metres from the pelvis."""
    lead = wanted.shape[:-2]
    start = (
        jnp.zeros((*lead, len(body.parents), 3)),
        jnp.zeros((*lead, body.shape_dirs.shape[-1])),
    )
    tx = optax.adam(RATE)

    def far(x: tuple[jax.Array, jax.Array]) -> jax.Array:
        joints, vertices = smpl.skin(body, *x)
        apart = vertices[..., at, :] - joints[..., :1, :] - wanted
        return (apart**2).sum(-1).mean(-1).sum()  # bodies do not know of each other

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        x, state = carry
        updates, state = tx.update(jax.grad(far)(x), state)
        return (optax.apply_updates(x, updates), state), None

    (x, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return *x, smpl.skin(body, *x)[1]


def made_up_body(vertices: int = VERTICES, joints: int = JOINTS) -> smpl.Body:
    """Random numbers, in SMPL's sizes unless told otherwise."""
    rng = np.random.default_rng(0)
    bends = 9 * (joints - 1)
    arrays = {
        "template": rng.normal(size=(vertices, 3)) / 3,
        "shape_dirs": rng.normal(size=(vertices, 3, smpl.BETAS)) / 100,
        "pose_dirs": rng.normal(size=(vertices, 3, bends)) / 1000,
        "joint_regressor": rng.dirichlet(np.ones(vertices), joints),
        "weights": rng.dirichlet(np.full(joints, 0.1), vertices),
    }
    parents = (-1, 0, 0, 0, *range(1, JOINTS - 3))[:joints]
    return smpl.Body(
        **{key: np.float32(x) for key, x in arrays.items()}, parents=parents
    )
