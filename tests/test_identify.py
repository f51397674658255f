"""Enrolled, calibrated, identified: with a network of seconds on simulated people."""

import contextlib
import dataclasses
import io
import pathlib
import runpy
import sys

import numpy as np
import pytest

from gaitjax import identify
from gaitjax.errors import GaitError
from gaitjax.evaluate import embed, export_run
from gaitjax.retrieval.gallery import Gallery
from gaitjax.retrieval.verification import OpenSet
from gaitjax.train import train

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def network(_tiny_config, tmp_path_factory):
    config = {**_tiny_config, "data": {**_tiny_config["data"], "val": 0.5, "p": 2}}
    workdir = tmp_path_factory.mktemp("run") / "run"
    with contextlib.redirect_stdout(io.StringIO()):
        train(config, workdir)
    return identify.open_network(workdir)


@pytest.fixture(scope="module")
def pictures(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    identify.write_example(folder, network, number=3)
    return folder


@pytest.fixture(scope="module")
def enrolled(network, pictures, tmp_path_factory):
    """A gallery of two of the three people."""
    folder = tmp_path_factory.mktemp("gallery") / "g"
    identify.enrol(pictures / "people", network, folder)
    return folder


def write_arrays(folder, network, rows):
    """Silhouettes of the test split as OpenGait's pretreatment leaves them."""
    split = network.run.data.test.with_keys(("sils",))
    for row in rows:
        there = folder / split.index.subject[row] / split.index.names[row]
        there.mkdir(parents=True)
        np.save(there / "sils.npy", split[int(row)]["sils"])


def test_embeddings_are_those_of_evaluation(network, tmp_path):
    rows = np.array([0, 5, 9])
    write_arrays(tmp_path / "people", network, rows)
    made = identify.enrol(tmp_path / "people", network, tmp_path / "g")
    split = network.run.data.test
    want = embed(network.run, network.state, split, rows)["sils"]
    order = np.argsort(split.index.names[rows])
    np.testing.assert_allclose(made.embeddings, want[order], atol=1e-5)
    assert made.names == split.index.subject[rows][order].tolist()


def test_a_picture_finds_itself(network, pictures, enrolled):
    opened = Gallery.open(enrolled)
    assert len(set(opened.names)) == 2 and len(opened) > 4
    for probes, found in identify.identify(pictures / "people", network, opened, k=2):
        assert probes == sorted(opened.sequences)
        assert found.sequences[:, 0].tolist() == probes
        np.testing.assert_allclose(found.distances[:, 0], 0, atol=1e-3)
    (one,) = identify.identify(pictures / "people" / probes[0], network, opened)
    assert one[0] == [pathlib.Path(probes[0]).name]
    assert one[1].sequences[0, 0] == probes[0]


def test_no_pictures_are_kept(enrolled):
    files = {path.name for path in enrolled.iterdir()}
    assert files == {"embeddings.npy", "labels.json", "about.json"}


def test_a_second_time_nothing_is_added(network, pictures, enrolled, capsys):
    before = len(Gallery.open(enrolled))
    identify.enrol(pictures / "people", network, enrolled)
    assert f"{before} sequences are in {enrolled} already" in capsys.readouterr().out
    assert len(Gallery.open(enrolled)) == before


def test_calibrated_on_validation_people(network, enrolled, capsys):
    opened = Gallery.open(enrolled)
    assert "no threshold" in identify.notes(opened)[0]
    rows = identify.calibrate(network, opened, far=0.2)
    about = Gallery.open(enrolled).about["threshold"]
    assert about["split"] == "val" and about["people"] == 3
    assert about["far"] <= about["far_allowed"] == 0.2
    assert [row["far_allowed"] for row in rows] == [0.001, 0.01, 0.05, 0.1, 0.2]
    thresholds = [row["distance"] for row in rows]
    assert thresholds == sorted(thresholds) and thresholds[-1] == about["distance"]
    lines = list(identify.rate_lines(rows, opened))
    assert len(lines) == 7 and "against 3 people of walkers (val)" in lines[-1]


def test_rates_of_a_threshold_by_hand():
    """Strangers at 1, 2, 3, 4: half of them may be named, so it is just below 3."""
    seen = OpenSet(
        known=np.array([0.5, 2.5, 3.5, 9.0]),
        right=np.array([True, False, True, True]),
        stranger=np.array([1.0, 2.0, 3.0, 4.0]),
        num_items=5,
        num_people=3,
    )
    row = identify.point(seen, 0.5)
    assert 2.99 < row["distance"] < 3
    assert (row["far"], row["frr"], row["dir"]) == (0.5, 0.5, 0.25)


def test_answers_and_what_is_said_of_them(network, pictures, enrolled):
    opened = Gallery.open(enrolled)
    found = list(identify.identify(pictures / "probes", network, opened, k=99))
    far = found[0][1].distances[:, 0]
    assert len(far) == 3
    opened.about["threshold"] = {"distance": float(np.median(far)), "people": 1}
    opened.about["threshold"]["far"] = 0.01
    lines = list(identify.answer_lines(found, opened))
    assert lines[0].startswith("note: the threshold was measured with 1 people, here")
    assert sum(line.endswith(": unknown") for line in lines) == 1  # beyond the median
    assert lines[-1].startswith("note: k = 99, but the gallery has")
    assert len(lines) == 2 + 3 * (1 + len(opened))
    opened.about["threshold"] = None
    lines = list(identify.answer_lines(found, opened))
    assert not any(line.endswith(": unknown") for line in lines)


def test_bad_folders(network, enrolled, tmp_path):
    with pytest.raises(GaitError, match="is not a folder"):
        identify.enrol(tmp_path / "no", network, enrolled)
    with pytest.raises(GaitError, match="holds no sequences; expected folders"):
        identify.enrol(tmp_path, network, enrolled)
    (tmp_path / "Ann" / "walk").mkdir(parents=True)
    (tmp_path / "Ann" / "walk" / "0.png").write_bytes(b"nothing")
    with pytest.raises(GaitError, match="nothing usable: 1 sequences.*0.png") as error:
        identify.enrol(tmp_path, network, tmp_path / "new")
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()
    with pytest.raises(GaitError, match="holds frames itself"):
        identify.enrol(tmp_path / "Ann" / "walk", network, tmp_path / "new")


def test_what_is_unusable_is_left_out_and_said(network, pictures, tmp_path, capsys):
    write_arrays(tmp_path, network, [0])
    (tmp_path / "Bob" / "walk").mkdir(parents=True)
    np.save(tmp_path / "Bob" / "walk" / "sils.npy", np.zeros((4, 64, 64), np.uint8))
    made = identify.enrol(tmp_path, network, tmp_path / "g")
    assert len(made) == 1 and "Bob" not in made.names
    out = capsys.readouterr().out
    assert "Bob/walk: no frames: all silhouettes are empty (left out)" in out


def test_another_network_is_refused(network, pictures, enrolled):
    other = dataclasses.replace(network, about={**network.about, "weights": "xyz"})
    opened = Gallery.open(enrolled)
    for task in (
        lambda: identify.enrol(pictures / "people", other, enrolled),
        lambda: next(identify.identify(pictures / "probes", other, opened)),
        lambda: identify.calibrate(other, opened),
    ):
        with pytest.raises(GaitError, match="made by another network: weights differ"):
            task()


def test_without_validation_people_there_is_no_threshold(network, enrolled):
    data = dataclasses.replace(network.run.data, val_rows=np.array([], int))
    without = dataclasses.replace(
        network, run=dataclasses.replace(network.run, data=data)
    )
    with pytest.raises(GaitError, match=r"data.val is 0.*train with --config.data.val"):
        identify.calibrate(without, Gallery.open(enrolled))


def test_pictures_of_real_people_are_not_written(network, tmp_path):
    data = dataclasses.replace(network.run.data, name="gait3d")
    real = dataclasses.replace(network, run=dataclasses.replace(network.run, data=data))
    with pytest.raises(GaitError, match="real people, no pictures of them are written"):
        identify.write_example(tmp_path, real)


def test_a_view_must_be_one_of_the_network(network):
    with pytest.raises(GaitError, match="--view is one of sils, got ranges"):
        identify.open_network(network.run.workdir, "ranges")
    with pytest.raises(GaitError, match="holds no run"):
        identify.open_network(network.run.workdir / "no")


def test_exported_weights_are_the_same_network(network, tmp_path):
    export_run(network.run.config, network.run.workdir)
    again = identify.open_network(network.run.workdir / "export")
    assert again.about == network.about


def test_the_command_line(network, pictures, enrolled, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["identify.py", *map(str, words)])
        runpy.run_path(str(ROOT / "tools/identify.py"), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    there = "--gallery", enrolled
    lines = run("calibrate", "--workdir", network.run.workdir, *there, "--far", "0.5")
    assert lines[-1].startswith("unknown beyond ")
    lines = run("identify", pictures / "probes", *there, "--k", "1")  # knows its run
    assert sum(line.startswith("     1  ") for line in lines) == 3
    with pytest.raises(SystemExit, match="^error: .* holds no gallery"):
        run("identify", pictures / "probes", "--gallery", enrolled / "no")
