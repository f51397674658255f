"""Grad-CAM against its formula, and on a network whose answer is known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.methods import api
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max
from gaitjax.report import saliency


def _batch(n=2, t=3, h=16, w=8, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.ones((n, t), np.float32)
    mask[0, -1] = 0
    return {"sils": np.uint8(rng.integers(0, 256, (n, t, h, w))), "mask": mask}


def _gaitbase():
    info = api.Info(num_classes=3, shapes={"sils": (16, 8)})
    arguments = {"channels": (4, 6), "strides": (2, 1), "bins": (4,), "features": 5}
    return api.make("supervised", info, {"backbone_args": arguments})


def test_gaitbase_equals_the_formula():
    """The head is written out, so that its gradient needs no interception."""
    method, batch = _gaitbase(), _batch()
    params, model_state = jax.jit(method.init)(jax.random.key(0), batch)
    towards = np.random.default_rng(1).normal(size=(2, 4, 5)).astype(np.float32)
    got = saliency.grad_cam(method.embed, params, model_state, batch, towards, "sils")

    tapped = jax.jit(
        lambda *arrays: saliency._tapped(method.embed, *arrays, "backbone", {})
    )
    maps = tapped(params, model_state, batch)[1]
    (x,) = maps.values()  # [n, t, h, w, c]

    def score(x):
        parts = horizontal_pyramid(temporal_max(x, batch["mask"]), (4,))
        embedding = jnp.einsum("npc,pcd->npd", parts, params["fcs"]["kernel"])
        return saliency.similarity(embedding, towards)

    gradient = np.asarray(jax.jit(jax.grad(score))(x))
    weights = gradient.mean((1, 3))  # [n, h, c]
    want = np.maximum(np.einsum("nhc,nthwc->nthw", weights, x), 0)
    want *= batch["mask"][:, :, None, None]
    want /= want.max((1, 2, 3), keepdims=True)
    assert got.shape == (2, 3, 8, 4) and got.max() == 1
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert (got[0, -1] == 0).all()  # padding


def test_embeddings_do_not_change():
    method, batch = _gaitbase(), _batch()
    params, model_state = jax.jit(method.init)(jax.random.key(0), batch)
    want = method.embed(params, model_state, batch)["sils"]
    got, _ = saliency._tapped(method.embed, params, model_state, batch, "backbone", {})
    np.testing.assert_array_equal(got["sils"], want)


class _Corner(nn.Module):
    """Only the top left quarter of the feature map counts."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (1, 1), use_bias=False, name="backbone")(x)
        return jnp.abs(x[:, :, :4, :4]).mean((1, 2, 3))[:, None]  # [n, 1, c]


def test_a_region_that_alone_matters_lights_up():
    model, batch = _Corner(), _batch(h=8, w=8)
    batch["mask"][:] = 1

    def embed(params, model_state, batch):
        x = batch["sils"][..., None].astype(jnp.float32) / 255
        return {"sils": model.apply({"params": params}, x)}

    x = np.zeros((2, 3, 8, 8, 1), np.float32)
    params = model.init(jax.random.key(0), x)["params"]
    # With one part the cosine of x to itself is 1 and flat: look for one channel.
    towards = np.zeros((2, 1, 4), np.float32)
    towards[:, :, 0] = 1
    warm = saliency.grad_cam(embed, params, {}, batch, towards, "sils")
    top, bottom = warm[:, :, :4], warm[:, :, 4:]
    assert top.max() == 1 and (bottom == 0).all()


def test_a_network_without_such_a_module_has_no_heat():
    method, batch = _gaitbase(), _batch()
    params, model_state = jax.jit(method.init)(jax.random.key(0), batch)
    arguments = (method.embed, params, model_state, batch, np.ones((2, 4, 5)), "sils")
    assert saliency.grad_cam(*arguments, module="trunk") is None
    assert saliency.grad_cam(*arguments, module="fcs") is None  # no map [n,t,h,w,c]


def test_towards_own_leaves_oneself_out():
    x = np.arange(8, dtype=np.float32).reshape(4, 1, 2)
    got = saliency.towards_own(x, np.array(["a", "b", "a", "a"]))
    assert got[:, 0].tolist() == [[5, 6], [2, 3], [3, 4], [2, 3]]


def test_chosen_sequences_are_of_unlike_conditions():
    condition = np.array(["nm-01"] * 50 + ["nm-02"] * 50 + ["bg-01"] * 3 + ["cl-01"])
    places = saliency.choose(condition, 5)
    kinds = [name[:2] for name in condition[places]]
    assert sorted(kinds) == ["bg", "bg", "cl", "nm", "nm"]
    assert places.tolist() == saliency.choose(condition, 5).tolist()


def test_pictures_follow_a_network_with_fewer_steps():
    frames = np.zeros((1, 12, 8, 8), np.uint8)
    warm = np.zeros((1, 3, 2, 2), np.float32)
    warm[0, 2] = 1  # the last third of the time
    mask = np.ones((1, 12), np.float32)
    ((name, image),) = saliency.pictures_of(frames, mask, warm, ["somebody"])
    assert name == "somebody"
    columns = image[18:34].reshape(16, saliency.NUM_SHOWN, 20, 3).max((0, 2, 3))
    shown = np.linspace(0, 11, saliency.NUM_SHOWN).round()
    assert ((columns > 100) == (shown >= 8)).all()
