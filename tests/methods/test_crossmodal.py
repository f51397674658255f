"""Two modalities in one space: the losses, the shared head, the embeddings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.tiny_diffcrossgait import random_variables

from gaitjax.backbones.deepgaitv2 import Trunk
from gaitjax.backbones.gaitbase import ResNet9
from gaitjax.errors import GaitError
from gaitjax.methods import api, crossmodal
from gaitjax.methods.streams import encoders_of
from gaitjax.ops.pooling import temporal_max

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


# ---- encoders of other kinds, on maps of 4 x 3


SMALL = {"sils": (8, 6), "ranges": (8, 6, 3), "points": (12, 3)}
SMALL_ARGS = {**ARGS, "bins": (4,)}
MASK = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1]])


def make_small(**kwargs):
    """(method, params, model_state), nothing of which is 0."""
    method = api.make("crossmodal", api.Info(3, SMALL), {**SMALL_ARGS, **kwargs})
    return method, *random_variables(method, small_batch())


def small_batch(seed=0):
    """Range views and clouds that are empty in many places."""
    rng = np.random.default_rng(seed)
    sils, ranges = (
        rng.integers(0, 256, (6, 3, *SMALL[key]), dtype=np.uint8)
        for key in ("sils", "ranges")
    )
    points = rng.normal(size=(6, 3, *SMALL["points"])).astype(np.float32)
    points[rng.random(points.shape[:3]) < 0.4] = np.nan
    ranges *= rng.random(ranges.shape) < 0.2
    arrays = {"sils": sils, "ranges": ranges, "points": points}
    return arrays | {"label": LABELS, "mask": MASK.astype(np.float32)}


def numbers(batch):
    """What networks get of images: in [0, 1], channels last."""
    sils, ranges = batch["sils"][..., None], batch["ranges"]
    return {"sils": sils / np.float32(255), "ranges": ranges / np.float32(255)}


@pytest.mark.parametrize(
    "trunk, options",
    [
        (ResNet9, dict(encoder="resnet9", shared_stages=1, shared_head=False)),
        (Trunk, dict(encoder="deepgaitv2", blocks=(1, 2))),
        (Trunk, dict(encoder="deepgaitv2", shared_stages=1)),
    ],
)
def test_embedding_equals_that_of_each_modality_alone(trunk, options):
    """Own stages, then shared ones, maximum over frames, own or shared head: pieces
    called one modality at a time, with those very parameters."""
    method, params, model_state = make_small(**options)
    shared = options.get("shared_stages", 0)
    blocks = options.get("blocks", (1, 1))
    own = 2 - shared
    assert ("shared" in params["encoders"]) == bool(shared)
    heads = (
        {"head"} if options.get("shared_head", True) else {"head_sils", "head_ranges"}
    )
    assert set(params) - {"encoders"} == heads
    head = crossmodal.SharedHead(3, (4,), 5)

    def stages(part, stem=True):
        sizes = dict(channels=(4, 6), strides=(2, 1), blocks=blocks)
        return trunk(**{name: size[part] for name, size in sizes.items()}, stem=stem)

    def at(*path):
        found = {"params": params, **model_state}
        for key in path:
            found = {name: tree[key] for name, tree in found.items()}
        return found

    @functools.partial(jax.jit, static_argnums=2)
    def twin(x, mask, key):
        x = stages(slice(own)).apply(at("encoders", key), x, mask, train=False)
        if shared:
            last = stages(slice(own, 2), stem=False)
            x = last.apply(at("encoders", "shared"), x, mask, train=False)
        maps = {key: temporal_max(x, mask)}
        place = "head" if "head" in heads else f"head_{key}"
        return head.apply(at(place), maps, train=False)["embeddings"][key]

    batch = small_batch()
    views = jax.jit(method.embed)(params, model_state, batch)
    assert set(views) == {"sils", "ranges"}
    for key, x in numbers(batch).items():
        want = np.asarray(twin(x, batch["mask"], key))
        assert want.shape == (6, 4, 5) and np.ptp(want, axis=0).min() > 1e-3
        np.testing.assert_allclose(views[key], want, rtol=1e-4, atol=1e-5)


def test_shared_stages_are_trained_by_both():
    """Their statistics move to those of both modalities, and the loss of either
    alone reaches them."""
    method, params, model_state = make_small(shared_stages=1, shared_head=False)

    def losses(params):
        _, (state, metrics) = method.loss(
            params, model_state, small_batch(), jax.random.key(0)
        )
        return jnp.stack(
            [metrics[f"ce_{key}/loss"] for key in ("sils", "ranges")]
        ), state

    jacobian, state = jax.jit(jax.jacrev(losses, has_aux=True))(params)
    for leaf in jax.tree.leaves(jacobian["encoders"]["shared"]):
        assert (np.abs(leaf).reshape(2, -1).max(1) > 1e-6).all()
    for i, key in enumerate(("sils", "ranges")):
        for leaf in jax.tree.leaves(jacobian[f"head_{key}"]["necks"]):
            assert np.abs(leaf[i]).max() > 0 == np.abs(leaf[1 - i]).max()
    old, new = (x["batch_stats"]["encoders"]["shared"] for x in (model_state, state))
    for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
        assert not np.array_equal(a, b)


def test_outline_by_hand():
    """255 wherever a channel is lit, be it by 1 of 255."""
    views = np.zeros((1, 1, 2, 3, 3), np.uint8)
    views[0, 0, 0, 1] = 0, 1, 0
    views[0, 0, 1, 2] = 200, 255, 3
    found = crossmodal.outline(views)
    assert found.dtype == jnp.uint8
    assert found[0, 0].tolist() == [[0, 255, 0], [0, 0, 255]]
    assert crossmodal.outline(views[..., 1]).tolist() == found.tolist()


@pytest.mark.parametrize("downsample", [1, 2])
def test_binary_ranges_are_outlines(downsample):
    """As if somebody had made silhouettes of the range views; the rest stays."""
    options = dict(downsample=downsample, strides=(1, 1))
    method, params, model_state = make_small(binary=("ranges",), **options)
    (stem,) = jax.tree.leaves(params["encoders"]["ranges"]["stem"])
    assert stem.shape == (3, 3, 1, 4)
    batch = small_batch()
    lit = (batch["ranges"] > 0).any(-1)
    assert 0.2 < lit.mean() < 0.8
    views = jax.jit(method.embed)(params, model_state, batch)
    # By hand: the same network without the option, its pictures called silhouettes.
    plain = crossmodal.CrossModal(
        3, encoders_of("resnet9", (4, 6), (1, 1), None, (4,), 0, jnp.float32), (4,), 5
    )
    frames = numbers(batch) | {"ranges": lit[..., None].astype(np.float32)}
    s = downsample
    frames = {
        key: x.reshape(6, 3, 8 // s, s, 6 // s, s, 1).mean((3, 5))
        for key, x in frames.items()
    }
    apply = functools.partial(plain.apply, train=False)
    variables = {"params": params, **model_state}
    want = jax.jit(apply)(variables, frames, batch["mask"])["embeddings"]
    for key in ("sils", "ranges"):
        np.testing.assert_allclose(views[key], want[key], rtol=1e-4, atol=1e-5)
    # Colours are not looked at, only whether there are any.
    other = {**batch, "ranges": np.where(batch["ranges"] > 0, 9, 0).astype(np.uint8)}
    again = jax.jit(method.embed)(params, model_state, other)
    np.testing.assert_array_equal(views["ranges"], again["ranges"])


def test_points_and_silhouettes_in_one_space():
    """A PointNet makes strips of clouds; places without a point are no number and
    change nothing."""
    method, params, model_state = make_small(inputs=("sils", "points"))
    assert method.train_keys == method.embed_keys == ("sils", "points")
    assert set(params["encoders"]["points"]) == {"dense1", "bn1", "dense2", "bn2"}

    def loss(params, batch):
        return method.loss(params, model_state, batch, jax.random.key(0))

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (total, (_, metrics)), grads = gradient(params, small_batch())
    assert np.isfinite(total) and set(metrics) >= {
        "triplet_points/loss",
        "ce_sils/loss",
    }
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all() and np.abs(grad).max() > 0, name
    embed, batch = jax.jit(method.embed), small_batch()
    views = embed(params, model_state, batch)
    assert {key: x.shape for key, x in views.items()} == {
        "sils": (6, 4, 5),
        "points": (6, 4, 5),
    }
    turned = {**batch, "points": batch["points"][:, :, ::-1]}  # a cloud has no order
    again = embed(params, model_state, turned)
    np.testing.assert_allclose(again["points"], views["points"], atol=1e-5)
    np.testing.assert_array_equal(again["sils"], views["sils"])
    moved = embed(params, model_state, {**batch, "points": 2 * batch["points"]})
    assert np.abs(moved["points"] - views["points"]).max() > 1e-3


@pytest.mark.parametrize(
    "args, message",
    [
        ({"inputs": ("sils",)}, "expected two modalities, got sils; give two"),
        ({"inputs": ("sils", "sils")}, "expected two modalities, got sils, sils"),
        ({"inputs": ("sils", "points")}, "inputs=points, but the data has sils"),
        ({"downsample": 4}, "downsample=4 does not divide sils of 32 x 22"),
        ({"binary": ("points",)}, "binary: expected images among sils, ranges, got"),
        ({"binary": ("heatmaps",)}, "images among sils, ranges, got heatmaps; leave"),
        ({"shared_stages": 2}, "shared_stages=2: expected 0 to 1, so that every"),
        ({"shared_stages": -1}, "shared_stages=-1: expected 0 to 1"),
        ({"blocks": (1,)}, "method_args has 2 channels and 1 blocks; give one"),
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
