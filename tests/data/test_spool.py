"""Records go through a file in their order, and sets of any size are written."""

import numpy as np
import pytest
from tensorflow_datasets.core import shuffle

from gaitjax.data import pipeline
from gaitjax.data.builders import spool


def test_records_come_back_in_their_order(tmp_path):
    records = [(3, b"abc"), (5, b""), (2**70, b"\0" * 9)]
    kept = spool.Spool(tmp_path, "train", disable_shuffling=True)
    for key, data in records:
        kept.add(key, data)
    assert (kept.num_examples, kept.size, kept.bucket_lengths) == (3, 12, [3])
    assert list(kept) == records
    assert not list(tmp_path.iterdir())


def test_what_is_out_of_order_is_refused(tmp_path):
    kept = spool.Spool(tmp_path, "train", disable_shuffling=True)
    kept.add(5, b"x")
    for key in (4, 5):
        with pytest.raises(ValueError, match=f"record {key} after 5"):
            kept.add(key, b"y")
    with pytest.raises(ValueError, match="disable_shuffling"):
        spool.Spool(tmp_path, "train", disable_shuffling=False)


def test_a_set_that_is_more_than_tfds_keeps_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 1000)
    args = dict(num_train=2, num_test=2, frames=3, processes=1)
    data = pipeline.make_data(name="walkers", dir=str(tmp_path), args=args, p=2, k=2)
    split = data.train.with_keys(("sils",))
    assert len(split) > 3 and np.unique(split[0]["sils"]).size > 1
    assert sorted(split.index.subject) == list(split.index.subject)
    assert shuffle.Shuffler is not spool.Spool
