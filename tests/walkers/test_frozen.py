"""The generator is frozen: its pictures are those of its version number.

Results are only comparable on the same walkers. Who changes a picture raises VERSION
and writes the reference anew: `python tests/walkers/test_frozen.py`.
"""

import hashlib
import pathlib

import numpy as np
import pytest

from gaitjax import walkers
from gaitjax.data.builders import walkers as walkers_builder
from gaitjax.data.builders.twins import twins

REFERENCE = pathlib.Path(__file__).with_name("frozen.npz")
# Of all arrays of the reference, as this version made them where it was frozen.
FROZEN = {
    "2.0.0": "3e613b8ec80e3293afdf3b9edbd16992ac3b16fca25de09fee81718d3db39cfd",
}
PLANS = {
    "2.0.0": "c2983125e8e48c671fdcf6ca01d13cf309e1f5a7f1f25eea2341f80c292f7958",
}
CASES = {
    "plain": ("nm", 90.0, walkers.Sensors()),
    "bag": ("bg", 0.0, walkers.Sensors(elevation=20.0)),
    "coat_umbrella": ("cl-ub", 36.0, walkers.Sensors(fps=30.0, lidar_fps=10.0)),
    "load_occluded": ("cr-oc", 120.0, walkers.Sensors(distance=1.4)),
    "uniform_night": ("uf-nt", 180.0, walkers.Sensors()),
    "wardrobe_truncated": ("bg-u1-d2-tr", 250.0, walkers.Sensors()),
}


def made() -> dict[str, np.ndarray]:
    """Two frames of every modality of every case."""
    arrays = {}
    for case, (condition, view, sensors) in CASES.items():
        sequence = walkers.make_sequence(
            3, 5, condition, 1, view, 4, keys=walkers.KEYS, sensors=sensors
        )
        for key, frames in sequence.items():
            arrays[f"{case}/{key}"] = frames[1::2]
    return arrays


def plans() -> str:
    """Labels and conditions of three people of every twin, as text."""
    lines = []
    for name in twins():
        world = walkers_builder.make_builder("unused", name).builder_config.world
        for is_test in (False, True):
            for person in range(3):
                lines.append(repr(walkers_builder.plan(world, person, is_test)))
    return "\n".join(lines)


def digest(arrays: dict[str, np.ndarray]) -> str:
    whole = hashlib.sha256()
    for name in sorted(arrays):
        whole.update(name.encode())
        whole.update(np.ascontiguousarray(arrays[name]).tobytes())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_the_reference_belongs_to_this_version(reference):
    assert digest(reference) == FROZEN[walkers.VERSION]


def test_plans_are_those_of_the_version():
    assert hashlib.sha256(plans().encode()).hexdigest() == PLANS[walkers.VERSION]


def test_pictures_are_those_of_the_version(reference):
    """Bit for bit where it was frozen; elsewhere libraries may round differently, and
    at most 0.1 % of the pixels are off by more than one grey level."""
    again = made()
    if digest(again) == FROZEN[walkers.VERSION]:
        return
    assert again.keys() == reference.keys()
    for name, expected in reference.items():
        got = again[name]
        assert got.shape == expected.shape and got.dtype == expected.dtype, name
        if got.dtype == np.uint8:
            off = np.abs(got.astype(int) - expected) > 1
            assert off.mean() <= 1e-3, name
        elif not name.endswith("/points"):  # a ray more shifts all points after it
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    arrays = made()
    np.savez_compressed(REFERENCE, **arrays)
    planned = hashlib.sha256(plans().encode()).hexdigest()
    print(f'PLANS = {{"{walkers.VERSION}": "{planned}"}}')
    print(f'FROZEN = {{"{walkers.VERSION}": "{digest(arrays)}"}}')
