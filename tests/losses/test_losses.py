"""The losses against the reference's values and gradients."""

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.losses.classification import part_cross_entropy
from gaitjax.losses.triplet import triplet

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


def numpy_triplet(x, labels, margin) -> tuple[float, np.ndarray]:
    """The loss and its gradient in float64 from explicit differences, x [n, p, d]."""
    x = x.astype(np.float64)
    same = labels[:, None] == labels
    loss, grad = 0.0, np.zeros_like(x)
    for p in range(x.shape[1]):
        apart = x[:, None, p] - x[None, :, p]  # [n, n, d]
        d = np.sqrt(np.square(apart).sum(-1))
        values = d[:, :, None] - d[:, None, :] + margin
        active = same[:, :, None] & ~same[:, None, :] & (values > 0)
        count = max(active.sum(), 1) * x.shape[1]
        loss += values[active].sum() / count
        slope = (active.sum(2) - active.sum(1))[..., None] / count  # d loss / d d
        pull = slope * apart / np.where(d > 0, d, 1)[..., None]
        grad[:, p] = pull.sum(1) - pull.sum(0)
    return loss, grad


@pytest.mark.parametrize("name", TRIPLETS)
def test_triplet_equals_golden(name):
    want = golden.load(name)
    x = want["embeddings"].transpose(0, 2, 1)  # [n, p, d]
    labels = jnp.asarray(want["labels"], jnp.int32)
    margin, weight = float(want["margin"]), float(want["weight"])

    def total(x):
        loss, metrics = triplet(x, labels, margin=margin)
        return weight * loss, metrics

    (loss, metrics), grad = jax.value_and_grad(total, has_aux=True)(jnp.asarray(x))
    assert float(loss) == pytest.approx(float(want["total"]), rel=1e-5, abs=1e-6)
    assert float(metrics["nonzero"]) == pytest.approx(want["loss_num"].mean())
    # Logged only, and the distances of a sequence to itself are rounding errors.
    for ours, theirs in (("hard", "hard_loss"), ("mean_dist", "mean_dist")):
        value = float(want[theirs].mean())
        assert float(metrics[ours]) == pytest.approx(value, rel=5e-5)
    # Where distances are tiny the expansion |x|^2 + |y|^2 - 2xy loses digits in the
    # reference too, so its own distance from float64 is what we may be off by.
    reference = want["grad_embeddings"].transpose(0, 2, 1)
    _, truth = numpy_triplet(x, want["labels"], margin)
    scale = max(np.abs(reference).max(), 1e-12)
    noise = np.abs(reference - weight * truth).max() / scale
    assert noise < 5e-5
    assert np.abs(grad - reference).max() <= (1e-5 + noise) * scale
    assert np.abs(grad - weight * truth).max() <= max(1e-5, noise) * scale


def test_golden_counts_agree_with_their_summary():
    summary = golden.load_json("losses/losses")
    assert set(summary) == {n.split("/")[1] for n in TRIPLETS + CROSS_ENTROPIES}
    for name in TRIPLETS:
        counts = golden.load(name)["loss_num"]
        assert counts.tolist() == summary[name.split("/")[1]]["nonzero_per_part"]


def test_triplet_with_unequal_counts_equals_brute_force():
    """The reference needs the same number of sequences per label; ours does not."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 3, 4)).astype(np.float32)
    labels = np.array([0, 0, 0, 1, 1, 2, 5], np.int32)
    loss, _ = triplet(jnp.asarray(x), jnp.asarray(labels), margin=0.5)
    assert float(loss) == pytest.approx(numpy_triplet(x, labels, 0.5)[0], rel=1e-5)


@pytest.mark.parametrize("name", CROSS_ENTROPIES)
def test_cross_entropy_equals_golden(name):
    want = golden.load(name)
    logits = jnp.asarray(want["logits"].transpose(0, 2, 1))  # [n, p, k]
    labels = jnp.asarray(want["labels"], jnp.int32)
    smoothing = float(want["eps"]) if want["label_smooth"] else 0.0

    def total(logits):
        loss, metrics = part_cross_entropy(
            logits, labels, scale=float(want["scale"]), smoothing=smoothing
        )
        return float(want["weight"]) * loss, metrics

    (loss, metrics), grad = jax.value_and_grad(total, has_aux=True)(logits)
    assert float(loss) == pytest.approx(float(want["total"]), rel=1e-5)
    assert float(metrics["loss"]) == pytest.approx(float(want["loss"]), rel=1e-5)
    assert float(metrics["accuracy"]) == pytest.approx(float(want["accuracy"]))
    ours = np.asarray(grad).transpose(0, 2, 1)
    assert golden.relative_error(ours, want["grad_logits"]) < 1e-5
