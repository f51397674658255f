"""Mesh-Gait: what is trained by what, what inference leaves out, bad input."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.devices import assert_one_equals_four
from helpers.smpl import write_model

from gaitjax.data import smpl_file
from gaitjax.data.topology import Topology
from gaitjax.errors import GaitError
from gaitjax.methods import api, meshgait
from gaitjax.runtime import weights

N, T, V = 4, 3, 6
SHAPES = {"sils": (64, 44), "joints": (24, 3), "markers": (64, 3), "vertices": (V, 3)}
INFO = api.Info(2, SHAPES)
SMALL = dict(
    channels=(2, 2, 4, 4),
    bins=(8,),
    features=4,
    downsample=2,
    width=4,
    stem=4,
    modules=(1,),
    blocks=1,
    side=8,
    volume=(4, 4, 4),
    mode="2d",
    rank=2,
)


def make(info=INFO, **changes):
    return meshgait.make(info, **SMALL | changes)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    places = {
        key: rng.normal(size=(N, T, *SHAPES[key])).astype(np.float32) / 4
        for key in meshgait.LABELS
    }
    mask = np.ones((N, T), np.float32)
    mask[1, 2] = 0
    return {
        "sils": rng.integers(0, 256, (N, T, 64, 44)).astype(np.uint8),
        "mask": mask,
        "label": np.array([0, 0, 1, 1], np.int32),
        "index": np.arange(N, dtype=np.int32),
        "step": np.int32(0),
        **places,
    }


@functools.cache
def state_of(**changes):
    """The same for all tests; initialising takes longest."""
    method = make(**changes)
    like = jax.eval_shape(method.init, jax.random.key(0), _batch_like())
    rng = np.random.default_rng(1)

    def fill(path, x):
        name = path[-1].key
        if name in ("mean", "var", "scale"):
            return jnp.full(x.shape, float(name != "mean"), x.dtype)
        return jnp.asarray(0.2 * rng.normal(size=x.shape), x.dtype)

    return jax.tree_util.tree_map_with_path(fill, like)


def _batch_like():
    return {
        "sils": jnp.zeros((1, T, 64, 44), jnp.uint8),
        "mask": jnp.ones((1, T)),
    }


def step_of(method):
    """Of a state and a batch: the loss, its metrics, and what has a gradient."""
    compiled = jax.jit(jax.value_and_grad(method.loss, has_aux=True))

    def step(state, batch):
        (total, (_, metrics)), grads = compiled(*state, batch, jax.random.key(0))
        assert compiled._cache_size() == 1  # one trace, whatever the batch holds
        used = {k for k in grads if any(g.any() for g in jax.tree.leaves(grads[k]))}
        return float(total), metrics, used

    return step


def test_what_is_trained_by_what(batch):
    """Of labels alone, then of recognition, too."""
    step = step_of(make(warmup=5))
    early, metrics, trained = step(state_of(), batch)
    assert trained == {"maps", "decoder"}
    labels = 100 * metrics["joints/loss"] + 100 * metrics["markers/loss"]
    labels += 10 * metrics["vertices/loss"]
    np.testing.assert_allclose(early, labels, rtol=1e-6)

    total, metrics, trained = step(state_of(), batch | {"step": np.int32(5)})
    assert trained == {"backbone", "maps", "volume", "decoder", "fcs", "necks"}
    recognition = metrics["triplet/loss"] + metrics["ce/loss"]
    np.testing.assert_allclose(total, labels + recognition, rtol=1e-6)


@pytest.mark.slow  # a minute of compiling
def test_one_device_and_four_learn_the_same(batch):
    batch = batch | {"step": np.int32(5)}
    assert_one_equals_four(make(), *state_of(), batch)


def test_detached_features_do_not_teach_the_maps(batch):
    bare = dict(joint_weight=0.0, marker_weight=0.0, mesh_weight=0.0)
    bare |= dict(ce_weight=0.0, fusion="3d")
    step = step_of(make(**bare, detach_features=True))
    _, _, trained = step(state_of(**bare), batch)
    assert trained == {"volume", "fcs"}


def test_labels_are_seen_from_the_pelvis_in_boxes(batch):
    moved = {k: batch[k] + np.float32([3, -1, 7]) for k in meshgait.LABELS}
    source = meshgait.label_source(INFO, meshgait.LABELS, None)
    assert source.keys == meshgait.LABELS and source.num_vertices == V
    places = source.places(batch | moved, jnp.array([2, 0]))
    for key in meshgait.LABELS:
        want = (batch[key] - batch["joints"][:, :, :1])[:, [2, 0]] / 2.0
        np.testing.assert_allclose(places[key], want, atol=1e-6)


def test_markers_that_are_not_there_are_vertices(batch):
    markers = np.arange(64) % V
    shapes = {key: shape for key, shape in SHAPES.items() if key != "markers"}
    info = api.Info(2, shapes, topology=Topology({}, markers=markers))
    source = meshgait.label_source(info, ("joints", "markers"), None)
    assert source.keys == ("joints", "vertices")
    places = source.places(batch, jnp.arange(T))
    want = (batch["vertices"] - batch["joints"][:, :, :1])[:, :, markers] / 2.0
    np.testing.assert_allclose(places["markers"], want, atol=1e-6)
    assert set(places) == {"joints", "markers"}


def test_labels_of_smpl_parameters(tmp_path):
    """Of a made-up body, as the reader in numpy makes them."""
    path = write_model(tmp_path / "body.npz", vertices=70)
    body = smpl_file.load(path)
    parameters = np.random.default_rng(0).normal(size=(2, T, 85)).astype(np.float32)
    info = api.Info(
        2, {"sils": (64, 44), "smpl": (85,)}, topology=Topology({}, np.arange(64))
    )
    source = meshgait.label_source(info, meshgait.LABELS, str(path))
    assert source.keys == ("smpl",) and source.num_vertices == 70
    places = source.places({"smpl": parameters}, jnp.array([1]))
    for i in range(2):
        joints, vertices = smpl_file.labels(body, parameters[i, 1:2])
        found = {key: places[key][i] * 2 for key in places}
        np.testing.assert_allclose(found["joints"], joints, atol=1e-4)
        np.testing.assert_allclose(found["vertices"], vertices, atol=1e-4)
        np.testing.assert_allclose(found["markers"], vertices[:, :64], atol=1e-4)
    bare = dataclasses.replace(info, topology=None)
    with pytest.raises(GaitError, match="which vertices are markers"):
        meshgait.label_source(bare, meshgait.LABELS, str(path))
    with pytest.raises(GaitError, match="the data has no smpl"):
        meshgait.label_source(INFO, meshgait.LABELS, str(path))
    with pytest.raises(GaitError, match="smpl.is.tue.mpg.de"):
        meshgait.label_source(info, meshgait.LABELS, "nowhere.npz")


def test_the_mesh_starts_from_the_set_s_mixtures():
    weights = np.random.default_rng(0).dirichlet(np.ones(88), V).T.astype(np.float32)
    info = dataclasses.replace(INFO, topology=Topology({}, weights=weights))
    params, _ = jax.eval_shape(make(info).init, jax.random.key(0), _batch_like())
    assert params["decoder"]["mesh"]["weights"].shape == (88, V)
    wrong = dataclasses.replace(INFO, topology=Topology({}, weights=weights[:, :3]))
    with pytest.raises(GaitError, match="of 3 vertices, its bodies have 6"):
        make(wrong)


def test_frames_are_drawn_without_repeats():
    draw = jax.jit(functools.partial(meshgait.draw_frames, frames=7, number=4))
    found = [tuple(np.asarray(draw(jax.random.key(i)))) for i in range(8)]
    assert all(len(set(one)) == 4 and max(one) < 7 for one in found)
    assert len(set(found)) > 1
    everything = meshgait.draw_frames(jax.random.key(0), 7, 0)
    assert everything.tolist() == list(range(7))


def test_a_share_of_the_records_is_labelled():
    index = jnp.arange(4000)
    quarter, half = (meshgait.has_labels(index, share) for share in (0.25, 0.5))
    assert abs(float(quarter.mean()) - 0.25) < 0.03
    assert bool((half >= quarter).all())  # more of the same
    assert meshgait.has_labels(index, 1.0).all()
    assert not meshgait.has_labels(index, 0.0).any()


def test_inference_reads_no_label_and_runs_no_decoder(batch):
    method, state = make(), state_of()
    assert method.embed_keys == ("sils",)
    seen = {key: batch[key] for key in ("sils", "mask")}
    embed = jax.jit(method.embed)
    views = embed(*state, seen)
    params = {k: v for k, v in state[0].items() if k not in ("decoder", "necks")}
    without = embed(params | {"necks": state[0]["necks"]}, state[1], seen)
    np.testing.assert_array_equal(views["sils"], without["sils"])
    assert views["sils"].shape == (N, 8, 4)


def test_exported_weights_are_used_without_labels(batch):
    """On a set that has silhouettes alone; the same embeddings."""
    options = dict(warmup=5)  # of labels alone
    method, (params, stats) = make(**options), state_of()
    bare = make(api.Info(2, {"sils": (64, 44)}), **options | method.inference_args)
    assert bare.train_keys == ("sils",)
    seen = {key: batch[key] for key in ("sils", "mask")}
    model = {"params": params, "model_state": stats}
    used = weights.used_arrays(lambda model: method.embed(**model, batch=seen), model)
    kept = weights.keep(model, used)["params"]
    assert set(kept) == {"backbone", "maps", "volume", "fcs"}
    found = jax.jit(bare.embed)(kept | {"necks": params["necks"]}, stats, seen)["sils"]
    want = jax.jit(method.embed)(params, stats, seen)["sils"]
    np.testing.assert_array_equal(found, want)


def test_predictions_are_the_body_of_training(batch):
    found = jax.jit(make().predict)(*state_of(), batch)
    assert found["vertices"].shape == (N, T, V, 3)
    np.testing.assert_allclose(found["heatmaps"].sum((2, 3, 4)), 1, rtol=1e-4)
    assert float(jnp.abs(found["joints"]).max()) < meshgait.BOX / 2


@pytest.mark.parametrize("mode", ["2d", "p3d"])
def test_padding_changes_nothing(mode, batch):
    """In the branch, and in the stages after fusion."""
    options = dict(mode=mode, fused_after=3)
    embed = jax.jit(make(**options).embed)
    sils = batch["sils"].copy()
    sils[1, 2] = 255 - sils[1, 2]
    one, two = (
        embed(*state_of(**options), {"sils": x, "mask": batch["mask"]})["sils"]
        for x in (batch["sils"], sils)
    )
    np.testing.assert_array_equal(one, two)


def test_the_published_recipe_s_step(batch):
    """Some frames for the labels, stages computed again; NaN in one of the labels is
    counted, and nothing else becomes NaN."""
    markers = batch["markers"].copy()
    markers[2] = np.nan  # of all frames: some of them are drawn
    method = make(supervised_frames=2, remat=True)
    step = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    batch = batch | {"markers": markers}
    (total, (_, metrics)), grads = step(*state_of(), batch, jax.random.key(0))
    assert metrics["markers/unlabelled"] > 0 and metrics["joints/unlabelled"] == 0
    for x in jax.tree.leaves((total, metrics, grads)):
        assert jnp.isfinite(x).all()
    plain = jax.jit(make(supervised_frames=2).loss)
    again, _ = plain(*state_of(), batch, jax.random.key(0))
    np.testing.assert_allclose(total, again, rtol=1e-5)


def test_bodies_of_another_number_of_vertices_than_the_set_s_table():
    bodies = SHAPES | {"vertices": (70, 3)}
    for table in (
        Topology({"vertices": np.arange(100)}),
        Topology({}, markers=900 + np.arange(64)),
        Topology({}, weights=np.full((88, 100), 1 / 88, np.float32)),
    ):
        info = api.Info(2, bodies, topology=table)
        with pytest.raises(GaitError, match="its bodies have 70; make it of these"):
            make(info)
    make(api.Info(2, bodies, topology=Topology({}, markers=np.arange(64))))


@pytest.mark.parametrize("fusion", ["add", "2d", "3d"])
def test_other_fusions(fusion):
    method = make(fusion=fusion, feed="probabilities")
    params, _ = jax.eval_shape(method.init, jax.random.key(0), _batch_like())
    assert ("backbone" in params) is (fusion != "3d")
    assert ("maps" in params) is (fusion != "2d")
    assert method.train_keys == ("sils", *(meshgait.LABELS if fusion != "2d" else ()))
    # One branch or the sum is half as wide as both beside each other.
    (fcs,) = jax.tree.leaves(params["fcs"])
    assert fcs.shape == (8, 4, 4)


@pytest.mark.parametrize("fused_after", [1, 3])
def test_stages_after_fusion_see_both_branches(fused_after):
    method = make(fused_after=fused_after)
    params, _ = jax.eval_shape(method.init, jax.random.key(0), _batch_like())
    before = {f"layer{i}" for i in range(fused_after + 1)}
    assert {*params["backbone"]} == before
    assert len(params["later"]) == 4 - fused_after
    width = SMALL["channels"][fused_after - 1] + SMALL["volume"][-1]
    first = params["later"]["layer1"]["block0"]["conv1"]["conv"]["kernel"]
    assert first.shape[-2] == width
    (fcs,) = jax.tree.leaves(params["fcs"])  # as wide as the 2D branch alone
    assert fcs.shape == (8, SMALL["channels"][-1], 4)


@pytest.mark.parametrize(
    ("changes", "shapes", "words"),
    [
        ({"joint_weight": 0.0}, SHAPES, "seen from the first joint"),
        ({}, {"sils": (64, 44)}, "no joints, markers, vertices"),
        ({"fusion": "add", "volume": (4, 8)}, SHAPES, "as many channels"),
        ({"fusion": "add", "fused_after": 1}, SHAPES, "got 2 and 4"),
        ({"fusion": "3d", "fused_after": 3}, SHAPES, "of two branches"),
        ({"fused_after": 5}, SHAPES, "fused_after: expected 1 to 4"),
        ({"fusion": "both"}, SHAPES, "fusion"),
        ({"labelled": 1.5}, SHAPES, "labelled"),
        ({}, SHAPES | {"joints": (17, 3)}, "24 joints"),
        ({"downsample": 3}, SHAPES, "does not divide"),
    ],
)
def test_bad_arguments_are_one_line(changes, shapes, words):
    with pytest.raises(GaitError, match=words) as error:
        api.make("meshgait", api.Info(2, shapes), SMALL | changes)
    assert "\n" not in str(error.value)


def test_without_labels_only_silhouettes_are_wanted():
    bare = dict(joint_weight=0.0, marker_weight=0.0, mesh_weight=0.0)
    method = make(api.Info(2, {"sils": (64, 44)}), **bare)
    assert method.train_keys == ("sils",) and method.predict is None
