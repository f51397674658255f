"""GaitBase beyond its goldens, which tests/interop/test_parity.py compares."""

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.backbones.gaitbase import GaitBase
from gaitjax.errors import GaitError


@pytest.mark.slow
def test_order_of_frames_does_not_matter():
    model = GaitBase(num_classes=5, channels=(4, 8), strides=(1, 2), bins=(4,))
    x = jnp.asarray(np.random.default_rng(0).random((2, 5, 16, 8, 1)), jnp.float32)
    mask = jnp.ones(x.shape[:2])
    variables = model.init(jax.random.key(0), x, mask, train=False)
    forward, backward = (
        model.apply(variables, frames, mask, train=False) for frames in (x, x[:, ::-1])
    )
    np.testing.assert_allclose(
        forward["embeddings"], backward["embeddings"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.slow
def test_masked_training_equals_the_same_frames_unpadded():
    """Batch statistics, gradients and outputs ignore padded frames."""
    model = GaitBase(num_classes=5, channels=(4, 8), strides=(1, 2), bins=(4,))
    rng = np.random.default_rng(0)
    # Six sequences: of two, the BNNeck would make +1 and -1 whatever they are, and
    # every gradient would be zero.
    x = jnp.asarray(rng.random((6, 4, 16, 8, 1)), jnp.float32)
    mask = jnp.asarray([[1, 1, 1, 0]] * 6, jnp.float32)
    variables = model.init(jax.random.key(0), x, mask, train=False)

    def outcome(x, mask):
        def loss(params):
            out, mutated = model.apply(
                {**variables, "params": params},
                x,
                mask,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.square(out["logits"]).sum(), (out, mutated)

        return jax.grad(loss, has_aux=True)(variables["params"])

    padded = outcome(x, mask)
    plain = outcome(x[:, :3], mask[:, :3])
    errors = jax.tree.leaves(jax.tree.map(golden.relative_error, padded, plain))
    assert max(errors) < 1e-4, errors


def test_bins_that_do_not_divide_the_map_are_an_error():
    model = GaitBase(bins=(7,), channels=(4,), strides=(2,))
    x = jnp.zeros((1, 2, 16, 8, 1))
    with pytest.raises(GaitError, match="7 equal strips"):
        model.init(jax.random.key(0), x, jnp.ones((1, 2)), train=False)
