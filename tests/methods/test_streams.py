"""What the two streams share, part by part."""

import jax
import numpy as np

from gaitjax.methods.streams import Centre


def test_centre_takes_the_running_mean_of_each_modality_away():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 2, 3, 4)).astype(np.float32)  # [n, m, p, d]
    x[:, 1] += 5
    flat = x.reshape(12, 3, 4)
    centre = Centre(2)
    state = centre.init(jax.random.key(0), flat, train=True)
    np.testing.assert_array_equal(state["batch_stats"]["mean"], np.zeros((2, 3, 4)))
    out, new = centre.apply(state, flat, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(out, flat)  # training goes on as without
    np.testing.assert_allclose(
        new["batch_stats"]["mean"], 0.1 * x.mean(0), rtol=1e-5, atol=1e-6
    )
    # At test time neither the batch nor the other modality counts, only what was seen.
    one = centre.apply(new, flat[:2], train=False)
    np.testing.assert_allclose(one, x[0] - 0.1 * x.mean(0), rtol=1e-5, atol=1e-5)
