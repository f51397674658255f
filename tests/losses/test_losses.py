"""The losses against the reference's values and gradients."""

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.interop import parity
from gaitjax.interop.parity_losses import exact_triplet
from gaitjax.losses.triplet import triplet, triplet_from_distances

TRIPLETS = (
    "losses/triplet_mixed",
    "losses/triplet_shuffled",
    "losses/triplet_some_zero",
    "losses/triplet_all_zero",
    "losses/triplet_identical",
    "losses/triplet_weighted",
)
CROSS_ENTROPIES = (
    "losses/ce_default",
    "losses/ce_scale16_smooth",
    "losses/ce_scale1_plain",
    "losses/ce_scale1_smooth",
    "losses/ce_scale31_weight01",
)


@pytest.mark.parametrize("name", TRIPLETS + CROSS_ENTROPIES)
def test_loss_equals_golden(name):
    rows = parity.check_item(golden.ROOT, name)
    assert [row for row in rows if not row.ok] == []
    logged = {"loss", "accuracy"} if "ce_" in name else {"loss_num", "mean_dist"}
    assert {row.what for row in rows} >= {"total", "gradient", *logged}


@pytest.mark.parametrize("name", TRIPLETS)
def test_triplet_equals_explicit_differences(name):
    """In float64, which is what the reference may itself be a little away from."""
    want = golden.load(name)
    x = want["embeddings"].transpose(0, 2, 1)  # [n, p, d]
    loss, grad = exact_triplet(x, want["labels"], float(want["margin"]))

    def total(x):
        labels = jnp.asarray(want["labels"], jnp.int32)
        return triplet(x, labels, margin=float(want["margin"]))[0]

    ours, ours_grad = jax.jit(jax.value_and_grad(total))(jnp.asarray(x))
    assert float(ours) == pytest.approx(loss, rel=1e-5, abs=1e-6)
    scale = max(np.abs(grad).max(), 1e-12)
    assert np.abs(ours_grad - grad).max() <= 5e-5 * scale
    reference = want["grad_embeddings"].transpose(0, 2, 1)
    assert np.abs(reference / want["weight"] - grad).max() <= 5e-5 * scale


def test_golden_counts_agree_with_their_summary():
    summary = golden.load_json("losses/losses")
    assert set(summary) == {n.split("/")[1] for n in TRIPLETS + CROSS_ENTROPIES}
    for name in TRIPLETS:
        counts = golden.load(name)["loss_num"]
        assert counts.tolist() == summary[name.split("/")[1]]["nonzero_per_part"]


@pytest.mark.parametrize(
    "labels", [[0, 0, 0, 1, 1, 2, 5], [0, 1, 2, 3, 4, 5, 6], [2] * 7]
)
def test_triplet_with_unequal_counts_equals_brute_force(labels):
    """The reference needs the same number of sequences per label; ours does not."""
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(7, 3, 4)).astype(np.float32), np.int32(labels)
    want, slopes = exact_triplet(x, labels, 0.5)

    def total(x):
        return triplet(x, jnp.asarray(labels), margin=0.5)[0]

    loss, grad = jax.value_and_grad(total)(jnp.asarray(x))
    assert float(loss) == pytest.approx(want, rel=1e-5)
    np.testing.assert_allclose(grad, slopes, rtol=1e-4, atol=1e-6)


def test_triplets_of_distances_equal_every_one_of_them():
    """Other anchors than samples, equal distances, triplets of exactly nothing."""
    rng = np.random.default_rng(2)
    far = rng.integers(0, 6, (3, 4, 9)).astype(np.float32) / 4  # many ties
    who, other = np.int32([0, 1, 1, 7]), np.int32([0, 0, 1, 1, 1, 2, 3, 0, 1])

    def total(far):
        labels = jnp.asarray(who), jnp.asarray(other)
        return triplet_from_distances(far, *labels, margin=0.25)

    (loss, metrics), grad = jax.value_and_grad(total, has_aux=True)(jnp.asarray(far))
    same = who[:, None] == other
    values = far[..., :, None] - far[..., None, :] + 0.25  # [p, n, m, m]
    values *= same[:, :, None] & ~same[:, None, :]
    values = np.maximum(values, 0)
    count = (values > 0).sum((1, 2, 3))
    np.testing.assert_allclose(loss, (values.sum((1, 2, 3)) / count).mean(), 1e-6)
    np.testing.assert_allclose(metrics["nonzero"], count.mean())
    np.testing.assert_allclose(metrics["hard"], values.max((1, 2, 3)).mean())
    slopes = (values > 0).sum(-1) - (values > 0).sum(-2)
    np.testing.assert_allclose(grad, slopes / count[:, None, None] / 3, rtol=1e-6)


def test_a_sequence_that_is_not_a_number_is_seen_by_the_loss():
    """Also where nobody else has its label, so that it is a negative alone."""
    x = np.random.default_rng(3).normal(size=(5, 2, 4)).astype(np.float32)
    x[4, 1, 0] = np.nan
    labels = jnp.asarray([0, 0, 1, 1, 2], jnp.int32)
    assert jnp.isnan(triplet(jnp.asarray(x), labels)[0])
    assert jnp.isfinite(triplet(jnp.asarray(x[:4]), labels[:4])[0])


def test_triplets_take_the_memory_of_pairs():
    n, p = 64, 4
    labels = jnp.arange(n, dtype=jnp.int32) // 4
    x = jax.ShapeDtypeStruct((n, p, 8), jnp.float32)
    step = jax.jit(jax.value_and_grad(lambda x: triplet(x, labels)[0]))
    planned = step.lower(x).compile().memory_analysis().temp_size_in_bytes
    assert planned < 40 * 4 * p * n * n < 4 * p * n**3
