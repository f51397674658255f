"""Exponents, and the rows and panels that they come in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.bench import growth, network


def test_exponent_of_a_power():
    sizes = np.array([2, 4, 8, 16])
    assert growth.exponent(sizes, 3 * sizes**1.5) == pytest.approx(1.5)
    assert growth.exponent(sizes, np.full(4, 7.0)) == pytest.approx(0, abs=1e-12)


def square(size):
    """A program that keeps size^2 numbers and works size^3 on them."""
    x = jnp.ones((size, size))
    compiled = jax.jit(lambda x: x @ x).lower(x).compile()
    return growth.Program(
        lambda: jax.block_until_ready(compiled(x)), network.memory(compiled)
    )


def test_rows_of_an_axis_and_its_panel():
    axis = growth.Axis("product", "side", (64, 128, 256), square)
    rows = list(growth.grown(axis, 2))
    *points, time, memory = rows
    assert [row.unit for row in points] == ["ms", "MiB"] * 3
    assert time.what == "product, side: time" and time.unit == "exponent"
    assert memory.median == pytest.approx(2, abs=0.1)
    page = growth.plot(rows)
    (panel, _) = page.axes
    assert panel.get_xlabel() == "product, side" and panel.get_xscale() == "log"
    line = panel.lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [64, 128, 256])


@pytest.mark.slow
def test_every_axis_makes_a_program_of_its_smallest_size():
    axes = [*growth.training(True, True), *growth.searching(True, True)]
    assert {axis.of for axis in axes} == {
        *("people x 2", "frames", "identities", "gallery", "probes", "parts")
    }
    for axis in axes[::3]:
        assert axis.make(min(axis.sizes)).memory > 0
