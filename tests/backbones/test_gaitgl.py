"""GaitGL. Its goldens are run by tests/interop/test_parity.py."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_networks

from gaitjax.backbones.gaitgl import GLConv, make, repeat_short
from gaitjax.errors import GaitError
from gaitjax.interop.opengait import network_of

SMALL = dict(channels=(2, 3, 4, 4), halvings=1)
GOLDENS = {
    "gaitgl_casiab": dict(
        channels=(32, 64, 128, 128), convs=1, halvings=3, bnneck=False
    ),
    "gaitgl_oumvlp": dict(
        channels=(32, 64, 128, 256), convs=2, halvings=1, bnneck=False
    ),
    "gaitgl_grew_bnneck": dict(
        channels=(32, 64, 128, 256), convs=2, halvings=1, bnneck=True
    ),
}


@pytest.fixture
def x():
    """Random frames [6, 10, 8, 4, 1]."""
    return jnp.asarray(np.random.default_rng(0).random((6, 10, 8, 4, 1)), jnp.float32)


@pytest.mark.parametrize("name", GOLDENS)
def test_config_of_the_reference(name):
    """It is the data set's name that chooses the network."""
    spec = golden.load_json(name)
    network = network_of(spec["model_cfg"], spec["dataset_name"])
    assert network.backbone == "gaitgl" and network.args == GOLDENS[name]
    assert network.num_classes == spec["logits"]["shape"][1]
    assert network.num_parts == 64


def test_the_golden_step_is_of_the_golden_network():
    step = golden.load_json("train/gaitgl_casiab")
    assert step["model_cfg"] == golden.load_json("gaitgl_casiab")["model_cfg"]


def test_padding_does_not_matter(x):
    """Down to one frame, and to lengths that three does not divide."""
    model = make(5, jnp.float32, **SMALL)
    assert small_networks.padding_error(model, x[:4], (10, 1, 2, 5)) < 1e-5


@pytest.mark.slow
def test_masked_training_equals_the_same_frames_unpadded(x):
    model = make(5, jnp.float32, convs=2, bnneck=True, **SMALL)
    assert small_networks.masked_training_error(model, x[:, :8], 7) < 1e-4


def test_short_sequences_are_repeated(x):
    """1 frame is taken three times; 2 twice, as 0 1 0 1, of which LTA takes three."""
    model = make(0, jnp.float32, **SMALL)
    variables = small_networks.some_variables(model, x, jnp.ones((6, 10)))
    apply = jax.jit(functools.partial(model.apply, variables, train=False))

    def embed(frames):
        """Frames of x, others where a row of 4 is padded."""
        mask = jnp.asarray(np.arange(4) < len(frames), jnp.float32)[None]
        row = jnp.asarray(frames + [9] * (4 - len(frames)))
        return apply(x[:1, row], mask)["embeddings"]

    np.testing.assert_allclose(embed([0]), embed([0, 0, 0]), rtol=1e-5)
    np.testing.assert_allclose(embed([0, 1]), embed([0, 1, 0, 1]), rtol=1e-5)
    assert np.abs(embed([0, 1]) - embed([0, 1, 0])).max() > 1e-4


def test_repeat_by_hand():
    x = jnp.arange(15.0).reshape(3, 5)[..., None]
    mask = jnp.asarray([[1.0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    got, length = repeat_short(x, mask)
    assert length.tolist() == [3, 4, 5]
    assert got[0, :3, 0].tolist() == [0, 0, 0]
    assert got[1, :4, 0].tolist() == [5, 6, 5, 6]
    np.testing.assert_array_equal(got[2], x[2])


def test_whole_and_strips():
    """Without its strips a stage sees over their border, with them alone it does not;
    concatenated, the strips' rows come after the whole's."""
    x = jnp.zeros((1, 1, 4, 2, 1)).at[0, 0, 2].set(1)  # the first row below the border
    model = GLConv(1, strips=2, concat=True)
    params = model.init(jax.random.key(0), x)["params"]
    out = model.apply({"params": jax.tree.map(jnp.ones_like, params)}, x)
    assert out.shape == (1, 1, 8, 2, 1)
    assert out[0, 0, :, 0, 0].tolist() == [0, 2, 2, 2, 0, 0, 2, 2]


def test_half_precision():
    sizes = dict(channels=(4, 6, 8, 8), halvings=3)
    assert small_networks.half_precision_cosine(make, **sizes) > 0.999


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"channels": (4, 4, 4)}, "channels: expected 4 numbers, got 3"),
        ({"convs": 0}, "convs: expected at least 1"),
        ({"halvings": -1}, "halvings: expected 0 to 6"),
    ],
)
def test_sizes_that_make_no_network(args, line):
    with pytest.raises(GaitError, match=line):
        make(5, jnp.float32, **args)


def test_strips_that_do_not_divide(x):
    model = make(0, jnp.float32, channels=(2, 2, 2, 2), halvings=3)
    with pytest.raises(GaitError, match="4 rows cannot be cut into 8"):
        model.init(jax.random.key(0), x, jnp.ones((6, 10)), train=False)
