"""Neighbours stay neighbours, labels stay with their points, twice is the same."""

import numpy as np

from gaitjax.data.index import Index
from gaitjax.report import embedding_map


def _set(people=8, each=12, dims=6):
    rng = np.random.default_rng(0)
    subject = np.repeat([f"{i:03d}" for i in range(people)], each)
    condition = np.tile(["nm-01", "nm-02", "bg-01"], people * each // 3)
    view = np.tile(["000", "090"], people * each // 2)
    n = people * each
    index = Index(subject, condition, view, np.full(n, ""), np.ones(n, np.int32))
    centre = 20 * rng.normal(size=(people, 1, 2, dims))
    x = centre + rng.normal(size=(people, each, 2, dims))
    return index, np.float32(x.reshape(n, 2, dims))


def test_people_form_islands():
    index, x = _set()
    found = embedding_map.lay_out({"sils": x}, index)
    far = np.linalg.norm(found.places[:, None] - found.places[None], axis=-1)
    np.fill_diagonal(far, np.inf)
    assert (index.subject[far.argmin(1)] == index.subject).mean() > 0.95
    labels = found.labels
    assert list(labels) == ["identity", "condition", "view"]  # one modality only
    assert set(labels["condition"]) == {"nm", "bg"}
    shown = labels["identity"] != ""
    assert (labels["identity"][shown] == index.subject[shown]).all()
    assert len(set(labels["identity"][shown])) == embedding_map.NUM_COLOURED
    again = embedding_map.lay_out({"sils": x}, index)
    np.testing.assert_array_equal(found.places, again.places)


def test_modalities_share_the_plane():
    index, x = _set()
    views = {"sils": x, "ranges": x + 100, "other": x[:, :1]}
    found = embedding_map.lay_out(views, index)
    assert found.places.shape == (2 * len(x), 2)
    assert found.labels["modality"].tolist() == ["sils"] * 96 + ["ranges"] * 96
    assert (found.labels["view"][:96] == found.labels["view"][96:]).all()


def test_nothing_to_lay_out():
    index, x = _set()
    assert embedding_map.lay_out({"sils": np.ones_like(x)}, index) is None
    few = np.arange(5)
    assert embedding_map.lay_out({"sils": x[few]}, index.select(few)) is None


def test_a_sample_is_of_whole_people(monkeypatch):
    index, _ = _set()
    monkeypatch.setattr(embedding_map, "NUM_PEOPLE", 3)
    rows = embedding_map.sample_rows(index)
    assert len(rows) == 36 and len(set(index.subject[rows])) == 3
    monkeypatch.setattr(embedding_map, "NUM_POINTS", 20)
    rows = embedding_map.sample_rows(index)
    assert len(rows) == 20 and (np.diff(rows) > 0).all()
