"""Steps one by one and in one program are the same steps."""

import jax
import jax.numpy as jnp

from configs.zoo import common
from gaitjax.bench import dispatch, train


def test_a_scan_is_as_many_steps():
    def step(state, batch):
        return 2 * state + batch, {"loss": state}

    last, metrics = jax.jit(dispatch.scanned(step))(jnp.float32(1), jnp.float32(3))
    state, losses = 1, []
    for _ in range(dispatch.STEPS):
        losses.append(state)
        state = 2 * state + 3
    assert float(last) == state
    assert metrics["loss"].tolist() == losses


def test_rows_of_a_network():
    recipe = train.make_recipe(dispatch.CONFIGS[1], small=True)
    recipe.config["method_args"]["backbone_args"].update(common.tiny_sizes("gaitset"))
    recipe.config["data"].update(p=2, k=2, frames=2)
    rows = list(dispatch.compared(recipe, "float32", 2))
    assert [row.unit for row in rows] == ["ms", "ms", "times", "ms"]
    assert "one by one / a scan of 8" in rows[2].what
    assert all(0 < row.least <= row.median <= row.most for row in rows)
