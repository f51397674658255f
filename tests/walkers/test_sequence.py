"""The public door: a pure function of its arguments."""

import concurrent.futures
import dataclasses
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from gaitjax import walkers
from gaitjax.errors import GaitError
from gaitjax.walkers.body import joint_offsets
from gaitjax.walkers.sequence import Spread, make_identity, make_sequence, make_wear

BASE = {"seed": 0, "subject": 1, "condition": "nm", "take": 0, "view": 90.0}


def sils(**changes):
    return make_sequence(**{**BASE, **changes})["sils"]


def several():
    return [sils(condition=c, num_frames=4) for c in ("nm", "bg", "cl")]


def test_a_sequence_is_what_the_schema_says():
    sequence = walkers.make_sequence(**BASE)
    assert list(sequence) == ["sils"]
    assert sequence["sils"].shape == (20, 64, 64)
    assert sequence["sils"].dtype == np.uint8
    assert sils(num_frames=3).shape == (3, 64, 64)


def test_same_bits_twice_and_in_another_process():
    here = several()
    np.testing.assert_array_equal(here, several())
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        np.testing.assert_array_equal(here, pool.submit(several).result())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"subject": 2},
        {"condition": "bg"},
        {"condition": "cl"},
        {"take": 1},
        {"view": 90.1},
        {"view": 72.0},
    ],
    ids=str,
)
def test_every_argument_matters(changes):
    # Not the same walk with a changed look: pictures differ as those of other walks do.
    difference = np.abs(sils().astype(int) - sils(**changes)).mean()
    assert difference > 3.0


def test_views_are_angles():
    np.testing.assert_array_equal(sils(view=0.0), sils(view=np.float32(0)))
    with_full_turn = make_sequence(**{**BASE, "view": 450.0})["sils"]
    difference = np.abs(sils().astype(int) - with_full_turn)
    assert difference.mean() < 0.01  # the same draws, seen from the same place


def test_the_identity_is_that_of_its_number():
    first, again = make_identity(0, 1), make_identity(0, 1)
    assert first.body == again.body
    np.testing.assert_array_equal(joint_offsets(first.body), joint_offsets(again.body))
    np.testing.assert_array_equal(first.gait.amplitude, again.gait.amplitude)
    for other in (make_identity(0, 2), make_identity(1, 1)):
        assert first.body != other.body
        assert first.gait.cadence != other.gait.cadence


def test_wear_belongs_to_the_take():
    for condition in ("nm", "bg", "cl"):
        wear = make_wear(0, 1, condition, 0)
        assert wear == make_wear(0, 1, condition, 0)
        assert wear != make_wear(0, 1, condition, 1)
        assert wear != make_wear(0, 2, condition, 0)
        assert (wear.bag is not None) == (condition == "bg")
        assert (wear.torso > 0) == (condition == "cl")
    bags = {make_wear(0, subject, "bg", 0).bag for subject in range(30)}
    assert bags == {"back", "shoulder", "hand"}


def test_zero_spread_makes_people_alike():
    alike = Spread(identity=0.0, gait=0.0, take=0.0)
    one, two = make_identity(0, 1, alike), make_identity(0, 2, alike)
    np.testing.assert_array_equal(joint_offsets(one.body), joint_offsets(two.body))
    same_gait = dataclasses.replace(Spread(), gait=0.0)
    one, two = make_identity(0, 1, same_gait), make_identity(0, 2, same_gait)
    assert one.gait.cadence == two.gait.cadence and one.body != two.body


def test_unknown_condition_teaches():
    with pytest.raises(GaitError, match=r"nm, bg, cl.*got 'xx'") as error:
        make_sequence(**{**BASE, "condition": "xx"})
    assert "\n" not in str(error.value)


def test_jax_is_never_imported():
    code = (
        "import sys, gaitjax.walkers as w; w.make_sequence(0, 1, 'cl', 0, 90.0); "
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
