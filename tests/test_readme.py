"""Every command in README and docs exists, and its config takes what it is given."""

import ast
import importlib
import itertools
import pathlib
import re
import shlex

import jax
import numpy as np
import pytest
from helpers.layouts import write_tree
from helpers.smpl import write_model

from gaitjax import run as runs
from gaitjax import walkers
from gaitjax.data import smpl_file
from gaitjax.data.builders import opengait
from gaitjax.data.topology import Topology
from gaitjax.runtime import shapes
from gaitjax.runtime.workdir import check_same_run
from tools import make_markers

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    (page.name, line.strip())
    for page in PAGES
    for line in page.read_text().splitlines()
    if re.match(r"    (python|pip) ", line)
]
OPTIONS = [
    (page.name, option)
    for page in PAGES
    for line in page.read_text().splitlines()
    for option in re.findall(r"`(--config\.[^`]*)`", line)
    if line.startswith("|")
]


def test_main_job_and_test_line_come_first():
    lines = [line for name, line in COMMANDS if name == "README.md"]
    first = "pip install -e . && python -m gaitjax.main --config configs/walkers.py"
    assert lines[:2] == [first, "pip install -e '.[test]' && pytest"]


@pytest.mark.parametrize("page, line", COMMANDS)
def test_command_is_one_that_works(page, line):
    words = shlex.split(line.rpartition("&& ")[2])
    if words[:3] == ["python", "-m", "gaitjax.main"]:
        flags = _flags(words)
        if flags.get("mode") == "doctor":  # needs no config
            return
        runs.check_config(_typed(flags))
        modes = ("train", "evaluate", "extract", "export")
        assert flags.get("mode", "train") in modes
    elif words[0] == "python":
        assert (ROOT / words[1]).exists()
        usage = (ROOT / words[1]).read_text()
        for word in words[2:]:
            if word.startswith("--"):
                assert word.lstrip("-") in usage


def _flags(words):
    return dict(
        word.lstrip("-").split("=", 1) if "=" in word else (word.lstrip("-"), after)
        for word, after in zip(words, [*words[1:], ""], strict=True)
        if word.startswith("--")
    )


def _typed(flags):
    """The config that these flags give."""
    path, _, variant = flags["config"].partition(":")
    assert (ROOT / path).exists()
    name = ".".join(pathlib.Path(path).with_suffix("").parts)
    config = importlib.import_module(name).get_config(variant)
    for flag, value in flags.items():
        if flag.startswith("config."):
            _set(config, flag.removeprefix("config."), value)
    return config.to_dict()


@pytest.fixture(scope="module")
def unsupervised():
    """Of the page of Selective Fusion: flags of its lines, by folder and mode."""
    lines = [line for name, line in COMMANDS if name == "unsupervised.md"]
    every = [_flags(shlex.split(line)) for line in lines if "gaitjax.main" in line]
    return {
        (flags["workdir"].removeprefix("runs/"), flags.get("mode", "train")): flags
        for flags in every
        if "workdir" in flags
    }


def test_what_selective_fusion_stands_on_is_what_its_recipes_look_for(unsupervised):
    """A typed line is of the very run that a recipe, there or later, trains or opens;
    and every network of a published recipe has its line."""
    wanted, published = {}, set()
    names = [path.stem for path in (ROOT / "configs").glob("*selective_fusion*.py")]
    assert len(names) == 4
    for name, variant in itertools.product(names, ("", "walkers")):
        config = _typed({"config": f"configs/{name}.py:{variant}"})
        start, views = config["train"], config["method_args"]["view_base"]
        found = {start["init_from"]: start["init_config"]}
        found[views["workdir"]] = views["config"]
        found = {key.removeprefix("runs/"): value for key, value in found.items()}
        for folder, one in found.items():
            assert wanted.setdefault(folder, one) == one, folder
        published |= set() if variant else set(found)
    typed = {key for key in unsupervised if key[0] in wanted}
    assert typed == {(folder, "train") for folder in published} | {
        ("selective_fusion-walkers-pretraining", "export")
    }
    for folder, mode in typed:
        config = _typed(unsupervised[folder, mode])
        check_same_run(pathlib.Path(folder), wanted[folder], config)


def test_bounds_of_selective_fusion_are_of_the_same_people_and_steps(unsupervised):
    ours = _typed({"config": "configs/casia_bn_selective_fusion.py:walkers"})
    before = _typed(
        unsupervised["selective_fusion-walkers-pretraining/export", "evaluate"]
    )
    upper = _typed(unsupervised["selective_fusion-walkers-upper", "train"])
    for key in ("name", "args", "cut"):
        assert before["data"][key] == ours["data"][key]
    assert upper["data"] == {**ours["data"], "label": "subject"}
    assert upper["optim"]["schedule"] == "constant"  # which has no milestones
    assert upper["optim"] | {"milestones": ()} == ours["optim"] | {"milestones": ()}
    assert upper["method"] == "supervised"
    for key in ("steps", "seed", "precision", "ema", "init_from"):
        assert upper["train"][key] == ours["train"][key]
    for key in ("backbone", "backbone_args", "downsample"):
        assert upper["method_args"][key] == ours["method_args"][key]


@pytest.mark.parametrize("page, options", OPTIONS)
def test_options_in_tables_fit_the_first_config_of_their_page(page, options, own_body):
    line = next(line for name, line in COMMANDS if name == page)
    config = importlib.import_module(_module(line)).get_config()
    for word in shlex.split(options):
        _set(config, *word.removeprefix("--config.").split("=", 1))
    runs.check_config(config.to_dict())
    config = config.to_dict()
    frames = shapes.frame_shapes(config, walkers.frame_shapes())
    shapes.make(config, 250, frames, Topology({}, markers=np.arange(64)))


@pytest.fixture
def own_body(tmp_path, monkeypatch):
    """A made-up SMPL file where the licensed one would be."""
    monkeypatch.setenv("GAITJAX_DATA", str(tmp_path))
    (tmp_path / "smpl").mkdir()
    return write_model(tmp_path / "smpl" / smpl_file.NAMES[0], vertices=70)


def _module(line):
    """The config of a command, as it is imported."""
    path = re.search(r"--config (\S+)\.py", line)[1]
    return path.replace("/", ".")


def test_python_on_the_page_of_diffcrossgait_runs():
    page = (ROOT / "docs/diffcrossgait.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    jax.config.update("jax_disable_most_optimizations", True)  # compiling is the time
    try:
        exec(code, names)
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    assert 0 < names["value"] < np.inf
    assert np.abs(names["for_maps"]).max() > 0  # your encoders learn from it


def test_python_on_the_page_of_meshgait_makes_meshes(own_body, tmp_path, monkeypatch):
    source = write_tree(tmp_path / "tree", "gait3d")
    builder = opengait.make_builder(tmp_path, "gait3d/sils+smpl", processes=1, **source)
    opengait.prepare(builder)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/meshgait.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})
    found = make_markers.load("MESHES.npz")
    assert found["vertices"].shape[1:] == found["template"].shape == (70, 3)
    assert found["joints"].shape == (len(found["vertices"]), 24, 3)
    assert np.isfinite(found["vertices"]).all() and found["faces"].shape == (2, 3)


def _set(config, key, text):
    """What the command line does: the type is that of the value that is there."""
    *sections, name = key.split(".")
    for section in sections:
        config = config[section]
    kind = config.get_type(name)
    config[name] = text if kind is str else kind(ast.literal_eval(text))


def test_links_and_pictures_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
