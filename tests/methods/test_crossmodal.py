"""Two modalities in one space: the losses, the shared head, the embeddings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.methods import api, crossmodal
from gaitjax.methods.streams import encoders_of

SHAPES = {"sils": (32, 22), "ranges": (32, 32, 3), "heatmaps": (32, 22, 2)}
LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
ARGS = dict(channels=(4, 6), strides=(2, 1), bins=(16,), features=5)


def make(dtype=jnp.float32, **kwargs):
    info = api.Info(num_classes=3, shapes=SHAPES)
    return api.make("crossmodal", info, {**ARGS, **kwargs}, dtype)


def make_batch(keys=("sils", "ranges"), n=6, t=3, seed=0):
    rng = np.random.default_rng(seed)
    batch = {
        key: rng.integers(0, 256, (n, t, *SHAPES[key]), dtype=np.uint8) for key in keys
    }
    return batch | {"label": LABELS[:n], "mask": np.ones((n, t), np.float32)}


@functools.cache
def started(**kwargs):
    """(method, params, model_state) of a fresh network; loss and embed jitted."""
    method = make(**kwargs)
    init, loss, embed = map(jax.jit, (method.init, method.loss, method.embed))
    method = dataclasses.replace(method, loss=loss, embed=embed)
    return method, *init(jax.random.key(0), make_batch())


def cross_triplet_twin(anchors, samples, labels, margin):
    """One direction in loops, float64: anchors of one modality, samples of another."""
    parts = []
    for p in range(anchors.shape[1]):
        values = []
        for i, anchor in enumerate(anchors[:, p].astype(np.float64)):
            d = [np.linalg.norm(anchor - x) for x in samples[:, p].astype(np.float64)]
            for j, positive in enumerate(labels):
                for k, negative in enumerate(labels):
                    if positive == labels[i] != negative:
                        values.append(max(d[j] - d[k] + margin, 0))
        active = [value for value in values if value > 0]
        parts.append(sum(active) / max(len(active), 1))
    return np.mean(parts)


def cross_entropy_twin(logits, labels, scale, smoothing):
    """Smoothed targets against log-softmax in float64; mean over rows and parts."""
    x = scale * logits.astype(np.float64)
    log = x - np.log(np.exp(x).sum(-1, keepdims=True))
    target = np.eye(x.shape[-1])[labels][:, None]
    target = (1 - smoothing) * target + smoothing / x.shape[-1]
    return -(target * log).sum(-1).mean()


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_loss_equals_its_twin():
    """The method's loss against loops over what its own network put out."""
    options = dict(margin=0.3, triplet_weight=0.7, ce_weight=0.4, ce_smoothing=0.2)
    method, params, model_state = started(**options)
    batch = make_batch()
    total, (_, metrics) = method.loss(params, model_state, batch, jax.random.key(1))
    encoders = encoders_of("resnet9", (4, 6), (2, 1), None, (16,), 0, jnp.float32)
    model = crossmodal.CrossModal(3, encoders, (16,), 5)
    frames = {
        "sils": batch["sils"][..., None] / np.float32(255),
        "ranges": batch["ranges"] / np.float32(255),
    }
    apply = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    variables = {"params": params, **model_state}
    out, _ = jax.jit(apply)(variables, frames, batch["mask"])
    embeddings = {key: np.asarray(x) for key, x in out["embeddings"].items()}
    assert {key: x.shape for key, x in embeddings.items()} == {
        "sils": (6, 16, 5),
        "ranges": (6, 16, 5),
    }
    want = {}
    for one, other in (("sils", "ranges"), ("ranges", "sils")):
        want[f"triplet_{one}/loss"] = cross_triplet_twin(
            embeddings[one], embeddings[other], LABELS, 0.3
        )
        logits = np.asarray(out["logits"][one])
        want[f"ce_{one}/loss"] = cross_entropy_twin(logits, LABELS, 16, 0.2)
    for name, value in want.items():
        assert float(metrics[name]) == pytest.approx(value, rel=1e-4), name
    weights = {name: 0.7 if name.startswith("triplet") else 0.4 for name in want}
    expected = sum(weights[name] * value for name, value in want.items())
    assert float(total) == pytest.approx(expected, rel=1e-4)


def test_directions_are_those_of_the_anchors():
    """Row 0 of x is far from all of y: a term of its own one way, not the other."""
    labels = np.array([0, 1], np.int32)
    x = np.array([[[0.0]], [[1.0]]], np.float32)
    y = np.array([[[0.5]], [[5.0]]], np.float32)
    # Distances of x0: y0 .5, y1 5; of x1: y0 .5, y1 4.
    loss, metrics = crossmodal.cross_triplet({"x": x, "y": y}, labels, margin=0.0)
    assert float(metrics["triplet_x/loss"]) == pytest.approx(3.5)  # x1: 4 - .5
    # Of y0: x0 .5, x1 .5, which is no error; of y1: x1 4, x0 5, neither.
    assert float(metrics["triplet_y/loss"]) == 0
    assert float(loss) == pytest.approx(3.5)
    assert float(metrics["triplet/mean_dist"]) == pytest.approx(2.5)


def test_swapped_inputs_swap_the_directions():
    x, y = draw(6, 4, 3), draw(6, 4, 3, seed=1)
    loss, one = crossmodal.cross_triplet({"a": x, "b": y}, LABELS)
    same, other = crossmodal.cross_triplet({"a": y, "b": x}, LABELS)
    assert float(loss) == pytest.approx(float(same), rel=1e-6)
    for name in ("loss", "hard", "nonzero"):
        for this, that in (("a", "b"), ("b", "a")):
            value = float(one[f"triplet_{this}/{name}"])
            assert value == pytest.approx(float(other[f"triplet_{that}/{name}"]))
    assert float(one["triplet_a/loss"]) != pytest.approx(float(one["triplet_b/loss"]))


def test_no_triplet_is_left_where_identities_are_apart():
    """Whatever the modalities do within an identity, up to the margin."""
    centres = 10.0 * np.eye(3, dtype=np.float32)[LABELS][:, None]  # [n, 1, d]
    x, y = centres + 0.1 * draw(6, 4, 3), centres + 0.1 * draw(6, 4, 3, seed=1)
    loss, metrics = crossmodal.cross_triplet({"x": x, "y": y}, LABELS)
    assert float(loss) == 0 == float(metrics["triplet_x/nonzero"])
    # Separated within each modality, yet at different places: what must be learnt.
    loss, _ = crossmodal.cross_triplet({"x": x, "y": np.roll(y, 1, -1)}, LABELS)
    assert float(loss) > 1


def test_gradients_reach_both_encoders_and_what_they_share():
    method, params, model_state = started()

    def loss(params, batch):
        return method.loss(params, model_state, batch, jax.random.key(1))

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, (state, _)), grads = step(params, make_batch())
    assert set(params) == {"encoders", "head"}
    assert set(params["encoders"]) == {"sils", "ranges"}
    assert set(params["head"]) == {"fcs", "necks"}
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), name
        assert np.abs(grad).max() > 0, name
    # Statistics moved in every batch norm, the shared one included.
    for old, new in zip(
        jax.tree.leaves(model_state), jax.tree.leaves(state), strict=True
    ):
        assert not np.array_equal(old, new)


def test_one_modality_alone_has_no_influence_on_the_others_embedding():
    method, params, model_state = started()
    batch = make_batch()
    views = method.embed(params, model_state, batch)
    other = {**batch, "ranges": make_batch(seed=5)["ranges"]}
    changed = method.embed(params, model_state, other)
    np.testing.assert_array_equal(views["sils"], changed["sils"])
    assert not np.allclose(views["ranges"], changed["ranges"])


def test_shared_norm_sees_both_modalities_at_once():
    """In training the BNNecks' running mean moves to the mean over both."""
    _, params, model_state = started()
    model = crossmodal.SharedHead(3, (16,), 5)
    maps = {"a": draw(6, 16, 11, 6), "b": 3 + draw(6, 16, 16, 6, seed=1)}
    old = {"params": params["head"], "batch_stats": model_state["batch_stats"]["head"]}
    out, new = model.apply(old, maps, train=True, mutable=["batch_stats"])
    both = np.concatenate([out["embeddings"]["a"], out["embeddings"]["b"]])
    mean = new["batch_stats"]["necks"]["bn"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * both.mean(0), atol=1e-5)


def test_embedding_does_not_depend_on_padding():
    method, params, model_state = started()
    batch = make_batch(n=2)
    views = method.embed(params, model_state, batch)
    padded = {}
    for key in ("sils", "ranges"):  # two more frames and a row, full of noise
        x = make_batch(n=3, t=5, seed=3)[key]
        x[:2, :3] = batch[key]
        padded[key] = x
    mask = np.zeros((3, 5), np.float32)
    mask[:2, :3] = mask[2, :1] = 1
    again = method.embed(params, model_state, {**padded, "mask": mask})
    assert set(views) == set(again) == {"sils", "ranges"}
    for key, x in views.items():
        np.testing.assert_allclose(again[key][:2], x, atol=1e-5)


def test_half_precision_keeps_what_is_compared_in_float32():
    method, params, model_state = started(dtype=jnp.bfloat16)
    full, *_ = started()
    batch = make_batch()
    views = method.embed(params, model_state, batch)
    for key, x in full.embed(params, model_state, batch).items():
        assert views[key].dtype == jnp.float32
        assert not np.array_equal(views[key], x)
        np.testing.assert_allclose(views[key], x, atol=0.05 * np.abs(x).max())


def test_weights_switch_terms_off():
    for off, left in (("ce_weight", "triplet"), ("triplet_weight", "ce_")):
        method, batch, key = make(**{off: 0.0}), make_batch(), jax.random.key(0)
        params, model_state = jax.eval_shape(method.init, key, batch)
        assert ("necks" in params["head"]) == (left == "ce_")
        _, (_, metrics) = jax.eval_shape(method.loss, params, model_state, batch, key)
        assert metrics
        assert all(name.startswith(left) for name in metrics)


@pytest.mark.parametrize(
    "args, message",
    [
        ({"inputs": ("sils",)}, "expected two modalities, got sils; give two"),
        ({"inputs": ("sils", "sils")}, "expected two modalities, got sils, sils"),
        ({"inputs": ("sils", "points")}, "inputs=points, but the data has sils"),
        ({"downsample": 4}, "downsample=4 does not divide sils of 32 x 22"),
        ({"channels": (4,)}, "method_args has 1 channels and 2 strides"),
        ({"features": 0}, "method_args.features: expected at least 1"),
        ({"chanels": (4,)}, "did you mean method_args.channels?"),
    ],
)
def test_wrong_arguments(args, message):
    with pytest.raises(GaitError) as refusal:
        make(**args)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
