"""GaitBase and LidarGait against the reference implementation's outputs."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.backbones.gaitbase import GaitBase
from gaitjax.errors import GaitError
from gaitjax.interop import opengait
from gaitjax.interop.tables.gaitbase import table as gaitbase_table

NETWORKS = {"gaitbase": "sil", "lidargait": "depth"}
TOLERANCE = 1e-5


def network_input(key: str, frames: np.ndarray) -> jax.Array:
    """Golden frames [n, s, ...] as network input [n, t, h, w, c]."""
    if key == "depth":
        return jnp.asarray(frames.transpose(0, 1, 3, 4, 2) / 255, jnp.float32)
    return jnp.asarray(frames[..., None], jnp.float32)


def build(spec: dict) -> tuple[GaitBase, dict]:
    config = spec["model_cfg"]
    model = GaitBase(
        num_classes=config["SeparateBNNecks"]["class_num"],
        channels=tuple(config["backbone_cfg"]["channels"]),
        strides=tuple(config["backbone_cfg"]["strides"]),
        bins=tuple(config["bin_num"]),
        features=config["SeparateFCs"]["out_channels"],
    )
    table, parts = gaitbase_table(), sum(config["bin_num"])
    return model, opengait.to_flax(golden.state_dict(spec), table, parts)


@pytest.fixture(scope="module", params=NETWORKS)
def run(request):
    """(golden, inputs, apply) of one network; apply is compiled once per shape."""
    name = request.param
    spec, inputs = golden.load_json(name), golden.load("inputs")
    model, variables = build(spec)

    @jax.jit
    def apply(x, mask):
        return model.apply(
            variables, x, mask, train=False, capture_intermediates=_is_stage
        )

    take = functools.partial(network_input, NETWORKS[name])
    return golden.load(name), spec, inputs, take, apply, variables


def _is_stage(module, method):
    return method == "__call__" and module.name in ("backbone", "fcs")


def test_outputs_and_stages(run):
    want, spec, inputs, take, apply, _ = run
    x = take(inputs[spec["input"]])
    out, state = apply(x, jnp.ones(x.shape[:2]))
    embeddings = np.asarray(out["embeddings"]).transpose(0, 2, 1)
    logits = np.asarray(out["logits"]).transpose(0, 2, 1)
    assert golden.relative_error(embeddings, want["embeddings"]) < TOLERANCE
    assert golden.relative_error(logits, want["logits"]) < TOLERANCE
    maps = state["intermediates"]["backbone"]["__call__"][0]  # [n, t, h, w, c]
    maps = np.asarray(maps).transpose(0, 4, 1, 2, 3)
    assert maps.shape == tuple(want["stage/Backbone#0/shape"])
    scale = np.abs(maps).max()
    first = maps.reshape(-1)[:64]
    assert np.abs(first - want["stage/Backbone#0/first64"]).max() < TOLERANCE * scale
    assert maps.mean(dtype=np.float64) == pytest.approx(
        float(want["stage/Backbone#0/mean"]), rel=1e-5
    )
    assert maps.std(dtype=np.float64) == pytest.approx(
        float(want["stage/Backbone#0/std"]), rel=1e-5
    )


def test_padded_batch_equals_single_sequences(run):
    want, spec, inputs, take, apply, _ = run
    lengths = inputs["var_lengths"]
    frames = inputs[f"var_{spec['input']}"].copy()
    mask = np.arange(frames.shape[1]) < lengths[:, None]
    frames[~mask] = 201  # what lies in the padding must not matter
    out, _ = apply(take(frames), jnp.asarray(mask, jnp.float32))
    embeddings = np.asarray(out["embeddings"]).transpose(0, 2, 1)
    logits = np.asarray(out["logits"]).transpose(0, 2, 1)
    assert golden.relative_error(embeddings, want["var_embeddings"]) < TOLERANCE
    assert golden.relative_error(logits, want["var_logits"]) < TOLERANCE
    assert golden.relative_error(embeddings, want["packed_embeddings"]) < 2 * TOLERANCE


def test_parameter_count(run):
    _, spec, *_, variables = run
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert count == spec["parameters"]


def test_order_of_frames_does_not_matter(run):
    _, spec, inputs, take, apply, _ = run
    x = take(inputs[spec["input"]])
    mask = jnp.ones(x.shape[:2])
    forward, _ = apply(x, mask)
    backward, _ = apply(x[:, ::-1], mask)
    np.testing.assert_allclose(
        forward["embeddings"], backward["embeddings"], rtol=1e-5, atol=1e-4
    )


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
