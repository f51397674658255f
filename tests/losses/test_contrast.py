"""ClusterNCE, the memory's update and the instance loss against twins in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.losses import contrast

NCE = jax.jit(jax.value_and_grad(contrast.cluster_nce, (0, 1), has_aux=True))
UPDATE = jax.jit(contrast.update)


def units(seed, *shape):
    x = np.random.default_rng(seed).normal(size=shape)
    return np.float32(x / np.linalg.norm(x, axis=-1, keepdims=True))


def test_flat_unit():
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    x[1] = 0
    flat = np.asarray(contrast.flat_unit(jnp.asarray(x, jnp.bfloat16)))
    assert flat.shape == (3, 20) and flat.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), [1, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(flat[2] @ x[2].ravel(), np.linalg.norm(x[2]), rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_cluster_nce_is_the_formula_on_the_filled_rows(temperature):
    q, memory = units(1, 6, 8), units(2, 7, 8)
    memory[5:] = q[:2]  # places without a cluster: the nearest of all, if they counted
    target = np.int32([0, 4, 2, 2, 1, -1])
    filled = np.float32([1] * 5 + [0] * 2)
    (loss, values), grads = NCE(q, memory, filled, target, temperature)

    logits = np.float64(q[:5]) @ np.float64(memory[:5]).T / temperature
    each = np.log(np.exp(logits).sum(1)) - logits[np.arange(5), target[:5]]
    np.testing.assert_allclose(float(loss), each.mean(), rtol=1e-5)
    assert float(values["accuracy"]) == pytest.approx(
        (logits.argmax(1) == target[:5]).mean()
    )
    own = (q[:5] * memory[target[:5]]).sum(1).mean()
    np.testing.assert_allclose(float(values["similarity"]), own, rtol=1e-5)
    # d loss / d q = sum of (share - 1 at the own) C / temperature / n
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    share[np.arange(5), target[:5]] -= 1
    want = share @ np.float64(memory[:5]) / temperature / 5
    np.testing.assert_allclose(grads[0][:5], want, rtol=1e-4, atol=1e-6)
    assert not np.any(grads[0][5]) and not np.any(grads[1])  # outlier, memory


def test_cluster_nce_of_outliers_alone_is_nothing():
    (loss, _), grads = NCE(units(1, 2, 8), units(2, 3, 8), np.ones(3), -np.ones(2, int))
    assert float(loss) == 0 and not np.any(grads[0])


def looped(memory, q, rows, momentum):
    memory = np.float64(memory)
    for sample, row in zip(np.float64(q), rows, strict=True):
        for j in row:
            if j >= 0:
                moved = momentum * memory[j] + (1 - momentum) * sample
                memory[j] = moved / np.linalg.norm(moved)
    return memory


@pytest.mark.parametrize("momentum", [0.0, 0.3, 1.0])
def test_update_is_a_loop_over_samples(momentum):
    memory, q = units(3, 6, 8), units(4, 9, 8)
    memory[5] = 0  # no cluster here
    rows = np.random.default_rng(5).permuted(np.tile(np.arange(5), (9, 1)), axis=1)
    rows = np.int32(rows[:, :2])
    rows[2, 1], rows[7] = -1, -1
    new = np.asarray(UPDATE(memory, q, rows, momentum))
    np.testing.assert_allclose(new, looped(memory, q, rows, momentum), atol=2e-6)
    assert not new[5].any()
    if momentum == 0.3:  # the order of the samples matters
        again = np.asarray(UPDATE(memory, q[::-1], rows[::-1], momentum))
        assert np.abs(again - new).max() > 0.01


def test_update_leaves_the_others_bit_for_bit():
    memory, q = units(3, 6, 8), units(4, 2, 8)
    new = np.asarray(UPDATE(memory, q, np.int32([[1, -1], [-1, -1]]), 0.5))
    np.testing.assert_array_equal(np.delete(new, 1, 0), np.delete(memory, 1, 0))
    assert np.abs(new[1] - memory[1]).max() > 0.01


def test_momentum_falls_along_a_cosine():
    found = [float(contrast.momentum(jnp.float32(t))) for t in (0, 0.5, 0.25, 1)]
    want = [0.5, 0.3, 0.1 + 0.2 * (1 + np.sqrt(0.5)), 0.1]
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_instances_is_symmetric_infonce_between_the_clips():
    first, second = np.float64(units(6, 4, 8)), np.float64(units(7, 4, 8))

    def one(a, b):
        logits = 16 * a @ b.T
        return np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))

    want = (one(first, second) + one(second, first)) / 2
    q = np.float32(np.concatenate([first, second]))
    label = np.int32([7, 3, 5, 1] * 2)
    run = jax.jit(jax.value_and_grad(contrast.instances, (0, 2), has_aux=True))
    (loss, values), grads = run(q, label, q)
    np.testing.assert_allclose(float(loss), want, rtol=1e-5)
    cross = first @ second.T
    hits = (cross.argmax(1) == np.arange(4)).sum() + (
        cross.argmax(0) == np.arange(4)
    ).sum()
    assert float(values["accuracy"]) == pytest.approx(hits / 8)
    assert not np.any(grads[1]) and np.all(np.isfinite(grads[0]))
    # Targets by default q itself, and still no gradient through them.
    own = jax.grad(lambda q: contrast.instances(q, jnp.asarray(label))[0])(q)
    np.testing.assert_allclose(own, grads[0], rtol=1e-5, atol=1e-7)
    # Clips of a sequence side by side: the same.
    order = np.array([2, 6, 0, 4, 1, 5, 3, 7])
    np.testing.assert_allclose(
        float(run(q[order], label[order], q[order])[0][0]), want, rtol=1e-5
    )


def test_a_sequence_with_one_clip_does_not_count():
    q = units(8, 5, 8)
    label = np.int32([0, 1, 0, 1, 2])
    loss, _ = contrast.instances(jnp.asarray(q), jnp.asarray(label))
    # Its clip is a first one: seen by the second clips, never an anchor.
    logits = 16 * np.float64(q) @ np.float64(q).T
    each = [
        np.log(np.exp(logits[i, others]).sum()) - logits[i, other]
        for i, other, others in (
            (0, 2, [2, 3]),
            (1, 3, [2, 3]),
            (2, 0, [0, 1, 4]),
            (3, 1, [0, 1, 4]),
        )
    ]
    np.testing.assert_allclose(float(loss), np.mean(each), rtol=1e-5)
