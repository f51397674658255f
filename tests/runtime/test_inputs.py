"""Training pictures that the devices hold, against those that the host sends."""

import dataclasses

import jax
import numpy as np
import pytest

from gaitjax.data import pipeline
from gaitjax.data.augment import Augment
from gaitjax.data.sampler import Clip, PKSampler
from gaitjax.errors import GaitError
from gaitjax.runtime import inputs, mesh


def clips(data, devices, stop=3):
    """What the method sees of the first steps, and the bytes that a step's batch has
    on the host."""
    keys = ("sils",)
    stores = inputs.load(data, keys, devices)
    prepare = jax.jit(inputs.make_prepare(data))
    sampler = PKSampler(data.labels, data.p, data.k, 0)
    batches = pipeline.train_batches(
        data,
        data.train.with_keys(keys),
        sampler,
        data.labels,
        seed=0,
        start=0,
        stop=stop,
    )
    made, sent = [], 0
    for batch in batches:
        sent = sum(array.nbytes for array in batch.values())
        made.append(jax.device_get(prepare(mesh.to_devices(batch, devices) | stores)))
    return made, sent


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
