"""A method's step on one device and on four."""

import jax
import numpy as np

from gaitjax.runtime import mesh


def assert_one_equals_four(method, params, model_state, batch, rtol=1e-4):
    """Loss, metrics, gradients, and what the method keeps; the batch is cut in four.

    rtol: of the largest number of an array; sums in another order leave less alike what
    nearly cancels.
    """

    def step(params, model_state, batch):
        key = jax.random.key(0)
        fn = jax.value_and_grad(method.loss, has_aux=True)
        return fn(params, model_state, batch, key)

    found = []
    for number in (1, 4):
        devices = mesh.make_mesh(number)
        jitted = jax.jit(step, out_shardings=mesh.replicated(devices))
        arrays = mesh.to_all((params, model_state), devices)
        sent = mesh.to_devices(batch, devices)
        rows = [x for x in jax.tree.leaves(sent) if x.ndim]
        assert all(len(x.sharding.device_set) == number for x in rows)
        found.append(jax.device_get(jitted(*arrays, sent)))

    def near(one, four):
        scale = np.abs(one).max(initial=0)
        np.testing.assert_allclose(four, one, rtol=0, atol=rtol * scale + 1e-6)

    jax.tree.map(near, *found)
