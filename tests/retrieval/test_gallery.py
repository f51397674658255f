"""Galleries on disk: what goes in comes out, and what is damaged is refused."""

import json

import jax
import numpy as np
import pytest
from helpers.exact_twin import twin_distances

from gaitjax.errors import GaitError
from gaitjax.retrieval import gallery as galleries
from gaitjax.retrieval import streaming
from gaitjax.retrieval.gallery import Gallery

NETWORK = {"digest": "abc", "view": "sils", "frames": {"sils": (64, 44)}}
SHAPE = (2, 8)


def people(number, seed=0):
    """Embeddings with duplicates and near ties, and whose they are."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, *SHAPE)).astype(np.float32)[rng.integers(0, 5, number)]
    x += np.spacing(x) * rng.integers(0, 3, x.shape).astype(np.float32)
    names = [f"person {i % 7}" for i in range(number)]
    return x, names, [f"walk {i}" for i in range(number)]


@pytest.fixture
def made(tmp_path):
    """(gallery of 31 rows in two additions, their embeddings, names, sequences)."""
    x, names, sequences = people(31)
    made = Gallery.create(tmp_path / "g", network=NETWORK, shape=SHAPE)
    made.add(x[:20], names[:20], sequences[:20], network=NETWORK)
    made.add(x[20:], names[20:], sequences[20:], network=NETWORK)
    return made, x, names, sequences


def by_twin(probe, x, k):
    far = twin_distances(probe, x, "euclidean")
    rows = np.argsort(far, 1, kind="stable")[:, :k]
    return np.take_along_axis(far, rows, 1), rows


def test_what_went_in_comes_out(made):
    _, x, names, sequences = made
    opened = Gallery.open(made[0].folder)
    np.testing.assert_array_equal(opened.embeddings, x)
    assert (opened.names, opened.sequences) == (names, sequences)
    assert (
        isinstance(opened.embeddings, np.memmap)
        and not opened.embeddings.flags["WRITEABLE"]
    )
    np.testing.assert_array_equal(np.load(opened.folder / "embeddings.npy"), x)
    files = {path.name for path in opened.folder.iterdir()}
    assert files == {"embeddings.npy", "labels.json", "about.json"}


def test_search_finds_the_nearest(made):
    opened, x, names, sequences = made
    probe = x[[3, 30]] + np.float32(0.01)
    far, rows = by_twin(probe, x, 9)
    for chunk in (None, 4, 13):
        found = opened.search(probe, 9, chunk=chunk)
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_array_equal(found.distances, far)
    assert found.names.tolist() == [[names[i] for i in row] for row in rows]
    assert found.sequences.tolist() == [[sequences[i] for i in row] for row in rows]
    assert found.note == ""


@pytest.mark.parametrize("number, chunk, metric", [(4, 6, "cosine"), (2, 31, "cosine")])
def test_streamed_is_the_same_on_any_number_of_devices(number, chunk, metric):
    x, _, _ = people(31)
    probe, _, _ = people(5, seed=1)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:number]), ("data",))
    with jax.transfer_guard("disallow"):
        far, rows = streaming.search(
            probe, x, 7, metric=metric, chunk=chunk, block=2, mesh=mesh
        )
    want = twin_distances(probe, x, metric)
    order = np.argsort(want, 1, kind="stable")[:, :7]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_array_equal(far, np.take_along_axis(want, order, 1))


def test_the_next_chunk_is_read_while_the_devices_compare(monkeypatch):
    events = []

    class Watched(np.ndarray):
        def __getitem__(self, item):
            events.append(f"read {item.start}")
            return np.asarray(self)[item]

    compare = streaming.exact_topk

    def watched(*args, start, **kwargs):
        events.append(f"compare {int(start)}")
        return compare(*args, start=start, **kwargs)

    monkeypatch.setattr(streaming, "exact_topk", watched)
    block_until_ready = jax.block_until_ready
    monkeypatch.setattr(
        jax,
        "block_until_ready",
        lambda x: events.append("wait") or block_until_ready(x),
    )
    x, _, _ = people(12)
    streaming.search(x[:1], x.view(Watched), 2, chunk=5)
    assert events == [
        *("read 0", "compare 0", "read 5", "wait"),
        *("compare 5", "read 10", "wait", "compare 10", "wait"),
    ]


def test_k_beyond_the_gallery_is_clamped_with_a_note(made):
    opened, x, _, _ = made
    found = opened.search(x[:1], 99)
    assert found.names.shape == (1, 31)
    assert found.note == "k = 99, but the gallery has 31 embeddings: all are shown"
    with pytest.raises(GaitError, match="k: expected at least 1, got 0"):
        opened.search(x[:1], 0)


def test_an_empty_gallery(tmp_path):
    empty = Gallery.create(tmp_path / "g", network=NETWORK, shape=SHAPE)
    assert len(Gallery.open(tmp_path / "g")) == 0
    with pytest.raises(GaitError, match="is empty; enrol somebody first"):
        empty.search(np.zeros((1, *SHAPE)))


@pytest.mark.parametrize(
    "change, line",
    [
        ({"embeddings": np.zeros((1, 3, 8))}, r"\[n, 2, 8\], got \[1, 3, 8\]"),
        ({"embeddings": np.zeros((2, 8))}, r"\[n, 2, 8\], got \[2, 8\]"),
        ({"embeddings": np.full((1, *SHAPE), np.nan)}, "NaN .* the first is Ann"),
        ({"names": ["Ann", "Bob"]}, "1 embeddings, 2 names and 2 sequences"),
        ({"network": {**NETWORK, "digest": "xyz"}}, r"digest: abc there, xyz here\)"),
        ({"network": {**NETWORK, "frames": {"sils": (64, 64)}}}, "frames differ"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(made, change, line):
    opened, *_ = made
    good = {"embeddings": np.zeros((1, *SHAPE)), "names": ["Ann"], "network": NETWORK}
    given = {**good, **change}
    given.setdefault("sequences", given["names"])
    with pytest.raises(GaitError, match=line) as error:
        opened.add(**given)
    assert "\n" not in str(error.value)
    assert len(Gallery.open(opened.folder)) == 31


def test_probes_that_do_not_fit(made):
    opened, *_ = made
    with pytest.raises(GaitError, match=r"\[n, 2, 8\], got \[1, 2, 4\]"):
        opened.search(np.zeros((1, 2, 4)))
    with pytest.raises(GaitError, match="the first is probe 1"):
        opened.search(np.stack([np.zeros(SHAPE), np.full(SHAPE, np.inf)]))


def test_files_cut_short_are_refused(made):
    folder = made[0].folder
    whole = (folder / "embeddings.npy").read_bytes()
    for size, line in (
        (-1, "cut short: expected 2112 bytes, got 2111"),
        (50, "damaged"),
    ):
        (folder / "embeddings.npy").write_bytes(whole[:size])
        with pytest.raises(GaitError, match=line) as error:
            Gallery.open(folder)
        assert "\n" not in str(error.value)
    (folder / "embeddings.npy").unlink()
    with pytest.raises(GaitError, match="cannot read"):
        Gallery.open(folder)
    (folder / "embeddings.npy").write_bytes(whole)
    labels = json.loads((folder / "labels.json").read_text())
    short = json.dumps({key: rows[:30] for key, rows in labels.items()})
    for text, line in (
        (short, "expected 31 names, got 30"),
        (short[:40], "cannot read"),
    ):
        (folder / "labels.json").write_text(text)
        with pytest.raises(GaitError, match=line):
            Gallery.open(folder)
    with pytest.raises(GaitError, match="holds no gallery"):
        Gallery.open(folder / "no")


@pytest.mark.parametrize("fails_at", [1, 2])
def test_an_interrupted_addition_leaves_what_was_there(made, monkeypatch, fails_at):
    """Embeddings are on disk, then the labels or about.json cannot be written."""
    opened, x, names, _ = made
    write, calls = galleries.files.write_json, []

    def failing(*args):
        calls.append(args)
        if len(calls) == fails_at:
            raise OSError("full")
        write(*args)

    more = np.float32(7 + np.arange(32).reshape(2, *SHAPE))
    monkeypatch.setattr(galleries.files, "write_json", failing)
    with pytest.raises(OSError, match="full"):
        opened.add(more, ["Ann", "Bob"], network=NETWORK)
    monkeypatch.undo()
    again = Gallery.open(opened.folder)
    assert again.names == names
    np.testing.assert_array_equal(again.embeddings, x)
    again.add(more[:1], ["Cid"], network=NETWORK)
    last = Gallery.open(opened.folder)
    assert last.names == [*names, "Cid"]
    np.testing.assert_array_equal(last.embeddings, [*x, more[0]])


def test_a_folder_in_use_is_not_taken(made):
    with pytest.raises(GaitError, match="is there already"):
        Gallery.create(made[0].folder, network=NETWORK, shape=SHAPE)


def test_about_is_kept(made):
    opened, *_ = made
    opened.about["threshold"] = {"distance": 1.5}
    opened.save()
    assert Gallery.open(opened.folder).about["threshold"] == {"distance": 1.5}
