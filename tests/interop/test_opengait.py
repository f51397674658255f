"""Key maps: everything has a place, and strangers are all named at once."""

import golden
import jax
import numpy as np
import pytest

from gaitjax.backbones.gaitbase import GaitBase
from gaitjax.errors import GaitError
from gaitjax.interop import opengait
from gaitjax.interop.tables.gaitbase import table as gaitbase_table


def test_every_variable_of_the_network_is_filled():
    spec = golden.load_json("gaitbase")
    got = opengait.to_flax(golden.state_dict(spec), gaitbase_table(), 16)
    model = GaitBase(num_classes=74)
    x, mask = np.zeros((1, 1, 64, 44, 1), np.float32), np.ones((1, 1), np.float32)
    want = jax.eval_shape(lambda: model.init(jax.random.key(0), x, mask, train=False))
    assert jax.tree.map(np.shape, got) == jax.tree.map(np.shape, dict(want))


def test_batch_norm_over_parts_is_reordered():
    """torch keeps [d * p] with the part running fastest, we keep [p, d]."""
    flat = np.arange(6, dtype=np.float32)  # d = 3, p = 2
    state = {"BNNecks.bn1d.weight": flat}
    got = opengait.to_flax(state, gaitbase_table(), 2)
    np.testing.assert_array_equal(
        got["params"]["necks"]["bn"]["scale"], [[0, 2, 4], [1, 3, 5]]
    )


def test_unknown_keys_are_listed():
    state = {"Backbone.what": np.zeros(1), "Head.fc_bin": np.zeros(1)}
    with pytest.raises(GaitError, match=r"2 keys .*: Backbone.what, Head.fc_bin;"):
        opengait.to_flax(state, gaitbase_table(), 16)


@pytest.mark.parametrize(
    "name", sorted(p.stem for p in golden.ROOT.glob("*.npz") if p.stem != "inputs")
)
def test_state_dict_there_and_back(name):
    """Every key, shape and bit of every golden's weights, through its table."""
    spec = golden.load_json(name)
    network = opengait.network_of(spec["model_cfg"], spec["dataset_name"])
    state = golden.state_dict(spec)
    args = network.table, network.num_parts
    back = opengait.to_torch(opengait.to_flax(state, *args), *args)
    assert back.keys() == state.keys()
    for key, array in state.items():
        assert back[key].dtype == array.dtype
        np.testing.assert_array_equal(back[key], array, strict=True)


def test_variables_without_a_name_in_opengait_are_listed():
    table = gaitbase_table()
    with pytest.raises(GaitError, match="2 variables .* params/head/a, params/head/b"):
        opengait.to_torch({"params": {"head": {"a": 1.0, "b": 2.0}}}, table, 16)
