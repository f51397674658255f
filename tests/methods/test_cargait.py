"""CarGait on made-up embeddings: distances, lists, triplets, what it learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import loops
from helpers.devices import assert_one_equals_four

from gaitjax.data.features import Bank
from gaitjax.errors import GaitError
from gaitjax.losses.ranking import ranking
from gaitjax.methods import api, cargait

PARTS, DIMS = 3, 4
SMALL = dict(heads=2, features=4, hidden=4, nearest=3, triplets=16)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def make(shapes=None, bases=True, **options):
    """A method on a base that gives its frames back."""
    frozen = api.Base(
        embed_keys=("sils",),
        shapes=shapes or {"sils": (PARTS, DIMS)},
        embed=lambda arrays, batch: {"sils": batch["sils"] * arrays["scale"]},
    )
    info = api.Info(4, {"sils": (64, 44)}, bases={"base": frozen} if bases else {})
    return api.make("cargait", info, {**SMALL, **options})


def trained_like(method, seed=0):
    """Random parameters, without the zeros of the initialisation."""
    like, state = jax.eval_shape(method.init, jax.random.key(0), {})
    assert state == {}
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (0.5 * rng.normal(size=leaf.shape)).astype(np.float32), like
    )


def part_distance(x, y):
    """One pair, f[p, d] each, in float64."""
    return np.linalg.norm(np.float64(x) - np.float64(y), axis=-1).mean()


@functools.cache
def shared(**options):
    """(method, parameters, jitted distances of pairs)."""
    method = make(**options)
    return method, trained_like(method), rescoring(method)


def rescoring(method):
    fn = jax.jit(method.rescore)
    return lambda params, probe, candidates: np.asarray(
        fn(params, {}, probe, candidates)
    )


def test_at_the_start_it_is_the_base_s_distance():
    method, _, rescore = shared()
    params, _ = method.init(jax.random.key(0), {})
    probe, candidates = draw(2, PARTS, DIMS), draw(2, 5, PARTS, DIMS, seed=1)
    pairs = zip(probe, candidates, strict=True)
    want = [[part_distance(x, y) for y in row] for x, row in pairs]
    np.testing.assert_allclose(rescore(params, probe, candidates), want, rtol=1e-6)
    other = make(zero_init=False)
    params, _ = other.init(jax.random.key(0), {})
    far = np.asarray(other.rescore(params, {}, probe, candidates))
    assert np.abs(far - want).max() > 0.01


def test_distance_is_symmetric_and_not_the_base_s():
    _, params, rescore = shared()
    x, y = draw(6, PARTS, DIMS), draw(6, PARTS, DIMS, seed=1)
    there, back = rescore(params, x, y[:, None]), rescore(params, y, x[:, None])
    np.testing.assert_allclose(there, back, rtol=1e-5)
    base = np.array([part_distance(*pair) for pair in zip(x, y, strict=True)])
    assert np.abs(there[:, 0] - base).max() > 0.1


def test_refinement_is_one_attention_both_ways():
    """By the attention's own weights, applied by hand."""
    _, params, rescore = shared()
    assert sorted(params) == ["attention", "classifier"]
    x, y = draw(1, PARTS, DIMS), draw(1, PARTS, DIMS, seed=1)
    layer = cargait.CrossAttention(2, 4)
    look = functools.partial(layer.apply, {"params": params["attention"]})
    want = part_distance((x + look(x, y))[0], (y + look(y, x))[0])
    np.testing.assert_allclose(rescore(params, x, y[:, None]), [[want]], rtol=1e-5)


def test_the_network_of_a_config_gives_both_embeddings():
    """Their distance is what the method sorts by."""
    options = {**SMALL, "pre_norm": True, "zero_init": False}
    method = make(**options)
    params = trained_like(method)
    network = cargait.reranker(options)
    x, y = draw(3, PARTS, DIMS), draw(3, PARTS, DIMS, seed=1)
    pair = network.apply({"params": params}, x, y, method=network.refine)
    found = [part_distance(*one) for one in zip(*pair, strict=True)]
    want = rescoring(method)(params, x, y[:, None])[:, 0]
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_one_device_and_four_learn_the_same():
    method, params, _ = shared()
    label = np.int32([[0, 0, 1], [1, 1, 2], [2, 2, 3], [3, 3, 0]])
    batch = {"features": draw(4, 3, PARTS, DIMS), "label": label}
    assert_one_equals_four(method, params, {}, batch)


def test_gradient_at_distance_zero_is_zero():
    x = jnp.asarray(draw(2, PARTS, DIMS))
    grad = jax.grad(lambda y: cargait.part_distance(x, y).sum())(x)
    np.testing.assert_array_equal(grad, 0)
    np.testing.assert_array_equal(cargait.part_distance(x, x), 0)


def test_embeddings_are_the_base_s():
    method, params, _ = shared()
    batch = {"sils": jnp.asarray(draw(2, PARTS, DIMS))}
    state = {"bases": {"base": {"scale": jnp.float32(3)}}}
    out = method.embed(params, state, batch)
    np.testing.assert_array_equal(out["sils"], 3 * batch["sils"])
    assert method.embed_keys == ("sils",) and method.train_keys == ()


# Lists and triplets.

# Persons of 10 records; -1 is unused. Person 3 has one sequence.
LABELS = np.int32([0, 0, 0, 1, 1, -1, 2, 2, 3, -1])


def bank(*views, seed=0):
    return Bank({name: draw(10, 2, 2, seed=seed + i) for i, name in enumerate(views)})


def lists_of(data, number=3, labels=LABELS, distance="euclidean"):
    return cargait.nearest_lists(data, labels, number, distance)


def cosine_far(x, y):
    """Mean over parts of 1 - cosine, [n, p, d] twice -> [n, n]."""
    x, y = (z / np.linalg.norm(z, axis=-1, keepdims=True) for z in (x, y))
    return 1 - np.einsum("npd,mpd->nm", x, y) / x.shape[1]


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("views", [("sils",), ("ranges", "sils")])
def test_lists_equal_brute_force(views, distance, monkeypatch):
    monkeypatch.setattr(cargait, "BLOCK", 3)  # several blocks, the last one padded
    data = bank(*views)
    lists = lists_of(data, distance=distance)
    used = np.flatnonzero(LABELS >= 0)
    want = {}
    for a, x in enumerate(data.views.values()):
        for b, y in enumerate(data.views.values()):
            far = (cosine_far if distance == "cosine" else loops.far)(x, y)
            for i in used[LABELS[used] != 3]:
                others = [j for j in used if j != i]
                order = sorted(others, key=lambda j, row=far[i]: row[j])[:3]
                want[10 * a + i, b] = [10 * b + j for j in order]
    got = {
        (int(probe), int(near[0]) // 10): near.tolist()
        for probe, near in zip(lists.probes, lists.near, strict=True)
    }
    assert len(lists.probes) == 7 * len(views) ** 2  # none twice
    assert got == want


def test_lists_longer_than_what_there_is_are_clamped(capsys):
    lists = lists_of(bank("sils"), 30)
    assert "note: lists of 7, all there is, in place of 30" in capsys.readouterr().out
    assert lists.near.shape == (7, 7)
    used = set(np.flatnonzero(LABELS >= 0))
    for probe, near in zip(lists.probes, lists.near, strict=True):
        assert set(near) == used - {probe}
    lists_of(bank("sils"), 7)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("views", [("sils",), ("ranges", "sils")])
@pytest.mark.parametrize("number", [1, 3])  # with and without fallbacks
def test_triplets_are_right(views, number):
    lists = lists_of(bank(*views), number)
    rows = cargait.draw_triplets(lists, np.random.default_rng(0), 500)
    assert rows.shape == (500, 3)
    record, view = rows % 10, rows // 10
    person = LABELS[record]
    assert (person >= 0).all()
    assert (person[:, 0] != 3).all()  # nobody right to find
    assert (person[:, 0] == person[:, 1]).all()
    assert (person[:, 0] != person[:, 2]).all()
    assert (record[:, 0] != record[:, 1]).all()  # in no modality
    assert (view[:, 1] == view[:, 2]).all()  # of the list's view
    pairs = {tuple(pair) for pair in view[:, :2]}
    assert len(pairs) == len(views) ** 2
    assert set(rows[:, 0]) == set(lists.probes)


def lists_by_hand(near):
    """One probe, record 0; its list as given."""
    full = lists_of(bank("sils"))
    return cargait.Lists(
        full.bank, full.label, np.array([0]), np.array([near]), full.same
    )


def drawn(lists):
    rows = cargait.draw_triplets(lists, np.random.default_rng(0), 300)
    return [set(column.tolist()) for column in rows.T]


def test_triplets_are_of_the_list_where_it_has_both():
    assert drawn(lists_by_hand([1, 3, 6])) == [{0}, {1}, {3, 6}]


def test_without_somebody_right_in_the_list_it_is_any_other_of_the_person():
    assert drawn(lists_by_hand([3, 6, 8])) == [{0}, {1, 2}, {3, 6, 8}]


def test_without_somebody_wrong_in_the_list_it_is_any_other_person():
    assert drawn(lists_by_hand([1, 2])) == [{0}, {1, 2}, {3, 4, 6, 7, 8}]


def test_batches_depend_on_seed_and_step_alone():
    method, _, _ = shared()
    lists = method.prepare(bank("sils"), None, LABELS)
    assert lists.near.shape == (7, SMALL["nearest"])

    def rows(seed, step):
        return method.source(None, seed, step, LABELS, lists)

    assert rows(0, 5).shape == (SMALL["triplets"], 3)
    np.testing.assert_array_equal(rows(0, 5), rows(0, 5))
    assert (rows(0, 5) != rows(0, 6)).any()
    assert (rows(0, 5) != rows(1, 5)).any()


@pytest.mark.parametrize(
    "labels, reason",
    [
        (np.int32([0] * 10), "2 people"),
        (np.int32([0, 1] + [-1] * 8), "3 sequences"),
        (np.arange(10, dtype=np.int32), "nobody has two sequences"),
    ],
)
def test_sets_without_triplets_are_refused(labels, reason):
    with pytest.raises(GaitError, match=reason) as error:
        lists_of(bank("sils"), 3, labels)
    assert "\n" not in str(error.value)


# Loss and learning.


def batch(seed=0):
    label = np.int32([[0, 0, 1], [2, 2, 3]] * 4)
    return {"features": draw(8, 3, PARTS, DIMS, seed=seed), "label": label}


def losses(method, params, values):
    total, (_, metrics) = jax.jit(method.loss)(params, {}, values, jax.random.key(0))
    return float(total), {key: float(x) for key, x in metrics.items()}


def test_loss_is_ranking_and_a_little_classification():
    method, params, rescore = shared()
    values = batch()
    total, metrics = losses(method, params, values)
    x = values["features"]
    far = rescore(params, x[:, 0], x[:, 1:])
    want, _ = ranking(far[:, 0], far[:, 1], damping=0.1)
    np.testing.assert_allclose(metrics["ranking/loss"], want, rtol=1e-5)
    # Cross-entropy by hand: the probe as it is in either pair, and the other two.
    layer = cargait.CrossAttention(2, 4)
    look = functools.partial(layer.apply, {"params": params["attention"]})
    dense = params["classifier"]
    terms = []
    for other in (1, 2):
        for one, two in ((0, other), (other, 0)):
            e = x[:, one] + np.asarray(look(x[:, one], x[:, two]))
            hidden = e.reshape(8, -1) @ dense["Dense_0"]["kernel"]
            hidden = np.maximum(hidden + dense["Dense_0"]["bias"], 0)
            logits = hidden @ dense["Dense_1"]["kernel"] + dense["Dense_1"]["bias"]
            right = logits[np.arange(8), values["label"][:, one]]
            terms.append(np.log(np.exp(logits).sum(1)) - right)
    np.testing.assert_allclose(metrics["ce/loss"], np.mean(terms), rtol=1e-4)
    want = metrics["ranking/loss"] + 0.01 * metrics["ce/loss"]
    np.testing.assert_allclose(total, want, rtol=1e-6)


def test_without_classification_there_is_no_classifier():
    method = make(ce_weight=0.0)
    params, _ = method.init(jax.random.key(0), {})
    assert sorted(params) == ["attention"]
    total, metrics = losses(method, params, batch())
    assert sorted(metrics) == ["ranking/loss", "ranking/right"]
    assert total == metrics["ranking/loss"]


def test_validation_ignores_labels():
    method, params, _ = shared()
    values = batch()
    _, want = losses(method, params, values)
    others = {**values, "label": np.full_like(values["label"], 99)}
    for one in (values, others):  # 99: people whom the classifier does not know
        got = jax.jit(method.validate)(params, {}, one)
        assert sorted(got) == ["ranking/loss", "ranking/right"]
        np.testing.assert_allclose(got["ranking/loss"], want["ranking/loss"], rtol=1e-6)


def toy(seed=0):
    """People are told by the first part; the second, much larger, is noise that pairs
    do not share. Cross-attention can take it out."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4, dtype=np.int32), 6)
    x = 0.2 * rng.normal(size=(24, 2, DIMS))
    x[:, 0] += np.eye(4)[labels]
    x[:, 1] += 2 * rng.normal(size=(24, DIMS))
    return Bank({"sils": x.astype(np.float32)}), labels


@pytest.mark.parametrize(
    "scorer", ["attention", pytest.param("binary", marks=pytest.mark.slow)]
)
def test_loss_falls_where_there_is_something_to_learn(scorer):
    method = make({"sils": (2, DIMS)}, scorer=scorer, nearest=10, hidden=16)
    data, labels = toy()
    lists = method.prepare(data, None, labels)
    params, _ = method.init(jax.random.key(0), {})

    def values(step):
        rows = method.source(None, 0, step, labels, lists)
        return {"features": data.take(rows), "label": labels[rows]}

    @jax.jit
    def step(params, one):
        grads = jax.grad(lambda p: method.loss(p, {}, one, None)[0])(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)

    validate = jax.jit(method.validate)

    def measured(params):  # of other steps than those of training
        some = [validate(params, {}, values(step)) for step in range(100, 110)]
        return np.mean([float(one["ranking/loss"]) for one in some])

    before = measured(params)
    for number in range(30):
        params = step(params, values(number))
    assert measured(params) < 0.9 * before


def test_binary_scorer():
    method, params, rescore = shared(scorer="binary")
    x = draw(4, 3, PARTS, DIMS)
    far = rescore(params, x[:, 0], x[:, 1:])
    dense = params["Perceptron_0"]
    for i in range(4):
        for j in (1, 2):
            both = np.concatenate([x[i, 0], x[i, j]]).reshape(-1)
            hidden = both @ dense["Dense_0"]["kernel"] + dense["Dense_0"]["bias"]
            logit = np.maximum(hidden, 0) @ dense["Dense_1"]["kernel"]
            want = -(logit + dense["Dense_1"]["bias"])
            np.testing.assert_allclose(far[i, j - 1], want[0], rtol=1e-4, atol=1e-5)
    values = {"features": x, "label": np.zeros((4, 3), np.int32)}
    total, metrics = losses(method, params, values)
    chance = 1 / (1 + np.exp(np.float64(far)))  # of being one person
    want = -np.mean([np.log(chance[:, 0]), np.log(1 - chance[:, 1])])
    np.testing.assert_allclose(total, want, rtol=1e-5)
    assert sorted(metrics) == ["ranking/loss", "ranking/right"]
    assert metrics["ranking/right"] == np.mean(far[:, 1] >= far[:, 0])


@pytest.mark.parametrize(
    "options, reason",
    [
        (dict(nearest=0), "method_args.nearest"),
        (dict(triplets=0), "method_args.triplets"),
        (dict(heads=0), "method_args.heads"),
        (dict(hidden=0), "method_args.hidden"),
        (dict(features=0), "method_args.features"),
        (dict(scorer="cosine"), "method_args.scorer"),
        (dict(neares=3), "method_args.nearest"),
        (dict(damping=-1.0), "method_args.damping"),
        (dict(ce_weight=-0.1), "method_args.ce_weight"),
        (dict(bases=False), "set method_args.base.workdir"),
        (dict(heads=3), "3 heads do not divide 4 features"),
        (dict(shapes={"a": (3, 4), "b": (3, 5)}), r"a \[3, 4\] and b \[3, 5\]"),
    ],
)
def test_mistakes_are_one_line(options, reason):
    with pytest.raises(GaitError, match=reason) as error:
        jax.eval_shape(make(**options).init, jax.random.key(0), {})
    assert "\n" not in str(error.value)
