"""Recipes of Selective Fusion with backbones that the paper does not try."""

import jax
import pytest

from configs import casia_bn_selective_fusion as recipes
from gaitjax.errors import GaitError
from gaitjax.runtime import checkpoint
from tools import try_configs


@pytest.mark.parametrize("variant", ["", "tiny"])
@pytest.mark.parametrize("backbone", [b for b in recipes.START if b != "gaitset"])
def test_another_backbone(backbone, variant):
    """All its parameters but a memory are those of its own pre-training."""
    config = recipes.recipe("casia_b", variant, backbone)
    assert config.train.init_from.endswith(f"-{backbone}-pretraining")
    state = try_configs.traced(config.to_dict())
    start = try_configs.traced(config.train.init_config.to_dict())
    lines = checkpoint.differences(start.params, state.params)
    assert all("absent here" in line for line in lines)
    assert len(lines) < len(jax.tree.leaves(state.params))


def test_a_backbone_without_a_pre_training():
    with pytest.raises(GaitError, match="backbone swingait; expected one of gaitset, "):
        recipes.recipe("casia_b", "tiny", "swingait")
