"""The supervised method: what a backbone is given, and the losses it is given to."""

import jax
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.methods import api

SHAPES = {"sils": (16, 12), "smpl": (85,), "heatmaps": (16, 12, 2)}
SMPLGAIT = {"layers": ("BC-2", "M", "BC-3"), "bins": (2,), "features": 4}


def build(num_classes=2, **args):
    return api.make("supervised", api.Info(num_classes, SHAPES), args)


@pytest.fixture
def batch():
    """Four sequences of three frames, two of each of two people."""
    rng = np.random.default_rng(0)
    return {
        "sils": np.uint8(rng.integers(0, 256, (4, 3, 16, 12))),
        "smpl": np.float32(300 * rng.normal(size=(4, 3, 85))),
        "mask": np.ones((4, 3), np.float32),
        "label": np.array([0, 0, 1, 1], np.int32),
    }


def one_step(method, batch):
    """(embeddings, metrics, gradients) of freshly initialised weights."""
    key = jax.random.key(0)
    params, state = jax.jit(method.init)(key, batch)
    grads, (_, metrics) = jax.jit(jax.grad(method.loss, has_aux=True))(
        params, state, batch, key
    )
    return jax.jit(method.embed)(params, state, batch), metrics, grads


def test_two_inputs(batch):
    """Images in [0, 1], the rest as it is; one view, called by both."""
    method = build(backbone="smplgait", backbone_args=SMPLGAIT, inputs=("sils", "smpl"))
    assert method.train_keys == method.embed_keys == ("sils", "smpl")
    views, metrics, grads = one_step(method, batch)
    assert {name: x.shape for name, x in views.items()} == {"sils+smpl": (4, 2, 4)}
    assert {"triplet/loss", "ce/loss"} <= metrics.keys()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_numbers_are_not_scaled_as_pictures_are(batch):
    args = dict(backbone="smplgait", backbone_args=SMPLGAIT, inputs=("smpl", "sils"))
    method = build(downsample=2, **args)
    params, state = jax.jit(method.init)(jax.random.key(0), batch)
    kernel = params["straighten"]["fc1"]["kernel"]
    assert kernel.shape == (85, 128)
    # 16 x 12 averaged to 8 x 6, pooled to 4 x 3: a matrix of 4 x 4 per frame.
    assert params["straighten"]["fc3"]["kernel"].shape[1] == 16
    embed = jax.jit(method.embed)
    plain = embed(params, state, batch)["smpl+sils"]
    # Times 255 of weights 255 times smaller: the same, if no one divides.
    scaled = {**batch, "smpl": batch["smpl"] * 255}
    params["straighten"]["fc1"]["kernel"] = kernel / 255
    got = embed(params, state, scaled)["smpl+sils"]
    np.testing.assert_allclose(got, plain, rtol=1e-4, atol=1e-5)
    assert np.abs(plain - embed(params, state, batch)["smpl+sils"]).max() > 1e-3


@pytest.mark.slow
def test_logits_of_other_parts_than_the_embeddings(batch):
    """GLN: a row of logits, nine of embeddings."""
    args = {"channels": (2, 2, 2), "bins": (2, 1), "lateral": 3, "features": 4}
    views, metrics, grads = one_step(build(backbone="gln", backbone_args=args), batch)
    assert views["sils"].shape == (4, 9, 4)
    assert float(metrics["ce/loss"]) > 0
    assert 4 * float(metrics["ce/accuracy"]) in (0, 1, 2, 3, 4)
    assert np.abs(grads["compact"]["classifier"]["kernel"]).max() > 0
    assert np.abs(grads["fcs"]["kernel"]).max() > 0


def test_network_without_classifier(batch):
    args = {"channels": (2, 2, 2), "bins": (2, 1), "features": 4}
    method = build(backbone="gaitset", backbone_args=args, ce_weight=0.0)
    _, metrics, _ = one_step(method, batch)
    assert {name.split("/")[0] for name in metrics} == {"triplet"}


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"backbone": "smplgait"}, "smplgait takes sils, smpl, got sils; set it to"),
        ({"inputs": ("sils", "smpl")}, "gaitbase takes one modality, got sils, smpl"),
        ({"inputs": ()}, "gaitbase takes one modality, got none"),
        ({"inputs": ("ranges",)}, "inputs=ranges, but the data has sils, smpl"),
        ({"inputs": "sils"}, "method_args.inputs: expected tuple"),
        ({"backbone": "gaitset"}, "gaitset has no classifier"),
        ({"input": "sils"}, "did you mean method_args.inputs?"),
        (
            {"backbone": "smplgait", "inputs": ("smpl", "sils"), "downsample": 5},
            "downsample=5 does not divide sils of 16 x 12",
        ),
    ],
)
def test_mistakes(args, line):
    with pytest.raises(GaitError) as error:
        build(**args)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_probabilities_of_classes(batch):
    """Of the argmax that the logged accuracy counts, and one together."""
    plain = {"layers": ("BC-2", "M", "BC-3"), "bins": (2,), "features": 4}
    args = dict(backbone="smplgait", backbone_args=plain, inputs=("sils", "smpl"))
    method = build(**args, gives="classes", ce_scale=16.0)
    params, state = jax.jit(method.init)(jax.random.key(0), batch)
    found = jax.jit(method.embed)(params, state, batch)["sils+smpl"]
    assert found.shape == (4, 1, 2)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-6)
    with pytest.raises(GaitError, match="wants a classifier"):
        build(**args, gives="classes", ce_weight=0.0)
