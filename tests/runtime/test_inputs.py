"""Training pictures that the devices hold, against those that the host sends."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from gaitjax.bench.scaling import collectives
from gaitjax.data import pipeline
from gaitjax.data.augment import Augment
from gaitjax.data.sampler import Clip, PKSampler
from gaitjax.errors import GaitError
from gaitjax.runtime import inputs, mesh


def batches(data, stop):
    """As the host sends them."""
    sampler = PKSampler(data.labels, data.p, data.k, 0)
    return pipeline.train_batches(
        data,
        data.train.with_keys(("sils",)),
        sampler,
        data.labels,
        seed=0,
        start=0,
        stop=stop,
    )


def clips(data, devices, stop=3):
    """What the method sees of the first steps, and the bytes that a step's batch has
    on the host."""
    stores = inputs.load(data, ("sils",), devices)
    prepare = jax.jit(inputs.make_prepare(data, devices))
    made, sent = [], 0
    for batch in batches(data, stop):
        sent = sum(array.nbytes for array in batch.values())
        made.append(jax.device_get(prepare(mesh.to_devices(batch, devices) | stores)))
    return made, sent


def compiled(data, devices):
    """The text of what gathers the first batch."""
    data = dataclasses.replace(data, resident=True)
    stores, (batch, *_) = inputs.load(data, ("sils",), devices), batches(data, 1)
    prepare = jax.jit(inputs.make_prepare(data, devices))
    return prepare.lower(mesh.to_devices(batch, devices) | stores).compile().as_text()


def test_each_device_gets_its_own_rows_of_resident_pictures(tiny_data):
    found = collectives(compiled(tiny_data, mesh.make_mesh()))
    numbers = 4 * tiny_data.batch_size * tiny_data.clip.most
    pictures = tiny_data.batch_size * tiny_data.clip.most * 64 * 44
    assert found == {
        "all-gather": (numbers, 1),
        "reduce-scatter": (pictures // 4, 1),
    }


def test_two_modalities_share_their_numbers():
    rng = np.random.default_rng(0)
    sils = rng.integers(0, 256, (12, 3, 2), np.uint8)
    depths = rng.integers(0, 256, (12, 5), np.uint8)
    frames = rng.integers(0, 12, (8, 6), np.int32)
    mask = np.float32(rng.random((8, 6)) < 0.7)
    devices = mesh.make_mesh()
    batch = {"store/sils": sils, "store/depths": depths, "frames": frames, "mask": mask}
    program = (
        jax.jit(functools.partial(inputs.gather, mesh=devices))
        .lower(mesh.to_devices(batch, devices))
        .compile()
    )
    found = collectives(program.as_text())
    assert found["all-gather"] == (frames.nbytes, 1)
    assert found["reduce-scatter"][0] == 2 * 6 * (3 * 2 + 5)
    made = program(mesh.to_devices(batch, devices))
    assert made.keys() == {"sils", "depths", "mask"}
    for key, store in (("sils", sils), ("depths", depths)):
        there = mask.reshape(8, 6, *(1,) * (store.ndim - 1)) > 0
        np.testing.assert_array_equal(made[key], np.where(there, store[frames], 0))
        assert {x.data.shape[0] for x in made[key].addressable_shards} == {2}


def test_one_device_gathers_for_itself(tiny_data):
    assert not collectives(compiled(tiny_data, mesh.make_mesh(1)))


@pytest.mark.parametrize(
    "augment", [Augment(), Augment(perspective=0.5, flip=0.5, rotate=0.5, erase=0.5)]
)
def test_resident_and_sent_pictures_are_the_same_bits(tiny_data, augment):
    data = dataclasses.replace(tiny_data, augment=augment, clip=Clip(2, 5))
    devices = mesh.make_mesh()
    sent, many = clips(data, devices)
    held, few = clips(dataclasses.replace(data, resident=True), devices)
    for a, b in zip(sent, held, strict=True):
        assert a.keys() == b.keys() == {"sils", "mask", "label", "index"}
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
        assert a["sils"].shape == (8, 5, 64, 44)
        assert a["sils"].any() and not a["sils"][a["mask"] == 0].any()
    assert few < many / 100


def test_training_pictures_are_cut_over_the_devices_and_no_others(tiny_data):
    rows = tiny_data.train_rows[::2]
    data = dataclasses.replace(tiny_data, resident=True, train_rows=rows)
    devices = mesh.make_mesh()
    store = inputs.load(data, ("sils",), devices)["store/sils"]
    count = int(data.train.index.num_frames[rows].sum())
    assert {shard.data.shape[0] for shard in store.addressable_shards} == {
        -(-count // 4)
    }
    split = data.train.with_keys(("sils",))
    want = np.concatenate([split[int(row)]["sils"][:, :, 10:-10] for row in rows])
    np.testing.assert_array_equal(np.asarray(store)[:count], want)


def test_a_set_that_does_not_fit_is_refused_with_its_size(tiny_data, monkeypatch):
    data = dataclasses.replace(tiny_data, resident=True)
    part = data.store(("sils",)).bytes / 4
    devices = mesh.make_mesh()
    monkeypatch.setattr(inputs, "free_bytes", lambda device: part / inputs.SHARE + 1)
    inputs.check_fits(data.store(("sils",)), devices)
    monkeypatch.setattr(inputs, "free_bytes", lambda device: part / inputs.SHARE - 1)
    with pytest.raises(GaitError, match=r"GiB on each of 4 devices.*resident=False"):
        inputs.load(data, ("sils",), devices)


def test_nothing_is_held_unless_asked_for(tiny_data):
    assert inputs.load(tiny_data, ("sils",), mesh.make_mesh()) == {}
