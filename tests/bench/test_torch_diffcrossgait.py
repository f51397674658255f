"""The twin's step is ours: on shared weights, frames, noise and steps."""

import functools

import golden
import jax
import numpy as np
import pytest
from flax import traverse_util

from configs import sustech1k
from gaitjax.bench import network
from gaitjax.interop.opengait import table_of, to_torch
from gaitjax.losses.diffusion import alpha_bars, phase_intervals, sample_steps
from gaitjax.runtime.precision import with_products

torch = pytest.importorskip("torch")
twin = pytest.importorskip("gaitjax.bench.torch_diffcrossgait")

PARTS = 4


@functools.cache
def recipe():
    """Maps of 8 x 5, which the U-Net halves to 4 x 3 and cuts again."""
    config = sustech1k.get_config("tiny").to_dict()
    config["data"].update(p=2, k=2, frames=2)
    config["method_args"].update(
        channels=(8, 16),
        strides=(2, 1),
        bins=(PARTS,),
        features=6,
        downsample=1,
        denoiser_features=32,
        denoiser_heads=2,
    )
    shapes = {"sils": (16, 10), "ranges": (16, 10, 3)}
    return network.Recipe("tiny", config, 3, shapes)


def as_theirs(variables, model):
    """Our arrays under their names."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    table, state = table_of("gaitbase", {}), {}
    for key in params["encoders"]:
        tree = {"params": {"backbone": params["encoders"][key]}}
        tree["batch_stats"] = {"backbone": stats.get("encoders", {}).get(key, {})}
        for name, x in to_torch(tree, table, PARTS).items():
            state[name.replace("Backbone", f"encoders.{key}")] = x
    tree = {"params": params["head"], "batch_stats": stats.get("head", {})}
    state |= to_torch(tree, table, PARTS)
    rest = {key: params[key] for key in params if key not in ("encoders", "head")}
    for path, x in traverse_util.flatten_dict(rest, sep=".").items():
        state |= dict([renamed(path, np.asarray(x), model.state_dict())])
    return {key: torch.from_numpy(np.array(x)) for key, x in state.items()}


def renamed(path, x, wanted):
    for ours, theirs in (("unets_0", "unet"), ("dis_", "dis."), (".dense", "")):
        path = path.replace(ours, theirs)
    path = path.replace("attention.", "").replace("scale", "weight")
    if path.endswith("depthwise"):
        return f"{path}.weight", np.moveaxis(x, -1, 0)[:, None]
    if path.endswith("kernel"):
        path = path.replace("kernel", "weight")
        features, before = wanted[path].shape[:2]
        x = x.reshape(before, features).T
    return path, x.reshape(wanted[path].shape)


def test_step_equals_ours():
    config, args = recipe().config, recipe().config["method_args"]
    batch = network.frames(recipe(), 2, 2)
    method = network.make_method(recipe(), args, "float32")
    like = jax.eval_shape(method.init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)  # our own first weights have zeros among them
    random = jax.tree.map(lambda x: 0.3 * rng.normal(size=x.shape), like)
    params, stats = jax.tree.map(np.float32, random)
    stats = jax.tree.map(np.abs, stats)
    model = twin.twin_of(config, 3)
    state = as_theirs({"params": params, **stats}, model)
    lacking, strange = model.load_state_dict(state, strict=False)
    assert not strange
    assert all(key.endswith("num_batches_tracked") for key in lacking)

    key = jax.random.key(1)
    for_steps, for_noise = jax.random.split(key)
    left = alpha_bars(args["num_steps"], args["schedule"])
    intervals, _ = phase_intervals(left, args["small_noise"], args["large_noise"])
    steps = sample_steps(for_steps, intervals, 4)
    noise = jax.random.normal(for_noise, (4, 3, 1, 8, 5, 16))
    drawn = [np.array(steps), np.moveaxis(np.asarray(noise), -1, 3).copy()]

    gradient = jax.value_and_grad(method.loss, has_aux=True)
    gradient = jax.jit(with_products(gradient, "float32"))
    (value, (stats, _)), grads = gradient(params, stats, batch, key)
    loss = twin.make_loss(model, args, 2, "float32")
    there = {key: torch.from_numpy(batch[key]) for key in args["inputs"]}
    labels, *drawn = map(torch.from_numpy, (batch["label"], *drawn))
    theirs = loss(there, labels, *drawn)
    theirs.backward()
    assert golden.relative_error(theirs.detach(), value) < 1e-5
    wanted = as_theirs({"params": grads}, model)
    largest = max(float(x.abs().max()) for x in wanted.values())
    for name, x in model.named_parameters():
        error = (x.grad - wanted.pop(name)).abs().max()
        assert error < 1e-4 * max(float(x.grad.abs().max()), 1e-3 * largest), name
    assert not wanted
    # Phase 1 leaves no trace in them.
    after = as_theirs({"params": params, **stats}, model)
    for name, x in model.named_buffers():
        if name in after:
            assert golden.relative_error(x, after[name]) < 1e-5, name


def test_a_step_goes_on():
    config, batch = recipe().config, network.frames(recipe(), 2, 2)
    torch.manual_seed(0)
    model = twin.twin_of(config, 3)
    before = model.unet.noise.weight.clone()
    step = twin.training(model, config, batch, "float32", compiled=False)
    assert all(torch.isfinite(step()) for _ in range(2))
    assert model.training and not torch.equal(model.unet.noise.weight, before)
