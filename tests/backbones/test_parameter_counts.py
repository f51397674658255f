"""How many parameters every backbone has; a new backbone needs a row."""

import functools
import pathlib

import golden
import jax
import pytest

from gaitjax import backbones
from gaitjax.interop import parity_networks
from gaitjax.interop.opengait import network_of
from gaitjax.methods.supervised import make_backbone

# Backbone, golden with its published configuration, parameters (without statistics).
COUNTS = (
    ("deepgaitv2", "deepgaitv2_2d", 7_305_408),
    ("deepgaitv2", "deepgaitv2_3d", 16_595_136),
    ("deepgaitv2", "deepgaitv2_p3d", 8_339_392),
    ("deepgaitv2", "deepgaitv2_p3d_b1441", 13_613_760),
    ("deepgaitv2", "deepgaitv2_p3d_emb2", 8_339_392),
    ("gaitbase", "gaitbase", 7_305_408),
    ("gaitgl", "gaitgl_casiab", 3_096_673),
    ("gaitgl", "gaitgl_grew_bnneck", 12_864_353),
    ("gaitgl", "gaitgl_oumvlp", 12_832_097),
    ("gaitpart", "gaitpart", 1_204_000),
    ("gaitpart", "gaitpart_oumvlp", 4_841_248),
    ("gaitset", "gaitset", 2_594_592),
    ("gaitset", "gaitset_oumvlp", 6_313_536),
    ("gln", "gln_p2", 14_703_904),
    ("gaitbase", "lidargait", 8_027_456),
    ("deepgaitv2", "skeletongait", 9_060_864),
    ("skeletongaitpp", "skeletongaitpp", 9_136_736),
    ("smplgait", "smplgait", 4_096_576),
    ("swingait", "swingait", 11_039_520),
)


@pytest.mark.parametrize(("backbone", "name", "count"), COUNTS)
def test_parameter_count(backbone, name, count):
    spec = golden.load_json(name)
    network = network_of(spec["model_cfg"], spec["dataset_name"])
    assert network.backbone == backbone
    model = make_backbone(backbone, network.args, network.num_classes, "float32")
    frames, mask, _ = parity_networks.batch_of(golden.load("inputs"), spec["input"])
    x = parity_networks.network_input(frames, network.inputs)
    init = functools.partial(model.init, train=False)
    params = jax.eval_shape(init, jax.random.key(0), x, mask)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_every_backbone_has_a_row():
    (folder,) = map(pathlib.Path, backbones.__path__)
    files = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    assert files == {backbone for backbone, _, _ in COUNTS}
