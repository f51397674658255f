"""Embeddings without a network: counts that a person can do."""

import numpy as np
import pytest

from gaitjax.retrieval import baselines


def _boxes():
    sils = np.zeros((3, 8, 6), np.uint8)
    sils[0, 1:5, 2:4] = 255  # 4 high, 2 wide
    sils[1, 1:7, 1:5] = 255  # 6 high, 4 wide
    sils[2] = 255  # padding
    return sils, np.array([1, 1, 0])


def test_gait_energy_image_is_the_mean_of_the_real_frames():
    sils, mask = _boxes()
    energy = baselines.gait_energy_image(sils, mask)
    assert energy.shape == (1, 48) and energy.dtype == np.float32
    image = energy.reshape(8, 6)
    assert image[2, 2] == 1 and image[6, 1] == 0.5 and image[0, 0] == 0
    np.testing.assert_array_equal(energy, baselines.gait_energy_image(sils[:2]))


def test_size_statistics():
    got = baselines.size_statistics(*_boxes())
    np.testing.assert_allclose(got, [[16, 3, 5, 8, 1, 1]])  # area, width, height


def test_empty_frames_do_not_count():
    sils, _ = _boxes()
    sils[2] = 0
    np.testing.assert_array_equal(
        baselines.size_statistics(sils), baselines.size_statistics(sils[:2])
    )
    assert not baselines.size_statistics(sils[2:]).any()


def test_standardise():
    reference = np.array([[[0.0, 5.0]], [[4.0, 5.0]]])
    got = baselines.standardise(np.array([[[4.0, 6.0]]]), reference)
    np.testing.assert_allclose(got, [[[1, 1]]])


def test_no_frame_at_all():
    sils, _ = _boxes()
    with pytest.raises(ValueError, match="one frame or more"):
        baselines.gait_energy_image(sils, np.zeros(3))
