"""DiffCrossGait's training step: traced once, on several devices, in bfloat16; and
arguments that are refused before there is one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.tiny_diffcrossgait import make, make_batch, random_variables

from gaitjax.errors import GaitError
from gaitjax.runtime import mesh
from gaitjax.runtime.state import TrainState, make_step

RATE = 0.01


@functools.cache
def trainer(num_devices=1, dtype=jnp.float32):
    """(jitted step, its mesh, a first state, traces); plain descent, so that a step
    shows its gradient."""
    method = make(dtype, channels=(6,), strides=(2,))
    optimizer, traces = optax.sgd(RATE), []
    params, model_state = random_variables(method, make_batch())
    state = TrainState(
        jnp.zeros((), jnp.int32), params, model_state, optimizer.init(params)
    )
    devices = mesh.make_mesh(num_devices)
    step = jax.jit(
        make_step(method, optimizer, seed=0, ema=None, traces=traces),
        out_shardings=mesh.replicated(devices),
    )
    return step, devices, mesh.to_all(state, devices), traces


@functools.cache
def trained(num_steps, num_devices=1, dtype=jnp.float32):
    """(state, metrics of every step) after steps on one batch."""
    step, devices, state, _ = trainer(num_devices, dtype)
    batch = mesh.to_devices(make_batch(), devices)
    lines = []
    for _ in range(num_steps):
        state, metrics = step(state, batch)
        lines.append(jax.device_get(metrics))
    return jax.device_get(state), lines


def gradient(dtype):
    """Of the first step, by leaf."""
    old = jax.device_get(trainer(dtype=dtype)[2].params)
    new = trained(1, dtype=dtype)[0].params
    return jax.tree.map(lambda a, b: (a - b) / RATE, old, new)


def test_several_steps_are_traced_once():
    """Whatever is drawn: steps of the diffusion, noise, the batch."""
    step, devices, state, traces = trainer()
    losses = []
    for seed in range(4):
        batch = mesh.to_devices(make_batch(seed=seed), devices)
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert traces == [1] and step._cache_size() == 1 and int(state.step) == 4
    assert len(set(losses)) == 4 and np.isfinite(losses).all()


def test_noise_is_drawn_anew_in_every_step():
    """From the same parameters and the same batch: all that differs is the step."""
    step, devices, state, _ = trainer()
    batch = mesh.to_devices(make_batch(), devices)
    numbers = mesh.to_all(np.array([0, 0, 1], np.int32), devices)
    states = [state.replace(step=number) for number in numbers]
    found = [jax.device_get(step(one, batch)[1]) for one in states]
    for name in found[0]:
        assert found[0][name] == found[1][name], name
        if name.startswith("phase") and name.endswith(("_noise/loss", "_rec/loss")):
            assert found[0][name] != found[2][name], name
        elif name.startswith(("ce_", "triplet_")):
            assert found[0][name] == found[2][name], name


def test_one_device_and_four_take_the_same_step():
    """The same noise, pairs, statistics over the whole batch, all losses; parameters
    move alike."""
    (one, (want,)), (four, (got,)) = trained(1), trained(1, num_devices=4)
    batch = mesh.to_devices(make_batch(), trainer(4)[1])
    assert len(batch["ranges"].sharding.device_set) == 4
    assert set(got) == set(want)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    before = jax.device_get(trainer()[2].params)
    moved = jax.tree.map(lambda a, b: a - b, one.params, before)
    other = jax.tree.map(lambda a, b: a - b, four.params, before)
    amiss = 0
    for path, step in jax.tree_util.tree_leaves_with_path(moved):
        same = functools.reduce(lambda tree, key: tree[key.key], path, other)
        apart, scale = np.abs(same - step).max(), np.abs(step).max()
        assert apart < 0.05 * scale + 1e-6, jax.tree_util.keystr(path)
        amiss += apart > 1e-3 * scale + 1e-6
    # An activation that rounding takes across a ReLU's corner moves the arrays before
    # it by up to a few percent (seen: 1.1, in six arrays, with AVX-512).
    assert amiss < 0.1 * len(jax.tree.leaves(moved))
    for a, b in zip(
        jax.tree.leaves(one.model_state), jax.tree.leaves(four.model_state), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_half_precision_trains():
    state, lines = trained(12, dtype=jnp.bfloat16)
    assert all(np.isfinite(x) for line in lines for x in line.values())
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {np.dtype("float32")}
    losses = [line["loss"] for line in lines]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_gradients_in_half_precision_are_those_of_float32():
    """Up to its rounding: of the encoders, the heads and the U-Net alike."""
    full, half = gradient(jnp.float32), gradient(jnp.bfloat16)
    for part in full:
        a, b = (
            np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree[part])])
            for tree in (full, half)
        )
        assert not np.array_equal(a, b), part
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert cosine > 0.95, part
        assert np.linalg.norm(b) == pytest.approx(np.linalg.norm(a), rel=0.1), part


@pytest.mark.parametrize(
    "args, message",
    [
        (
            dict(num_steps=2),
            "method_args.num_steps=2: three phases need at least 3 steps",
        ),
        (
            dict(small_noise=0.5, large_noise=0.95),
            "large_noise=0.95 and small_noise=0.5: expected 0 < large_noise < small",
        ),
        (dict(small_noise=0.99999), "no step of small noise"),
        (
            dict(num_steps=50, strict_phases=True),
            "50 steps leave 0.603 of the signal, more than 0.5: step 50 alone is large",
        ),
        (dict(phases=(0, 1)), "phases: expected some of 1, 2, 3, got (0, 1)"),
        (dict(phases=(1, 1)), "phases: expected some of 1, 2, 3, got (1, 1)"),
        (
            dict(denoiser_heads=3),
            "denoiser_heads=3 does not divide denoiser_features=8",
        ),
        (dict(denoiser_features=0), "denoiser_features: expected at least 1"),
        (dict(shapes={"sils": (8, 6)}), "inputs=ranges, but the data has sils; expect"),
        (dict(inputs=("sils",)), "expected two modalities, got sils; give two"),
        (dict(binary=("points",)), "expected images among sils, ranges, got points"),
    ],
)
def test_wrong_arguments(args, message):
    with pytest.raises(GaitError) as refusal:
        make(**args)
    said = str(refusal.value)
    assert message in said and "\n" not in said


@pytest.mark.parametrize("args", [dict(num_steps=3, schedule="cosine"), {}])
def test_fewest_steps_and_any_width(args):
    """Maps of 4 x 11 and of 3 x 1; three steps are enough, one for each phase."""
    args = args and args | dict(small_noise=0.6, large_noise=0.1)
    for width, stride in ((22, 2), (1, 2)):
        shapes = {"sils": (8, width), "ranges": (8, width, 3)}
        method = make(shapes=shapes, strides=(stride, 1), **args)
        batch = make_batch(shapes=shapes)
        start = jax.eval_shape(method.init, jax.random.key(0), batch)
        loss, (_, metrics) = jax.eval_shape(
            method.loss, *start, batch, jax.random.key(0)
        )
        assert loss.shape == () and "phase3_rec/loss" in metrics


def test_inputs_of_two_sizes_are_named():
    """Paired latents are compared number by number."""
    shapes = {"sils": (8, 4), "ranges": (8, 6, 3)}
    method, batch = make(shapes=shapes), make_batch(shapes=shapes)
    with pytest.raises(GaitError) as refusal:
        jax.eval_shape(method.init, jax.random.key(0), batch)
    said = str(refusal.value)
    assert (
        "feature maps differ in shape, sils of [4, 2, 6] and ranges of [4, 3," in said
    )
    assert "\n" not in said and "data.cut" in said
