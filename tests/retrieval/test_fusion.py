"""Support sets, dissolved clusters and the threshold on clusters made by hand."""

import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.retrieval import fusion


def at(*degrees):
    """Directions in a plane: f32[n,2]."""
    angle = np.deg2rad(degrees)
    return np.float32(np.stack([np.cos(angle), np.sin(angle)], 1))


def test_flat_unit():
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    x[1] = 0
    flat = fusion.flat_unit(x)
    assert flat.shape == (3, 20) and flat.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), [1, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(
        flat[0], x[0].ravel() / np.linalg.norm(x[0]), rtol=1e-5, atol=1e-7
    )


def test_centroids_are_means_of_length_one():
    features = at(0, 20, 90, 300, 0)
    labels = np.int32([0, 0, 1, -1, 0])
    memory = fusion.centroids(features, labels, 4)
    assert memory.dtype == np.float32 and memory.shape == (4, 2)
    mean = (features[0] * 2 + features[1]) / 3
    np.testing.assert_allclose(memory[0], mean / np.linalg.norm(mean), rtol=1e-6)
    np.testing.assert_allclose(memory[1], [0, 1], atol=1e-7)
    assert not memory[2:].any()
    with pytest.raises(GaitError, match="2 clusters do not .* capacity=1; .* to 2 or"):
        fusion.centroids(features, labels, 1)


def test_alone():
    rows = fusion.alone(np.int32([0, 1, -1]), 3, 2)
    np.testing.assert_array_equal(rows, [[0, -1], [1, -1], [-1, -1]])
    assert rows.dtype == np.int32


def test_supports_itself_first_then_the_nearest_to_what_it_wears(monkeypatch):
    memory = np.concatenate([at(0, 40, 90, 130), np.zeros((2, 2), np.float32)])
    # Dressed, 0 looks like 2; 1 like itself; 2 lies between 1 and 3 evenly; 3 like 0.
    dressed = np.concatenate([at(95, 41, 85, 1), np.ones((2, 2), np.float32)])
    want = [[0, 2, 3], [1, 0, 2], [2, 1, 3], [3, 0, 1], [-1] * 3, [-1] * 3]
    monkeypatch.setattr(fusion, "BLOCK", 3)
    rows = fusion.supports(dressed, memory, 3)
    np.testing.assert_array_equal(rows, want)
    np.testing.assert_array_equal(fusion.supports(dressed, memory, 1), rows[:, :1])
    more = fusion.supports(dressed, memory, 6)
    np.testing.assert_array_equal(more[:4, 4:], -1)
    assert np.all(np.sort(more[:4, :4]) == np.arange(4))


def test_supports_ties_go_to_the_lower_number():
    memory = np.float32([[1, 0], [0, 1], [0, 1], [0, 1]])
    rows = fusion.supports(np.float32([[0, 1]] * 4), memory, 3)
    np.testing.assert_array_equal(rows, [[0, 1, 2], [1, 2, 3], [2, 1, 3], [3, 1, 2]])


# Clusters at 0, 60 and 90 degrees; 2 is frontal, spread out; one sequence in none.
DEGREES = (0, 2, 60, 62, 58, 70, 90, 20, 64, 180)
LABELS = np.int32([0, 0, 2, 2, 2, 1, 1, 2, 2, -1])
FRONTAL = np.array([0, 0, 1, 1, 1, 1, 0, 1, 0, 1], bool)


def test_frontal_clusters_by_share():
    for share, want in ((0.79, [0, 0, 1]), (0.8, [0, 0, 0]), (0.49, [0, 1, 1])):
        found = fusion.frontal_clusters(LABELS, FRONTAL, share)
        np.testing.assert_array_equal(found, want)  # 4 of 5 is not more than 0.8


@pytest.mark.parametrize("least", [0.5, 0.9, 0.95, 0.999])
def test_dissolve_takes_in_what_is_near_enough(least):
    """Centroids left: 1 and 80 degrees. 58 .. 64 go to 80 (1), 20 to 1 (0)."""
    far = {2: 20, 3: 18, 4: 22, 7: 19, 8: 16}
    want = LABELS.copy()
    for row, degrees in far.items():
        near = np.cos(np.deg2rad(degrees)) > least
        want[row] = (0 if row == 7 else 1) if near else -1
    found = fusion.dissolve(
        at(*DEGREES), LABELS, FRONTAL, epoch=0, share=0.7, similarity=least
    )
    np.testing.assert_array_equal(found, want)
    assert found.dtype == np.int32


def test_dissolve_numbers_anew_and_leaves_its_input():
    labels = np.int32([2, 2, 0, 0, 0, 1, 1, 0, 0, -1])  # 0 is the frontal one
    before = labels.copy()
    found = fusion.dissolve(
        at(*DEGREES), labels, FRONTAL, epoch=0, share=0.7, similarity=0.999
    )
    np.testing.assert_array_equal(found, [0, 0, -1, -1, -1, 1, 1, -1, -1, -1])
    np.testing.assert_array_equal(labels, before)
    same = fusion.dissolve(at(*DEGREES), labels, FRONTAL, epoch=0, share=1.0)
    np.testing.assert_array_equal(same, [0, 0, 1, 1, 1, 2, 2, 1, 1, -1])


def test_later_epochs_take_in_more():
    taken = [
        np.sum(
            fusion.dissolve(
                at(*DEGREES),
                LABELS,
                FRONTAL,
                epoch=epoch,
                share=0.7,
                similarity=0.97,
                rate=0.01,
            )
            >= 0
        )
        for epoch in (0, 2, 10)
    ]
    assert taken == [4, 6, 9]


def test_threshold_is_the_formula():
    assert fusion.threshold(0, 9) == 0.7
    assert fusion.threshold(10, 9) == pytest.approx(0.65)
    assert fusion.threshold(10, 30, 40) == pytest.approx(0.7 - 10 * 0.005 * 0.75)
    assert fusion.threshold(10, 30, 40, adaptive=False) == pytest.approx(0.65)
    assert fusion.threshold(4, 60, 40, 0.6, 0.01) == pytest.approx(0.54)


def test_nothing_left_says_which_number_to_raise():
    everyone = np.ones(10, bool)
    with pytest.raises(
        GaitError, match="frontal_share=0.8 of 3 of 3 clusters"
    ) as error:
        fusion.dissolve(at(*DEGREES), LABELS, everyone, epoch=0)
    assert "raise frontal_share" in str(error.value)
