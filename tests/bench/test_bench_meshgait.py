"""Mesh-Gait beside its rivals: what is counted, what is predicted, what is timed."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import gait3d_meshgait
from gaitjax.bench import meshgait, network
from gaitjax.ops import smpl

PEOPLE, VERTICES = 3, 70
JOINTS = 3  # of the body that is fitted; with 24 compiling takes a minute


@functools.cache
def recipe():
    """A few channels; shapes of what is timed, so 64 x 44 pixels and all labels."""
    config = gait3d_meshgait.get_config("tiny").to_dict()
    config["data"].update(p=2, k=2, frames=2)
    config["method_args"].update(
        channels=(2, 2, 4, 4), features=4, mode="2d", volume=(4, 4, 4), side=4
    )
    return network.Recipe("tiny", config, PEOPLE, meshgait.shapes(VERTICES))


@functools.cache
def pair():
    return meshgait.networks(recipe(), "float32")


def test_what_is_counted():
    rows = meshgait.counted("tiny", pair())
    found = {row.what.removeprefix("tiny: "): row.median for row in rows}
    parts = {"backbone", "maps", "volume", "decoder", "fcs", "necks", "heads"}
    both = {key: found.get(f"trained parameters, concat, {key}", 0) for key in parts}
    assert sum(both.values()) == pytest.approx(found["trained parameters, concat"])
    assert found["trained parameters, 2d, backbone"] == both["backbone"] > 0
    assert "trained parameters, 2d, maps" not in found
    # Weights of 88 points, a rank-8 correction of both sides, and its 88 x 8 + 8.
    decoder = 88 * VERTICES + 8 * (88 + VERTICES) + 88 * 8 + 8
    assert both["decoder"] == pytest.approx(decoder / 1e6)
    assert found["inference, concat, parameters"] < found["trained parameters, concat"]
    for name in ("inference, {}, 2 frames", "training step, {}, 4 x 2 frames"):
        assert 0 < found[name.format("2d")] < found[name.format("concat")]


def toy(wrapped):
    """A loss of which one array is kept: the exponential [5, 4]."""

    def loss(params, model_state, batch, key):
        product = wrapped(lambda w: jnp.exp(batch["x"] @ w))
        return product(params["w"]).sum(), (model_state, {})

    return types.SimpleNamespace(
        init=lambda key, batch: ({"w": jnp.zeros((3, 4))}, {}), loss=loss
    )


def test_bytes_that_are_kept():
    """Batch and parameters do not count; recomputed, nothing is kept."""
    batch = {"x": np.zeros((5, 3), np.float32)}
    assert meshgait.saved_bytes(toy(lambda fn: fn), batch, "float32") == 5 * 4 * 4
    assert meshgait.saved_bytes(toy(jax.checkpoint), batch, "float32") == 0


def test_fit_finds_a_pose():
    body = meshgait.made_up_body(VERTICES, JOINTS)
    at = np.arange(0, VERTICES, 2)
    rng = np.random.default_rng(1)
    pose = np.float32(0.3 * rng.normal(size=(2, JOINTS, 3)))
    joints, vertices = smpl.skin(body, pose, np.zeros((2, 10), np.float32))
    wanted = vertices[:, at] - joints[:, :1]
    found = jax.jit(lambda x: meshgait.fit(body, at, x))(wanted)
    assert [x.shape for x in found] == [(2, JOINTS, 3), (2, 10), (2, VERTICES, 3)]

    def apart(pose, betas):
        joints, vertices = smpl.skin(body, pose, betas)
        return np.linalg.norm(vertices[:, at] - joints[:, :1] - wanted, axis=-1).mean()

    zero = np.zeros_like(pose), np.zeros((2, 10), np.float32)
    assert apart(*found[:2]) < 0.25 * apart(*zero)


def test_ratios_are_of_neighbours():
    took = {"concat": [2.0, 1.0, 4.0], "2d": [1.0, 1.0, 1.0], "fit": [8.0, 6.0, 8.0]}
    rows = {row.what: row for row in meshgait.rows("tiny", 60, took)}
    rate = rows["tiny: inference, concat"]
    assert (rate.median, rate.least, rate.most, rate.unit) == (30, 15, 60, "frames/s")
    fit = rows["tiny: time of fit / concat"]
    assert (fit.median, fit.least, fit.most) == (4, 2, 6)
    assert "tiny: time of concat / concat" not in rows


def test_all_are_timed_in_turns_and_give_the_same_embeddings(monkeypatch):
    found = {}

    def interleaved(fns, times):
        found.update({name: fn() for name, fn in fns.items()})
        assert times == 3
        return {name: [1.0] * times for name in fns}

    monkeypatch.setattr(meshgait, "interleaved", interleaved)
    body = meshgait.made_up_body(VERTICES, JOINTS)
    monkeypatch.setattr(meshgait, "made_up_body", lambda: body)
    fill = functools.partial(jax.tree.map, lambda x: jnp.full(x.shape, 0.1, x.dtype))
    nets = {
        name: types.SimpleNamespace(method=one.method, init=lambda x=one: fill(x.like))
        for name, one in pair().items()
    }
    clips = network.frames(recipe(), 1, 1, 3)
    rows = list(meshgait.timed("tiny", nets, clips, "float32", 3))
    assert [row.what.rpartition(", ")[2] for row in rows[:4]] == list(found)
    assert rows[0].what == "tiny, 1 x 3 frames: inference, concat"
    alone = found["concat"]["sils"]
    for name in ("decoder", "fit"):
        np.testing.assert_allclose(found[name][0]["sils"], alone, rtol=1e-5)
    places = found["decoder"][1]
    assert places["vertices"].shape == (1, 3, VERTICES, 3)
    assert found["fit"][1][2].shape == (1, 3, VERTICES, 3)
    assert found["2d"]["sils"].shape == alone.shape
