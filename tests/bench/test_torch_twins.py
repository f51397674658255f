"""The PyTorch twins are the networks that they stand for in a benchmark."""

import golden
import jax
import numpy as np
import optax
import pytest

from configs.zoo import common
from gaitjax.bench import network, train
from gaitjax.interop.opengait import network_of, table_of, to_flax
from gaitjax.runtime.optim import make_optimizer
from gaitjax.runtime.precision import with_products

torch = pytest.importorskip("torch")
twins = pytest.importorskip("gaitjax.bench.torch_twins")

NAMES = ("gaitbase", "deepgaitv2_p3d", "gaitset")
LOSSES = dict(
    margin=0.2, triplet_weight=1.0, ce_weight=1.0, ce_scale=16.0, ce_smoothing=0.1
)


def rebuilt(name):
    """The twin of a golden's network, with its weights."""
    spec = golden.load_json(name)
    wanted = network_of(spec["model_cfg"])
    model = twins.make(wanted.backbone, wanted.args, wanted.num_classes)
    assert list(model.state_dict()) == list(spec["state_dict"])
    arrays = golden.state_dict(spec)
    state = {key: torch.from_numpy(x) for key, x in arrays.items()}
    lacking, strange = model.load_state_dict(state, strict=False)
    assert not strange
    assert all(key.endswith("num_batches_tracked") for key in lacking)
    return model


def close(got, want, tolerance=1e-5):
    assert golden.relative_error(got, want) < tolerance


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_goldens(name):
    model, want = rebuilt(name).eval(), golden.load(name)
    sils = torch.from_numpy(golden.load("inputs")["sil"]).float()
    with torch.inference_mode():
        embeddings, logits = model(sils)
    close(embeddings, want["embeddings"])
    if "logits" in want:
        close(logits, want["logits"])


@pytest.mark.parametrize("name", NAMES)
def test_steps_of_the_goldens(name, monkeypatch):
    """Gradients, and two steps: what the optimiser did is in the second loss. Channels
    first: torch's channels-last batch norm on a CPU adds its numbers up one by one,
    5e-4 off. The tolerances are those of `interop/parity_training.py`."""
    monkeypatch.setattr(twins, "frames", lambda sils: sils[:, None])
    monkeypatch.setattr(twins, "channels_last", lambda model: model)
    spec, want = golden.load_json(f"train/{name}"), golden.load(f"train/{name}")
    sils = 255 * want["input_sil"].astype(np.uint8)
    labels, k = want["labels"].astype(np.int32), spec["per_id"]
    model = rebuilt(name)
    loss = twins.make_loss(model, LOSSES, k, "float32")
    loss(torch.from_numpy(sils), torch.from_numpy(labels)).backward()
    least = 1e-6 * max(spec["grad_norms"].values())  # less is rounding
    for key, parameter in model.named_parameters():
        norm = want[f"grad/{key}/norm"]
        error = abs(float(parameter.grad.norm()) - norm)
        assert error < 4e-3 * max(norm, least), key

    optim = {"momentum": 0.9, **spec["optimizer"]}
    optim["name"] = optim.pop("solver").lower()
    config = dict(method_args=LOSSES, optim=optim, data=dict(k=k))
    batch = dict(sils=sils, label=labels)
    step = twins.training(rebuilt(name), config, batch, "float32", compiled=False)
    close(step(), want["total_step1"])
    close(step(), want["total_step2"], 5e-3)


def tiny_config(backbone):
    args = common.sizes(backbone) | common.tiny_sizes(backbone) | {"bins": (4,)}
    return dict(
        method="supervised",
        method_args=LOSSES | dict(backbone=backbone, backbone_args=args),
        optim=dict(name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4),
        data=dict(k=2, frames=3),
    )


def test_step_equals_ours():
    """Shared weights and batch: loss, gradients, weights and statistics after it."""
    config = tiny_config("deepgaitv2")
    args = config["method_args"]
    recipe = network.Recipe("tiny", config, 3, {"sils": (16, 10)})
    batch = network.frames(recipe, 2, 2)
    torch.manual_seed(0)
    model = twins.make("deepgaitv2", args["backbone_args"], 3)
    table = table_of("deepgaitv2", {"mode": "p3d"})

    def as_ours(arrays):
        state = {key: x.detach().numpy().copy() for key, x in arrays}
        return to_flax(state, table, 4)

    start = {key: x.clone() for key, x in model.state_dict().items()}
    stats = as_ours(start.items())
    params = stats.pop("params")
    method = network.make_method(recipe, args, "float32")
    gradient = jax.value_and_grad(method.loss, has_aux=True)
    gradient = jax.jit(with_products(gradient, "float32"))
    (value, (stats, _)), grads = gradient(params, stats, batch, jax.random.key(0))
    tx, _ = make_optimizer(params, 10, schedule="constant", **config["optim"])
    updates, _ = tx.update(grads, tx.init(params), params)

    loss = twins.make_loss(model, args, 2, "float32")
    loss(*(torch.from_numpy(batch[key]) for key in ("sils", "label"))).backward()
    found = as_ours((key, x.grad) for key, x in model.named_parameters())["params"]
    jax.tree.map(lambda x, y: close(x, y, 1e-4), found, grads)

    model.zero_grad()
    model.load_state_dict(start)
    step = twins.training(model, config, batch, "float32", compiled=False)
    close(step(), value)
    after = {"params": optax.apply_updates(params, updates), **stats}
    found = as_ours(model.state_dict().items())
    jax.tree.map(lambda x, y: close(x, y, 1e-4), found, after)


def test_maps_stay_channels_last():
    """Else layers would copy, and PyTorch be slower than it is."""
    args = tiny_config("deepgaitv2")["method_args"]["backbone_args"]
    model = twins.make("deepgaitv2", args, 3).eval()
    first = model.layer0(twins.frames(torch.zeros(2, 3, 16, 10)))
    last = model.layer4(model.layer3(model.layer2(model.layer1(first))))
    for maps in (first, last):
        assert maps.is_contiguous(memory_format=torch.channels_last_3d)
        assert not maps.is_contiguous()


def test_embeddings_are_those_of_evaluation():
    config = tiny_config("gaitbase")
    model = twins.make("gaitbase", config["method_args"]["backbone_args"], 3)
    batch = dict(sils=np.full((2, 3, 16, 10), 51, np.uint8))
    embed = twins.embedding(model, config, batch, "float32", compiled=False)
    with torch.no_grad():
        want, _ = model.eval()(torch.full((2, 3, 16, 10), 0.2))
    close(embed(), want)


@pytest.mark.parametrize("number", range(len(train.CONFIGS)))
def test_benchmark_runs_them(number):
    """Every recipe as it is run on a CPU, of which a call is a step."""
    recipe = train.make_recipe(train.CONFIGS[number], small=True)
    recipe.config["data"].update(p=2, k=2, frames=2)
    batch = network.frames(recipe, 2, 2)
    plan = train.Plan(True, ("float32",), 1, 1)
    kinds = ("training", "embedding") if number < 3 else ("training",)
    for kind in kinds:
        made = train.theirs(kind, recipe, batch, "float32", plan)
        assert tuple(made) == train.THEIRS
        runner = made["torch eager"]()
        runner.once()
        assert runner.peak() is None
