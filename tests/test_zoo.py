"""The zoo against the published recipes, written out again from their sources."""

import importlib
import pathlib
import re

import jax
import numpy as np
import pytest

from configs import common
from gaitjax.data.builders.recipe import make_recipe
from gaitjax.errors import GaitError
from gaitjax.methods.supervised import find_backbone
from gaitjax.retrieval import protocols
from gaitjax.run import check_config
from gaitjax.runtime.optim import _group_labels, make_optimizer
from tools import try_configs

SGD = ("sgd", 0.1, 5e-4)
ADAM = ("adam", 1e-4, 0.0)
ADAM_DECAY = ("adam", 1e-4, 5e-4)
ADAM_FAST = ("adam", 1e-3, 5e-4)  # of the Gait3D-Parsing recipes
ADAMW = ("adamw", 3e-4, 0.02)
NONE = (0, 0, 0, 0)  # perspective, flip, rotate, erase
THREE = (0.2, 0.2, 0.2, 0)
TRIPLET = (0.0, 16.0, 0.1)  # cross-entropy: weight, scale, smoothing
BOTH = (1.0, 16.0, 0.1)
TENTH = (0.1, 16.0, 0.1)
GL_PLAIN, GL_SMOOTH = (1.0, 1.0, 0.0), (1.0, 1.0, 0.1)
# P, K; frames, fewest and most; frames left out of an ordered window (None:
# unordered); optimiser; milestones; steps, in thousands; augmentation; losses.
# Table of specs/opengait.md 3.12 (OpenGait's configs/ at 0efafd47).
DEEP = ((30, 30), 4, SGD)
ROWS = {
    "gaitset_casia_b": (8, 16, (30, 30), None, SGD, (10, 20, 30), 40, NONE, TRIPLET),
    "gaitset_oumvlp": (32, 16, (30, 30), None, ADAM, (150,), 250, NONE, TRIPLET),
    "gaitset_grew": (32, 4, (30, 30), None, ADAM, (150,), 250, NONE, TRIPLET),
    "gaitpart_casia_b": (8, 16, (30, 30), 10, ADAM, (100,), 120, NONE, TRIPLET),
    "gaitpart_oumvlp": (32, 16, (30, 30), 10, ADAM, (150,), 250, NONE, TRIPLET),
    "gaitpart_grew": (32, 4, (30, 30), 10, ADAM, (150,), 250, NONE, TRIPLET),
    "gaitgl_casia_b": (8, 8, (30, 30), 0, ADAM_DECAY, (70,), 80, NONE, GL_PLAIN),
    "gaitgl_oumvlp": (32, 8, (30, 30), 0, ADAM, (150, 200), 210, NONE, GL_SMOOTH),
    "gaitgl_grew": (32, 4, (30, 30), 0, ADAM, (150, 200), 250, NONE, GL_SMOOTH),
    "gaitgl_grew_bnneck": (32, 4, (30, 30), 0, ADAM, (150, 200), 250, NONE, GL_SMOOTH),
    "gaitbase_casia_b": (8, 16, (30, 30), None, SGD, (20, 40, 50), 60)
    + ((0, 0, 0.3, 0.3), BOTH),
    "gaitbase_oumvlp": (32, 8, (30, 30), None, SGD, (60, 80, 100), 120, NONE, BOTH),
    "gaitbase_grew": (32, 4, (20, 40), None, SGD, (80, 120, 150), 180, THREE, BOTH),
    "gaitbase_gait3d": (32, 4, (10, 50), None, SGD, (20, 40, 50), 60, THREE, BOTH),
    "gaitbase_ccpg": (8, 16, (30, 30), None, SGD, (20, 40, 50), 60, NONE, BOTH),
    "deepgaitv2_casia_b": (8, 16, *DEEP, (20, 40, 50), 60, THREE, BOTH),
    "deepgaitv2_ccpg": (8, 16, *DEEP, (20, 40, 50), 60, THREE, BOTH),
    "deepgaitv2_oumvlp": (32, 8, *DEEP, (60, 80, 100), 120, THREE, BOTH),
    "deepgaitv2_grew": (32, 4, *DEEP, (80, 120, 150), 180, THREE, BOTH),
    "deepgaitv2_gait3d": (32, 4, *DEEP, (20, 40, 50), 60, THREE, BOTH),
    "deepgaitv2_sustech1k": (8, 8, (10, 10), 4, SGD, (20, 30, 40), 50, THREE, BOTH),
    "swingait_ccpg": (8, 16, (30, 30), 4, ADAMW, (), 80, THREE, BOTH),
    # The table has one row for this and CCPG, of 30 frames; the file has 10.
    "swingait_sustech1k": (8, 8, (10, 10), 4, ADAMW, (), 60, THREE, BOTH),
    "swingait_grew": (32, 4, (30, 30), 4, ADAMW, (), 200, THREE, BOTH),
    "swingait_gait3d": (32, 4, (30, 30), 4, ADAMW, (), 80, THREE, BOTH),
    "skeletongait_ccpg": (8, 16, *DEEP, (20, 30, 40), 60, THREE, BOTH),
    "skeletongait_grew": (32, 4, *DEEP, (80, 120, 150), 180, THREE, BOTH),
    "skeletongait_gait3d": (32, 4, *DEEP, (20, 30, 40), 60, THREE, BOTH),
    "skeletongait_sustech1k": (8, 8, (10, 10), None, SGD, (20, 30, 40), 50)
    + (THREE, BOTH),
    "skeletongait_oumvlp": (32, 8, *DEEP, (60, 80, 100), 120, (0, 0.5, 0, 0), BOTH),
    "skeletongaitpp_ccpg": (8, 16, *DEEP, (20, 30, 40), 60, THREE, BOTH),
    "skeletongaitpp_grew": (32, 4, *DEEP, (80, 120, 150), 180, THREE, BOTH),
    "skeletongaitpp_gait3d": (32, 4, *DEEP, (20, 30, 40), 60, THREE, BOTH),
    "skeletongaitpp_sustech1k": (8, 8, (10, 10), 4, SGD, (20, 30, 40), 50, THREE, BOTH),
    "smplgait_gait3d": (32, 4, (30, 30), None, SGD, (20, 40, 50), 60, NONE, TENTH),
    "lidargait_sustech1k": (8, 8, (10, 10), None, SGD, (20, 30), 40, NONE, BOTH),
    "gln_casia_b_p1": (8, 16, (30, 30), 0, SGD, (10, 20, 30), 40, NONE, TRIPLET),
    "gln_casia_b_p2": (8, 16, (30, 30), 0, ("sgd", 0.01, 5e-4), (10, 20, 30), 40)
    + (NONE, TENTH),
    "gaitset_gait3d_parsing": (32, 4, (30, 30), None, ADAM_FAST, (30, 90), 180)
    + (NONE, TRIPLET),
    "gaitpart_gait3d_parsing": (32, 4, (30, 30), 10, ADAM_FAST, (30, 90), 180)
    + (NONE, TRIPLET),
    "gaitgl_gait3d_parsing": (32, 4, (30, 30), 0, ADAM_FAST, (30, 90), 180)
    + (NONE, GL_PLAIN),
    "smplgait_gait3d_parsing": (32, 4, (30, 30), None, ADAM_FAST, (30, 90), 180)
    + (NONE, TENTH),
    "gln_gait3d_parsing_p1": (32, 4, (30, 30), 0, ADAM_FAST, (30, 90), 180)
    + (NONE, TRIPLET),
    "gln_gait3d_parsing_p2": (32, 4, (30, 30), 0, ADAM_FAST, (30, 90), 180)
    + (NONE, TENTH),
}
# What of the network is not the backbone's default: specs/opengait.md 3.
GL_WIDE = {"channels": (32, 64, 128, 256), "convs": 2, "halvings": 1}
PART_WIDE = {
    "layers": ("BC-32", "BC-32", "M", "BC-64", "BC-64", "M")
    + ("FC-128-3", "FC-128-3", "FC-256-3", "FC-256-3"),
    "features": 256,
}
NETWORKS = {
    "gaitset_oumvlp": {"channels": (64, 128, 256)},
    "gaitset_grew": {"channels": (64, 128, 256)},
    "gaitpart_oumvlp": PART_WIDE,
    "gaitpart_grew": PART_WIDE,
    "gaitgl_oumvlp": GL_WIDE,
    "gaitgl_grew": GL_WIDE,
    "gaitgl_grew_bnneck": {**GL_WIDE, "bnneck": True},
    "swingait_grew": {"layers": (1, 4, 4, 2)},
    "swingait_gait3d": {"layers": (1, 4, 4, 2)},
    "skeletongait_ccpg": {"unit_embeddings": True},
    **{
        f"{name}_{dataset}": {"layers": (1, 4, 4, 1)}
        for name in ("deepgaitv2", "skeletongait", "skeletongaitpp")
        for dataset in ("grew", "gait3d")
    },
}
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "zoo.md"


def load(name, variant=""):
    return try_configs.load(f"zoo/{name}", variant)


def doc(name):
    return importlib.import_module(f"configs.zoo.{name}").__doc__


def test_every_recipe_has_a_file_and_every_file_a_recipe():
    assert {f"zoo/{name}" for name in ROWS} == set(try_configs.found("zoo"))


@pytest.mark.parametrize("name", ROWS)
def test_recipe_is_the_published_one(name):
    config = load(name)
    check_config(config)
    data, optim, method = config["data"], config["optim"], config["method_args"]
    assert (
        data["p"],
        data["k"],
        (data["frames"], data["frames_max"] or data["frames"]),
        data["skip"] if data["order"] == "ordered" else None,
        (optim["name"], optim["lr"], optim["weight_decay"]),
        tuple(step / 1000 for step in optim["milestones"]),
        config["train"]["steps"] / 1000,
        tuple(data[key] for key in ("perspective", "flip", "rotate", "erase")),
        tuple(method[key] for key in ("ce_weight", "ce_scale", "ce_smoothing")),
    ) == ROWS[name]
    assert method["margin"] == 0.2 and method["triplet_weight"] == 1.0
    assert optim["momentum"] == 0.9 and optim["gamma"] == 0.1
    cosine = "gait3d_parsing" in name
    assert config["eval"]["distances"] == ("cosine" if cosine else "euclidean",)


@pytest.mark.parametrize("name", ROWS)
def test_network_is_the_published_one(name):
    method = load(name)["method_args"]
    usual = common.section(find_backbone(method["backbone"]).make)
    args = method["backbone_args"]
    changed = {key: args[key] for key in args if args[key] != usual.to_dict()[key]}
    assert changed == NETWORKS.get(name, {})


@pytest.mark.parametrize(
    "name, millions", [("gaitset_oumvlp", 6.31), ("gaitgl_oumvlp", 95.62)]
)
def test_sizes_are_those_that_the_model_zoo_prints(name, millions):
    assert try_configs.check_shapes(load(name)) / 1e6 == pytest.approx(millions, 1e-3)


@pytest.mark.parametrize("name", ROWS)
def test_inputs_are_in_the_set_and_in_its_twin(name):
    full, scaled, tiny = (load(name, v) for v in ("", "walkers", "tiny"))
    made, label = make_recipe(full["data"]["name"], source=".")
    inputs = set(full["method_args"]["inputs"])
    assert inputs <= set(made.keys)
    assert full["data"]["name"] == "/".join(filter(None, (made.name, label)))
    assert protocols.for_dataset(full["data"]["name"])
    for config in (scaled, tiny):
        check_config(config)
        assert config["data"]["name"] == f"walkers_{made.name}"
        assert set(config["data"]["args"]["modalities"] or ("sils",)) == inputs
        assert config["train"]["init_from"] is None
    assert tiny["train"]["steps"] < 10


def test_shapes_of_a_wrong_config_are_an_error():
    config = load("gaitset_casia_b", "tiny")
    assert try_configs.check_shapes(config) < 10_000
    config["method_args"]["backbone_args"]["bins"] = (7,)
    with pytest.raises(GaitError, match="7 equal strips"):
        try_configs.check_shapes(config)


def test_networks_with_inputs_of_their_own_are_run():
    methods = [
        try_configs.load(name, "tiny")["method_args"] for name in try_configs.RUN
    ]
    known = {load(name)["method_args"]["backbone"] for name in ROWS}
    own = {name for name in known if hasattr(find_backbone(name), "INPUTS")}
    assert own and own <= {method["backbone"] for method in methods} <= known


@pytest.mark.parametrize("name", [n for n in ROWS if load(n)["train"]["init_from"]])
def test_starts_from_another_recipe_on_the_same_data(name):
    ours = load(name)
    theirs = load(pathlib.Path(ours["train"]["init_from"]).name)
    assert ours["data"] == theirs["data"]
    assert pathlib.Path(ours["train"]["init_from"]).name in doc(name)


def state_of(name):
    config = load(name)
    data = config["data"]
    made, _ = make_recipe(data["name"], source=".")
    classes = try_configs.CLASSES[made.name]
    return config, try_configs.shapes.trace(config, classes, made.frame_shapes)


def flat(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path): leaf for path, leaf in leaves}


def test_swingait_takes_what_deepgaitv2_learnt():
    ours, theirs = (
        flat(state_of(f"{n}_ccpg")[1].params) for n in ("swingait", "deepgaitv2")
    )
    shared = {key for key in ours if not key.startswith("transformer/")}
    assert shared and all(ours[key].shape == theirs[key].shape for key in shared)


def test_swingait_groups():
    config, state = state_of("swingait_ccpg")
    groups = config["optim"]["groups"]
    labels = flat(_group_labels(state.params, tuple(group[0] for group in groups)))
    factors = {pattern: tuple(rest) for pattern, *rest in groups}
    got = {name: factors[label] for name, label in labels.items()}
    stays = r"patches|(^|/)norm\d?/|position_bias"
    for name, factor in got.items():
        new = name.startswith("transformer/")
        want = (1.0, 0.0 if re.search(stays, name) else 1.0) if new else (0.1, 1.0)
        assert factor == want, name
    assert set(got.values()) == {(1.0, 0.0), (1.0, 1.0), (0.1, 1.0)}


def test_swingait_rate_falls_every_thousand_steps():
    """Within the floor, which the reference cuts at and we fall to."""
    config = load("swingait_ccpg")
    optim = {**config["optim"], "groups": ()}
    _, rate = make_optimizer({}, config["train"]["steps"], **optim)
    for step in (0, 999, 1_000, 30_500, 59_999, 60_000, 79_999):
        held = step // 1000 * 1000
        falling = 3e-4 * 0.5 * (1 + np.cos(np.pi * held / 60_000))
        want = max(1e-6, falling if step < 60_000 else 0)
        assert float(rate(step)) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("name", ROWS)
def test_page_says_what_the_file_says(name):
    """Every published figure and the command."""
    text = " ".join(doc(name).split())
    assert f"--config configs/zoo/{name}.py" in text
    rows = [line for line in PAGE.read_text().splitlines() if f"`{name}`" in line]
    assert len(rows) == 1
    figures = re.findall(r"\d+\.\d\b", text.partition("Published Rank-1")[2])
    assert figures or "not published where we looked" in text
    assert figures == re.findall(r"\d+\.\d\b", rows[0].split("|")[-3])


def test_unknown_variant_is_one_line():
    with pytest.raises(GaitError, match="variant of gaitset on grew"):
        load("gaitset_grew", "small")
