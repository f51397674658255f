"""The formula of docs/scaling.md against the program that the compiler makes."""

import pytest

from gaitjax.bench import scaling


def test_bytes_of_a_compiled_text():
    text = """
      %all-reduce.1 = (f32[3,2]{1,0}, /*index=5*/bf16[4]{0}, f32[]) all-reduce(%a, %b)
      %all-gather = s32[8]{0} all-gather(%c), metadata={op_name="jit(step)/all-reduce"}
      %get = f32[3,2]{1,0} get-tuple-element(%all-reduce.1), index=0
      ROOT %all-reduce.2 = pred[5]{0} all-reduce(%get), to_apply=%add
    """
    assert scaling.collectives(text) == {
        "all-reduce": (6 * 4 + 4 * 2 + 4 + 5, 2),
        "all-gather": (32, 1),
    }


@pytest.mark.parametrize(("devices", "p", "people"), [(2, 4, 6), (4, 8, 40)])
def test_formula_and_compiled_step_agree(devices, p, people):
    recipe = scaling.small("tiny")
    recipe.config["data"]["p"] = p
    recipe = scaling.Recipe("test", recipe.config, people, recipe.shapes)
    found = scaling.collectives(scaling.compiled(recipe, devices).as_text())
    expected = scaling.predicted(scaling.sizes(recipe))
    assert found.keys() == {"all-reduce", "all-gather"}
    assert found["all-gather"][0] == expected["all-gather"]
    # Left out are counts and loss terms: some numbers per part and per layer.
    assert 0 <= found["all-reduce"][0] - expected["all-reduce"] < 4 * 100


def test_one_device_tells_nobody_anything():
    assert not scaling.collectives(scaling.compiled(scaling.small("tiny"), 1).as_text())


def test_what_grows_with_what():
    one = scaling.Sizes(kernels=1000, statistics=10, batch=32, parts=16, dims=8)
    alone = scaling.predicted(one)
    more = scaling.predicted(scaling.dataclasses.replace(one, batch=64))
    gathered = 4 * 32 * 16 * 9
    assert more["all-reduce"] - alone["all-reduce"] == gathered
    assert more["all-gather"] - alone["all-gather"] == gathered + 4 * 32
    few, many = scaling.ring(alone, 8), scaling.ring(alone, 256)
    assert few < many < few * 8 / 7
