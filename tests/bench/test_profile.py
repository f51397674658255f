"""Time by kernel: nested events, names of places, and a real trace."""

import jax
import jax.numpy as jnp
import pytest

from gaitjax.bench import profile
from gaitjax.errors import GaitError


def test_own_time_is_less_what_is_inside():
    events = [(0, 100, "while"), (10, 20, "dot"), (40, 30, "dot"), (120, 5, "add")]
    events.append((45, 10, "copy"))  # inside the second dot
    found = sorted(profile.own_times(events))
    assert found == [("add", 5), ("copy", 10), ("dot", 20), ("dot", 20), ("while", 50)]


def test_place_names_layers_and_direction():
    forward = "jit(step)/jit(main)/jvp(Net)/backbone/conv1/conv_general_dilated"
    assert profile.place(forward) == "Net/backbone/conv1/conv_general_dilated"
    backward = "jit(step)/transpose(jvp(Net))/backbone/conv1/while/dot_general"
    assert profile.place(backward) == "<- Net/backbone/conv1/dot_general"


def test_layers_add_up():
    kernels = [
        profile.Kernel("a", "Net/conv1/x/add", 1, 2.0),
        profile.Kernel("b", "Net/conv1/x/mul", 1, 3.0),
        profile.Kernel("c", "", 1, 1.0),
    ]
    assert profile.by_layer(kernels) == [("Net/conv1/x", 5.0), ("(not said)", 1.0)]


def test_kernels_are_of_the_longest_name():
    kernels = [
        profile.Kernel("a", "Net/conv/add", 1, 2.0),
        profile.Kernel("b", "<- Net/conv/dot", 1, 3.0),
        profile.Kernel("c", "Net/conv1/dot", 1, 5.0),
        profile.Kernel("d", "Net/conv1/inner/dot", 1, 7.0),
        profile.Kernel("e", "", 1, 1.0),
    ]
    found = profile.of_layers(kernels, ["Net/conv", "Net/conv1/inner", "Net/conv1"])
    assert found == {"Net/conv": 5, "Net/conv1": 5, "Net/conv1/inner": 7, "": 1}


def test_a_trace_of_a_program(tmp_path):
    def layer(x):
        with jax.named_scope("layer"):
            return jnp.tanh(x @ x)

    x = jnp.ones((256, 256))
    program = jax.jit(layer).lower(x).compile()
    profile.record(lambda: jax.block_until_ready(program(x)), 3, tmp_path)
    found = profile.kernels(tmp_path, program, 3)
    (product,) = [kernel for kernel in found if kernel.place == "layer/dot_general"]
    assert product.ms > 0 and product.calls == 1
    assert [kernel.ms for kernel in found] == sorted(
        (kernel.ms for kernel in found), reverse=True
    )


def test_no_trace_is_said(tmp_path):
    with pytest.raises(GaitError, match="holds no trace"):
        profile.kernels(tmp_path, None, 1)
