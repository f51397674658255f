"""One optimiser step of GaitBase against the reference's: loss, gradients, state."""

import golden
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gaitjax.backbones.gaitbase import GaitBase
from gaitjax.interop import opengait
from gaitjax.interop.tables.gaitbase import table as gaitbase_table
from gaitjax.losses.classification import part_cross_entropy
from gaitjax.losses.triplet import triplet
from gaitjax.runtime.optim import make_optimizer


@pytest.fixture(scope="module")
def step():
    """(golden, spec, what our step gives under the same names)."""
    spec, want = golden.load_json("train/gaitbase"), golden.load("train/gaitbase")
    network = golden.load_json("gaitbase")
    table = gaitbase_table()
    variables = opengait.to_flax(golden.state_dict(network), table, 16)
    model = GaitBase(num_classes=spec["model_cfg"]["SeparateBNNecks"]["class_num"])
    x = jnp.asarray(want["input_sil"][..., None], jnp.float32)
    mask, labels = jnp.ones(x.shape[:2]), jnp.asarray(want["labels"], jnp.int32)
    recipe = spec["optimizer"]
    tx, _ = make_optimizer(
        variables["params"],
        10,
        name="sgd",
        lr=recipe["lr"],
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        schedule="constant",
    )

    @jax.jit
    def forward(params, batch_stats):
        def loss(params):
            out, mutated = model.apply(
                {"params": params, "batch_stats": batch_stats},
                x,
                mask,
                train=True,
                mutable=["batch_stats"],
            )
            a, triplet_terms = triplet(out["embeddings"], labels, margin=0.2)
            b, ce_terms = part_cross_entropy(out["logits"], labels, scale=16)
            return a + b, (mutated["batch_stats"], out, triplet_terms, ce_terms)

        return jax.value_and_grad(loss, has_aux=True)(params)

    params, stats = variables["params"], variables["batch_stats"]
    (total, (stats, out, *terms)), grads = forward(params, stats)
    updates, _ = tx.update(grads, tx.init(params), params)
    after = {"params": optax.apply_updates(params, updates), "batch_stats": stats}
    (total2, _), _ = forward(after["params"], stats)
    got = dict(total=total, total2=total2, out=out, terms=terms)
    return want, spec, network, got, {"params": grads}, after


def test_losses(step):
    want, spec, _, got, *_ = step
    assert float(got["total"]) == pytest.approx(float(want["total_step1"]), rel=1e-5)
    assert float(got["total2"]) == pytest.approx(float(want["total_step2"]), rel=1e-3)
    triplet_terms, ce_terms = got["terms"]
    logged = spec["steps"][0]
    assert float(triplet_terms["hard"]) == pytest.approx(
        logged["triplet/hard_loss"], rel=1e-5
    )
    assert float(triplet_terms["nonzero"]) == logged["triplet/loss_num"]
    # Its diagonal is the square root of rounding errors, in the reference too.
    assert float(triplet_terms["mean_dist"]) == pytest.approx(
        logged["triplet/mean_dist"], rel=2e-4
    )
    assert float(ce_terms["accuracy"]) == pytest.approx(logged["softmax/accuracy"])


def test_outputs(step):
    want, _, _, got, *_ = step
    for name in ("embeddings", "logits"):
        ours = np.asarray(got["out"][name]).transpose(0, 2, 1)
        assert golden.relative_error(ours, want[name]) < 1e-5


def torch_order(key: str, array, shape) -> np.ndarray:
    """A Flax array back in the layout that torch keeps under a key."""
    # The layout change is a permutation: apply it to running numbers and invert it.
    numbers = np.arange(np.prod(shape)).reshape(shape)
    moved = opengait.layout_of(key, gaitbase_table())(numbers, 16)
    flat = np.empty(numbers.size, np.float32)
    flat[moved.reshape(-1)] = np.asarray(array).reshape(-1)
    return flat


def test_gradients(step):
    want, spec, network, _, grads, _ = step
    for key in spec["grad_norms"]:
        shape = network["state_dict"][key]["shape"]
        grad = opengait.variable_of(key, grads, gaitbase_table())
        grad = torch_order(key, grad, shape)
        norm = np.linalg.norm(grad.astype(np.float64))
        assert norm == pytest.approx(float(want[f"grad/{key}/norm"]), rel=2e-3), key
        first = want[f"grad/{key}/first32"]
        error = np.abs(grad[: len(first)] - first).max()
        assert error <= 0.02 * np.abs(grad).max(), key


def test_state_after_the_step(step):
    """Weights after SGD with decay, and running statistics (unbiased variance)."""
    want, spec, network, _, grads, after = step
    lr = spec["optimizer"]["lr"]
    checked = 0
    for name, first in want.items():
        if not name.startswith("after_step1/") or "num_batches" in name:
            continue
        key = name.removeprefix("after_step1/").removesuffix("/first32")
        shape = network["state_dict"][key]["shape"]
        table = gaitbase_table()
        ours = torch_order(key, opengait.variable_of(key, after, table), shape)
        if "running" in key:
            allowed = 1e-5 * np.abs(ours).max()
        else:  # what the tolerance of the gradient allows, and rounding
            grad = opengait.variable_of(key, grads, table)
            allowed = 0.02 * lr * float(np.abs(grad).max()) + 1e-6
        assert np.abs(ours[: len(first)] - first).max() <= allowed, key
        checked += 1
    assert checked == sum(
        not key.endswith("num_batches_tracked") for key in network["state_dict"]
    )
