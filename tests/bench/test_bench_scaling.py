"""The formula of docs/scaling.md against the program that the compiler makes."""

import dataclasses

import jax
import pytest

from gaitjax.bench import scaling
from gaitjax.bench.network import frames
from gaitjax.runtime import mesh


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


@pytest.mark.parametrize(
    ("devices", "p", "people", "resident"),
    [
        (2, 4, 6, False),
        pytest.param(4, 8, 40, False, marks=pytest.mark.slow),
        (4, 8, 40, True),
    ],
)
def test_formula_and_compiled_step_agree(devices, p, people, resident):
    recipe = scaling.small("tiny")
    recipe.config["data"].update(p=p, resident=resident)
    recipe = scaling.Recipe("test", recipe.config, people, recipe.shapes)
    found = scaling.collectives(scaling.compiled(recipe, devices).as_text())
    expected = scaling.predicted(scaling.sizes(recipe), devices)
    assert found.keys() == {"all-reduce", "all-gather"} | (
        {"reduce-scatter"} if resident else set()
    )
    for kind in found.keys() - {"all-reduce"}:
        assert found[kind][0] == expected[kind]
    # Left out are counts and loss terms: some numbers per part and per layer.
    assert 0 <= found["all-reduce"][0] - expected["all-reduce"] < 4 * 100


def test_longer_clips_cost_nothing_between_devices():
    short, long = scaling.small("tiny"), scaling.small("tiny")
    long.config["data"]["frames"] *= 2
    found, more = (
        scaling.collectives(scaling.compiled(one, 4).as_text()) for one in (short, long)
    )
    assert found == more and found["all-gather"][0] > 0
    one, two = (scaling.predicted(scaling.sizes(x), 4) for x in (short, long))
    assert one == two


def test_an_embedding_is_gathered_on_every_device():
    recipe = scaling.small("tiny")
    method, like = scaling.shapes(recipe)
    where = mesh.make_mesh()
    everywhere, rows = mesh.replicated(where), mesh.split(where)
    program = jax.jit(
        method.embed,
        in_shardings=(everywhere, everywhere, rows),
        out_shardings=everywhere,
    ).lower(like.params, like.model_state, frames(recipe, 4, 2))
    found = scaling.collectives(program.compile().as_text())
    assert found == {"all-gather": (scaling.gallery(scaling.sizes(recipe), 8), 1)}


def test_one_device_tells_nobody_anything():
    assert not scaling.collectives(scaling.compiled(scaling.small("tiny"), 1).as_text())


def test_what_grows_with_what():
    one = scaling.Sizes(1000, 10, batch=32, parts=16, dims=8, frames=5, picture=0)
    alone = scaling.predicted(one, 8)
    more = scaling.predicted(dataclasses.replace(one, batch=64), 8)
    gathered = 4 * 32 * 16 * 9
    assert more["all-reduce"] - alone["all-reduce"] == gathered
    assert more["all-gather"] - alone["all-gather"] == gathered + 4 * 32
    few, many = scaling.ring(alone, 8), scaling.ring(alone, 256)
    assert few < many < few * 8 / 7


def test_what_resident_pictures_add():
    one = scaling.Sizes(1000, 10, batch=32, parts=16, dims=8, frames=5, picture=6)
    plain = scaling.predicted(dataclasses.replace(one, picture=0), 8)
    held = scaling.predicted(one, 8)
    more = {kind: held[kind] - plain[kind] for kind in scaling.KINDS}
    assert more["all-gather"] == 4 * 32 * 5
    assert more["reduce-scatter"] == 32 * 5 * 6 // 8
    assert more["all-reduce"] == more["all-to-all"] == 0
    sent = scaling.ring(held, 8) - scaling.ring(plain, 8)
    assert sent == 7 / 8 * 32 * 5 * (4 + 6)
