"""Selective Fusion: a step and a round of it against twins, and no label that gets in.

Features of made-up rounds are directions in a plane, in degrees.
"""

import copy
import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.devices import assert_one_equals_four
from helpers.layouts import write_tree

from configs import casia_bn_selective_fusion
from gaitjax import evaluate
from gaitjax import train as loop
from gaitjax.data import pipeline
from gaitjax.data.builders import opengait
from gaitjax.errors import GaitError
from gaitjax.methods import api, selective_fusion
from gaitjax.methods.supervised import make_backbone
from gaitjax.ops.frames import network_input
from gaitjax.retrieval import fusion
from gaitjax.run import check_begin, init_from, open_run
from gaitjax.runtime import weights
from gaitjax.runtime.metrics_log import read

N, T = 4, 3
FRAME = (16, 12)
BACKBONE = dict(channels=(2,), strides=(2,), bins=(2,), features=2)
D = 4  # parts x features


def show_frontal(arrays, batch):
    """A classifier of views: frontal is whoever is bright."""
    bright = batch["sils"].astype(jnp.float32).mean((1, 2, 3)) / 255
    return {"sils": jnp.stack([1 - bright, bright], -1)[:, None]}


VIEWS = api.Base(("sils",), {"sils": (1, 2)}, show_frontal)


def make(base=VIEWS, **changes):
    args = dict(
        backbone="gaitbase",
        backbone_args=BACKBONE,
        fusion_round=1,
        clusterer="dbscan",
        neighbours=6,
        smallest=1,
        min_samples=2,
        capacity=16,
    )
    bases = {"view_base": base} if base else {}
    info = api.Info(0, {"sils": FRAME}, bases=bases)
    return api.make("selective_fusion", info, args | changes)


@functools.cache
def batch():
    rng = np.random.default_rng(0)
    mask = np.ones((N, T), np.float32)
    mask[1, 2] = 0
    sils = rng.integers(0, 256, (N, T, *FRAME)) * mask[..., None, None]
    # Blocks, so that thicker and thinner make a difference, darker and darker.
    sils = np.where(sils > 128, 255, 0) // np.arange(1, N + 1)[:, None, None, None]
    return {"sils": sils.astype(np.uint8), "mask": mask}


@functools.cache
def begun():
    """Parameters at random, and the state of the first step, beside a base."""
    like = jax.eval_shape(make().init, jax.random.key(0), batch())
    rng = np.random.default_rng(1)

    def fill(path, x):
        name = path[-1].key
        usual = {"mean": 0, "var": 1, "scale": 1, "centroids": 0, "filled": 0}
        value = usual.get(name, -1 if name == "support" else None)
        full = rng.normal(size=x.shape) if value is None else np.full(x.shape, value)
        return jnp.asarray(full, x.dtype)

    params, state = jax.tree_util.tree_map_with_path(fill, like)
    return params, {**state, "bases": {"view_base": {"x": jnp.ones(3)}}}


@functools.cache
def step_fn():
    """A step, and beside it the network's embeddings and statistics in training."""
    method = make()
    model = make_backbone("gaitbase", BACKBONE, 0, jnp.float32)

    @jax.jit
    def run(params, state, batch):
        step = jax.value_and_grad(method.loss, has_aux=True)
        variables = {"params": params, "batch_stats": state["batch_stats"]}
        x = network_input(batch["sils"], 1)
        alone = model.apply(
            variables, x, batch["mask"], train=True, mutable=["batch_stats"]
        )
        return step(params, state, batch, jax.random.key(0)), alone

    return run


DRESS = jax.jit(functools.partial(selective_fusion.dress, probability=0.7))


def units(seed, *shape):
    x = np.random.default_rng(seed).normal(size=shape)
    return np.float32(x / np.linalg.norm(x, axis=-1, keepdims=True))


def with_memory(state):
    """Three clusters, the first and the last of which move together."""
    centroids = np.zeros((16, D), np.float32)
    centroids[:3] = units(1, 3, D)
    support = np.full((16, 2), -1, np.int32)
    support[:3] = [[0, 2], [1, -1], [2, 0]]
    filled = np.float32(np.arange(16) < 3)
    memory = {"centroids": centroids, "filled": filled, "support": support}
    return {**state, "memory": memory}


LABEL = np.int32([0, 0, 1, 2])


def moved(centroids, q, support, label, momentum):
    """The memory after a batch, sample by sample."""
    centroids = np.float64(centroids)
    for one, row in zip(np.float64(q), support[label], strict=True):
        for j in row[row >= 0]:
            new = momentum * centroids[j] + (1 - momentum) * one
            centroids[j] = new / np.linalg.norm(new)
    return centroids


@pytest.mark.parametrize("progress, momentum", [(0, 0.5), (0.5, 0.3), (1, 0.1)])
def test_a_step_is_clusternce_and_moves_the_memory(progress, momentum):
    params, state = begun()
    state = with_memory(state)
    given = {**batch(), "label": LABEL, "progress": np.float32(progress)}
    ((total, (new, metrics)), grads), alone = step_fn()(params, state, given)
    q = np.asarray(alone[0]["embeddings"]).reshape(N, D)
    q, stats = q / np.linalg.norm(q, axis=1, keepdims=True), alone[1]["batch_stats"]
    memory = state["memory"]
    logits = np.float64(q) @ memory["centroids"][:3].T / 0.05
    each = np.log(np.exp(logits).sum(1)) - logits[np.arange(N), LABEL]
    np.testing.assert_allclose(total, each.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["clusters/loss"], total, rtol=1e-6)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert max(np.abs(g).max() for g in jax.tree.leaves(grads)) > 0

    want = moved(memory["centroids"], q, memory["support"], LABEL, momentum)
    np.testing.assert_allclose(new["memory"]["centroids"], want, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        new["batch_stats"],
        stats,
    )
    old = jax.tree.leaves(state["batch_stats"])
    assert any(np.any(a != b) for a, b in zip(old, jax.tree.leaves(stats), strict=True))
    # And nothing else.
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert not np.any(new["memory"]["centroids"][3:])
    for key in ("filled", "support"):
        np.testing.assert_array_equal(new["memory"][key], memory[key])
    np.testing.assert_array_equal(new["bases"]["view_base"]["x"], np.ones(3))


def test_one_device_and_four_learn_the_same():
    params, state = begun()
    sent = {**batch(), "label": LABEL, "progress": np.float32(0.3)}
    assert_one_equals_four(make(), params, with_memory(state), sent)


def test_embedding_says_more_to_a_round_than_to_evaluation():
    method, (params, state) = make(clothes=0.7), begun()
    embed = jax.jit(method.embed)
    alone = embed(params, state, batch())
    assert {key: x.shape for key, x in alone.items()} == {"sils": (N, 2, 2)}
    seen = embed(params, state, batch(), jax.random.key(1))
    assert {key: x.shape[1:] for key, x in seen.items()} == {
        "sils": (2, 2),
        "clothes": (2, 2),
        "frontal": (1, 1),
    }
    np.testing.assert_allclose(seen["sils"], alone["sils"], rtol=1e-5, atol=1e-6)
    other = {**batch(), "sils": DRESS(jax.random.key(1), batch()["sils"])}
    np.testing.assert_allclose(
        seen["clothes"], embed(params, state, other)["sils"], rtol=1e-4, atol=1e-6
    )
    assert np.abs(seen["clothes"] - seen["sils"]).max() > 1e-3
    want = batch()["sils"].mean((1, 2, 3)) / 255
    np.testing.assert_allclose(seen["frontal"][:, 0, 0], want, rtol=1e-5)


def test_a_round_sees_no_more_than_it_needs():
    like = jax.eval_shape(make().init, jax.random.key(0), batch())
    for changes, keys in (
        (dict(fuse_views=False), {"sils", "clothes"}),
        (dict(fuse_views=False, fuse_clothes=False), {"sils"}),
        (dict(fusion_round=None), {"sils"}),
        (dict(objective="instances"), {"sils"}),
    ):
        embed = make(None, **changes).embed
        seen = jax.eval_shape(embed, *like, batch(), jax.random.key(1))
        assert seen.keys() == keys
    closer = make().looks_closer
    assert [closer(round_) for round_ in range(3)] == [False, True, True]
    assert not make(fusion_round=None).looks_closer(9)


def test_clothes_are_a_function_of_the_sequence():
    sils, key = batch()["sils"], jax.random.key(3)
    found = np.asarray(DRESS(key, sils))
    assert found.dtype == np.uint8 and np.any(found != sils)
    order = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(DRESS(key, sils[order]), found[order])
    longer = np.concatenate([sils, np.zeros((N, 2, *FRAME), np.uint8)], 1)
    np.testing.assert_array_equal(DRESS(key, longer)[:, :T], found)
    assert np.any(np.asarray(DRESS(jax.random.key(4), sils)) != found)


# Three people of six sequences, two sequences that are alike but loosely, one alone.
DEGREES = np.concatenate(
    [middle + np.arange(-2.5, 3) for middle in (0, 60, 120)] + [[185, 235, 310]]
)
TIGHT = np.int32([0] * 6 + [1] * 6 + [2] * 6 + [-1] * 3)
LOOSE = np.int32([0] * 6 + [1] * 6 + [2] * 6 + [3] * 2 + [-1])
FRONTAL = LOOSE == 1


def at(degrees):
    """Embeddings f32 [n, 2, 2] of any length in these directions."""
    angle = np.deg2rad(degrees)
    x = np.zeros((len(angle), 2, 2), np.float32)
    x[:, 0, 0], x[:, 1, 0] = np.cos(angle), np.sin(angle)
    return x * np.float32(1 + np.arange(len(angle)) % 5)[:, None, None]


def seen(clothes=DEGREES, frontal=FRONTAL):
    shown = np.float32(np.where(frontal, 0.9, 0.2))[:, None, None]
    return {"sils": at(DEGREES), "clothes": at(clothes), "frontal": shown}


def direction(centroid):
    return np.rad2deg(np.arctan2(centroid[2], centroid[0])) % 360


def test_rounds_without_fusion():
    labels, state = make().refresh(begun()[1], seen(), 0)
    np.testing.assert_array_equal(labels, TIGHT)
    memory = state["memory"]
    np.testing.assert_array_equal(memory["filled"], np.arange(16) < 3)
    found = [direction(c) for c in memory["centroids"][:3]]
    np.testing.assert_allclose(
        np.sin(np.deg2rad(found - np.array([0, 60, 120]))), 0, atol=1e-5
    )
    np.testing.assert_array_equal(
        memory["support"][:4], [[0, -1], [1, -1], [2, -1], [-1, -1]]
    )
    never = make(None, fusion_round=None)
    labels, _ = never.refresh(begun()[1], {"sils": at(DEGREES)}, 1000)
    np.testing.assert_array_equal(labels, TIGHT)


def test_fusion_of_clothes_fills_the_support():
    """The first cluster in other clothes looks like the third, the third like the
    fourth; the similarity of rounds with fusion joins the loose pair."""
    method = make(None, fuse_views=False)
    clothes = np.where(LOOSE == 0, 118, np.where(LOOSE == 2, 210, DEGREES))
    labels, state = method.refresh(begun()[1], seen(clothes), 1)
    np.testing.assert_array_equal(labels, LOOSE)
    support = state["memory"]["support"]
    np.testing.assert_array_equal(support[[0, 2]], [[0, 2], [2, 3]])
    assert np.all(support[:4, 0] == np.arange(4)) and np.all(support[4:] == -1)
    bare = make(None, fuse_views=False, fuse_clothes=False)
    _, state = bare.refresh(begun()[1], {"sils": at(DEGREES)}, 1)
    np.testing.assert_array_equal(state["memory"]["support"][:4, 1], -1)


def test_fusion_of_views_by_a_curriculum():
    """The second cluster is frontal: 0.51 to 0.54 is the cosine of its sequences to
    those beside it, which 0.6 keeps out, 0.6 - 0.2 x 3 / 3 lets in, and
    0.6 - 0.2 x 3 / 12 keeps out."""
    options = dict(view_similarity=0.6, rate=0.2)
    method, start = make(**options), begun()[1]
    out = np.int32([0] * 6 + [-1] * 6 + [1] * 6 + [2] * 2 + [-1])
    into = np.int32([0] * 9 + [1] * 9 + [2] * 2 + [-1])

    def with_clusters(number):
        filled = np.float32(np.arange(16) < number)
        return {**start, "memory": {**start["memory"], "filled": filled}}

    labels, state = method.refresh(with_clusters(1), seen(), 1)
    np.testing.assert_array_equal(labels, out)  # whatever was before
    assert state["memory"]["filled"].sum() == 3
    labels, _ = method.refresh(state, seen(), 2)
    np.testing.assert_array_equal(labels, into)
    labels, _ = method.refresh(with_clusters(12), seen(), 2)
    np.testing.assert_array_equal(labels, out)
    constant = make(**options, adaptive=False)
    labels, _ = constant.refresh(with_clusters(12), seen(), 2)
    np.testing.assert_array_equal(labels, into)
    nobody = make(**options, frontal_share=1.0)
    labels, _ = nobody.refresh(state, seen(), 2)
    np.testing.assert_array_equal(labels, LOOSE)


def test_no_round_compiles_anew():
    def shapes(state):
        return jax.tree.map(lambda x: (x.shape, np.dtype(x.dtype)), state)

    method, (_, state) = make(), begun()
    want = shapes(state)
    for round_ in range(3):
        labels, state = method.refresh(state, seen(), round_)
        assert shapes(state) == want and labels.dtype == np.int32


def test_instances_are_pairs_of_clips_without_a_memory():
    method = make(None, objective="instances")
    params, state = jax.eval_shape(method.init, jax.random.key(0), batch())
    assert state.keys() == {"batch_stats"}
    labels, after = method.refresh(state, {"sils": at(DEGREES)}, 3)
    np.testing.assert_array_equal(labels, np.arange(len(DEGREES)))
    assert after is state
    given = {**batch(), "label": np.int32([5, 5, 9, 9]), "step": np.int32(0)}
    _, (new, metrics) = jax.eval_shape(method.loss, params, state, given, None)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert metrics.keys() == {"instances/loss", "instances/accuracy"}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"base": None}, "method_args.view_base.workdir to a run with data.label=fro"),
        (
            {"base": dataclasses.replace(VIEWS, shapes={"sils": (16, 64)})},
            r"two classes, got .*\(16, 64\).* data.label=frontal and method_args.giv",
        ),
        ({"support": 0}, "method_args.support"),
        ({"clothes": 1.5}, "method_args.clothes"),
        ({"similarity": 1.5}, "method_args.similarity: expected -1 to 1, got 1.5"),
        ({"fused_similarity": -2.0}, "method_args.fused_similarity: expected -1 to 1"),
        ({"view_similarity": 7.0}, "method_args.view_similarity: expected -1 to 1"),
        ({"eps": 1.1}, "method_args.eps: expected 0 to 1, got 1.1"),
        ({"eps": 0.0}, "method_args.eps: expected more than 0, got 0.0"),
        ({"min_samples": 0}, "method_args.min_samples: expected at least 1"),
        ({"temperature": 0.0}, "method_args.temperature: expected more than 0, got 0"),
        ({"frontal_share": 80.0}, "method_args.frontal_share: expected 0 to 1"),
        ({"rate": -0.1}, "method_args.rate: expected 0 to 1, got -0.1"),
        ({"objective": "both"}, "method_args.objective"),
        ({"backbone": "gaitsett"}, "gaitset"),
    ],
)
def test_bad_arguments_are_one_line(changes, words):
    with pytest.raises(GaitError, match=words) as error:
        make(**changes)
    assert "\n" not in str(error.value)


def test_a_round_that_cannot_be_is_one_line():
    def line(**changes):
        with pytest.raises(GaitError) as error:
            make(**changes).refresh(begun()[1], seen(), 0)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "3 clusters do not fit into a memory of capacity=2" in line(capacity=2)
    assert "leaves all 21 sequences without a cluster" in line(smallest=6)
    assert "makes one cluster" in line(smallest=1, neighbours=21, similarity=-1.0)
    state = {**begun()[1]}
    with pytest.raises(GaitError, match="raise frontal_share, or look at the classif"):
        make().refresh(state, seen(frontal=DEGREES < 170), 1)


@pytest.mark.parametrize(
    "data, words",
    [
        ({"label": "subject", "val": 0.2}, "data.val=0, got subject and 0.2"),
        ({"label": "frontal", "val": 0.0}, "data.label=none .*, got frontal and 0.0"),
    ],
)
def test_labels_are_refused(data, words):
    make().check_training({"label": "none", "val": 0.0})
    with pytest.raises(GaitError, match=words):
        make().check_training(data)


# From here on: whole runs.


@pytest.fixture(scope="module")
def bright(_tiny_config, tiny_data, tmp_path_factory):
    """The folder of a classifier of views; of three sequences it calls one frontal."""
    folder = tmp_path_factory.mktemp("views") / "bright"
    split = tiny_data.train.with_keys(("sils",))
    sils = [split[row]["sils"][..., 10:-10] for row in range(len(split))]
    threshold = np.quantile([np.mean(x) for x in sils], 2 / 3)
    weights.write(
        folder,
        {"params": {"threshold": jnp.float32(threshold)}, "model_state": {}},
        _tiny_config | {"method": "helpers.bright", "method_args": {}},
        step=1,
        shapes={"sils": (64, 44)},
        num_classes=2,
        source="a test",
    )
    return folder


@pytest.fixture(scope="module")
def config(_tiny_config, bright):
    """Seven steps in three rounds, the last two with both fusions."""
    config = copy.deepcopy(_tiny_config)
    config["data"].update(label="none", p=2, k=2, frames=2)
    config["method"] = "selective_fusion"
    config["method_args"] = dict(
        backbone_args=dict(channels=(2, 2, 2), bins=(2,), features=2),
        downsample=2,
        fusion_round=1,
        view_base={"workdir": str(bright), "config": None},
        frontal_share=0.6,
        clusterer="dbscan",
        neighbours=4,
        smallest=1,
        min_samples=2,
        capacity=512,
    )
    config["train"].update(steps=7, refresh_every=3, ema=None)
    config["ckpt"]["every"] = 100
    return config


def run_to_the_end(config, workdir):
    """Everything that is kept: the state, labels, and what was logged of rounds."""
    state = loop.train(config, workdir, num_devices=1)
    opened = open_run(config, workdir, num_devices=1).checkpoints
    side = opened.side(7)
    opened.close()
    lines = [x for x in read(workdir / "metrics.jsonl") if "labels/nmi" in x]
    return jax.device_get(state), (side["round"], side["labels"]), lines


@pytest.fixture(scope="module")
def quiet():
    """Evaluation reads labels, as it must, and takes longest."""
    patch = pytest.MonkeyPatch()
    patch.setattr(evaluate, "evaluate_state", lambda run, state: [])
    patch.setattr(evaluate, "write_results", lambda *args: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def dissolved():
    """How many clusters of front and back each round with fusion had."""
    found = []
    patch = pytest.MonkeyPatch()
    original = fusion.frontal_clusters

    def watched(labels, frontal, share):
        clusters = original(labels, frontal, share)
        found.append(int(clusters.sum()))
        return clusters

    patch.setattr(fusion, "frontal_clusters", watched)
    yield found
    patch.undo()


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("selective") / "run"


@pytest.fixture(scope="module")
def finished(config, quiet, dissolved, workdir):
    return run_to_the_end(config, workdir)


def assert_equal_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_run_moves_what_it_learns(finished, dissolved):
    state, (round_, labels), lines = finished
    assert len(dissolved) >= 2 and min(dissolved[:2]) > 0
    assert round_ == 2 and [line["step"] for line in lines] == [0, 3, 6]
    number = max(labels) + 1
    assert number >= 2 and lines[-1]["labels/clusters"] == number
    memory = state.model_state["memory"]
    assert memory["filled"].sum() == number
    length = np.linalg.norm(memory["centroids"], axis=1)
    np.testing.assert_allclose(length, memory["filled"], atol=1e-5)
    assert np.all(memory["support"][:number] >= 0)


def test_no_round_of_a_run_compiles_anew(finished, workdir):
    lines = [x for x in read(workdir / "metrics.jsonl") if "compiles" in x]
    assert [line["step"] for line in lines] == [2, 4, 6, 7]
    assert {line["compiles"] for line in lines} == {1}


def test_no_label_of_the_set_reaches_training(config, finished, tmp_path, monkeypatch):
    """Subject, condition and view of the training split are garbage: the same bits."""
    original = pipeline.open_split

    def poisoned(folder, name):
        split = original(folder, name)
        if name != "train":
            return split
        number = len(split)
        rng = np.random.default_rng(0)
        words = np.array(["zz", "cl-09", "not a view", "007"])
        garbage = {
            key: rng.choice(words, number) for key in ("subject", "condition", "view")
        }
        index = dataclasses.replace(split.index, **garbage)
        return dataclasses.replace(split, index=index)

    monkeypatch.setattr(pipeline, "open_split", poisoned)
    state, kept, lines = run_to_the_end(config, tmp_path)
    want, labels, logged = finished
    assert_equal_bits(state, want)
    assert kept == labels
    # It was poisoned: the log, which does look at people, says something else.
    assert all(
        a["labels/nmi"] != b["labels/nmi"]
        and a["labels/dropped"] == b["labels/dropped"]
        for a, b in zip(lines, logged, strict=True)
    )


def test_resuming_within_a_round_is_exact(config, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop.Preemption, "requested", lambda self, step: step == 3)
        with pytest.raises(SystemExit):
            loop.train(config, tmp_path, num_devices=1)
    state, kept, _ = run_to_the_end(config, tmp_path)
    assert_equal_bits(state, finished[0])
    assert kept == finished[1]


def test_training_wants_its_package_and_no_labels_at_once(
    config, tmp_path, monkeypatch
):
    """Before anything is embedded; evaluation and export do without."""
    monkeypatch.setattr(evaluate, "embed", lambda *args: pytest.fail("embedded"))
    monkeypatch.setitem(sys.modules, "infomap", None)
    config = copy.deepcopy(config)
    config["method_args"]["clusterer"] = "infomap"
    with pytest.raises(GaitError, match="infomap wants the package"):
        loop.train(config, tmp_path / "infomap", num_devices=1)
    open_run(config, tmp_path / "infomap", num_devices=1)
    config["data"]["label"] = "subject"
    with pytest.raises(GaitError, match="expected data.label=none"):
        loop.train(config, tmp_path / "labels", num_devices=1)


def written(folder, method_args):
    """A folder of made-up weights of a network that was trained with labels."""
    info = api.Info(6, {"sils": (64, 44)})
    method = api.make("supervised", info, {"downsample": 2, **method_args})
    sils = np.zeros((1, 2, 64, 44), np.uint8)
    one = {"sils": sils, "mask": np.ones((1, 2), np.float32)}
    shapes = jax.eval_shape(method.init, jax.random.key(0), one)
    params, state = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
    weights.write(
        folder,
        {"params": params, "model_state": state},
        {"method": "supervised", "method_args": method_args},
        step=1,
        shapes={"sils": (64, 44)},
        num_classes=6,
        source="a test",
    )
    return str(folder)


def gaitset(**changes):
    """That of the run, as a supervised method has it, or a little other."""
    args = dict(channels=(2, 2, 2), bins=(2,), features=2) | changes
    ce_weight = 1.0 if args.get("bnneck") else 0.0
    return dict(backbone="gaitset", backbone_args=args, ce_weight=ce_weight)


def test_a_start_has_all_that_embeddings_need(config, tmp_path, capsys):
    """And may have a classifier, which is left out."""
    run = open_run(config, tmp_path / "run", num_devices=1)
    source = written(tmp_path / "same", gaitset(bnneck=True))
    begun = init_from(run, run.like, source)
    assert all(np.all(x == 1) for x in jax.tree.leaves(begun.params))
    assert "left out: necks/" in capsys.readouterr().out


@pytest.mark.parametrize(
    "here, there, words",
    [
        ({"channels": (2, 2, 2, 2)}, gaitset(), "arrays .* do not fit .*block4"),
        ({}, gaitset(channels=(2, 2, 2, 3)), "1 of the 11 arrays .*fcs/kernel"),
        (
            {},
            dict(
                backbone="gaitbase",
                backbone_args=dict(channels=(2,), strides=(2,), bins=(4,), features=2),
            ),
            "10 of the 11 arrays .* the same backbone and backbone_args",
        ),
        (
            {"features": 3},
            dict(
                backbone="gaitbase",
                backbone_args=dict(channels=(3,), strides=(2,), bins=(2,), features=5),
            ),
            "no parameter fits this network .* use a checkpoint of the same backbone",
        ),
    ],
)
def test_another_network_is_no_start(config, tmp_path, here, there, words):
    config = copy.deepcopy(config)
    config["method_args"]["backbone_args"] |= here
    run = open_run(config, tmp_path / "run", num_devices=1)
    with pytest.raises(GaitError, match=words) as error:
        init_from(run, run.like, written(tmp_path / "start", there))
    assert "\n" not in str(error.value)


def test_without_a_start_there_is_a_note(config, tmp_path, capsys):
    run = open_run(config, tmp_path / "run", num_devices=1)
    check_begin(run)
    assert "no train.init_from: the first labels are of" in capsys.readouterr().out


def test_what_a_real_set_lacks_is_said_at_once(tmp_path, monkeypatch):
    """A made-up tree of CASIA-B, prepared; neither of the two networks is there."""
    source = write_tree(tmp_path / "tree", "casia_b")
    builder = opengait.make_builder(tmp_path, "casia_b", processes=1, **source)
    opengait.prepare(builder)
    monkeypatch.chdir(tmp_path)
    config = casia_bn_selective_fusion.get_config().to_dict()
    config["data"]["dir"] = str(tmp_path)
    config["method_args"]["clusterer"] = "dbscan"
    with pytest.raises(GaitError) as error:
        loop.train(config, tmp_path / "run", num_devices=1)
    line = str(error.value)
    assert "\n" not in line
    for word in (
        f"train.init_from={tmp_path}/runs/selective_fusion-pretraining and ",
        f"method_args.view_base.workdir={tmp_path}/runs/selective_fusion-views hold",
        "train them there first (see docs/unsupervised.md)",
    ):
        assert word in line
    (tmp_path / "runs/selective_fusion-views/checkpoints").mkdir(parents=True)
    with pytest.raises(GaitError, match="-pretraining holds no .* train it there"):
        loop.train(config, tmp_path / "run", num_devices=1)
