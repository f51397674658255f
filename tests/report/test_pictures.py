"""Pictures show the frames that they are of."""

import base64
import io

import numpy as np
from PIL import Image

from gaitjax.report import pictures
from gaitjax.retrieval.rank_lists import RankList


def _frames(modality, row):
    assert modality in ("sils", "points")
    return np.full((5, 8, 6), 10 * row, np.uint8)


def test_rank_list_picture():
    one = RankList(probe=1, gallery=(2, 3), right=(True, False))
    image = pictures.rank_list_picture(one, _frames, "sils", "sils", 2)
    # Three strips of two frames, each with a border of 4 and a margin of 3.
    assert image.shape == (2 * 8 + 14, 3 * (6 + 14), 3) and image.dtype == np.uint8
    colours = [tuple(image[3, x].tolist()) for x in (3, 23, 43)]
    assert colours == [pictures.PROBE, pictures.RIGHT, pictures.WRONG]
    assert [image[12, x, 0] for x in (9, 29, 49)] == [10, 20, 30]
    border = image[3:27, 43:46].reshape(-1, 3)  # that of the wrong one has gaps
    assert {tuple(pixel) for pixel in border.tolist()} == {pictures.WRONG, (0, 0, 0)}


def test_a_strip_of_a_short_sequence_repeats_frames():
    one = RankList(probe=1, gallery=(), right=())
    image = pictures.rank_list_picture(
        one, lambda *which: _frames(*which)[:1], "sils", "sils", 4
    )
    assert image.shape[0] == 4 * 8 + 14


def test_range_views_keep_their_colours():
    ranges = np.zeros((3, 8, 6, 3), np.uint8) + np.uint8([1, 2, 3])
    image = pictures.rank_list_picture(
        RankList(0, (), ()), lambda *which: ranges, "ranges", "sils", 4
    )
    assert image.shape == (4 * 8 + 14, 6 + 14, 3)
    assert image[20, 10].tolist() == [1, 2, 3]


def test_probe_and_gallery_have_their_own_modality():
    asked = []

    def frames(modality, row):
        asked.append((modality, row))
        return np.zeros((2, 8, 6) if modality == "sils" else (3, 16, 16, 3), np.uint8)

    one = RankList(7, (1, 2), (True, False))
    image = pictures.rank_list_picture(one, frames, "sils", "ranges", 2)
    assert asked == [("sils", 7), ("ranges", 1), ("ranges", 2)]
    assert image.shape == (2 * 16 + 14, 20 + 2 * 30, 3)


def test_overlay_is_bright_where_it_is_warm():
    frames = np.full((2, 16, 8), 200, np.uint8)
    heat = np.zeros((2, 4, 2), np.float32)
    heat[1, 0, 0] = 1  # top left of the second frame
    image = pictures.overlay(frames, heat, scale=2)
    assert image.shape == (2 * 32 + 4, 2 * (16 + 4), 3)
    assert (image[2:34, 2:18] == 200).all()  # the frame as it is
    cold, warm = image[34:66, 2:18], image[34:66, 22:38]
    assert cold.max() < 100 and warm[0, 0].max() > 200 and warm[-1, -1].max() < 100


def test_a_picture_survives_its_way_into_the_page():
    image = np.zeros((5, 6, 3), np.uint8)
    image[1, 2] = pictures.RIGHT
    address = pictures.png_data(image)
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    read = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(np.asarray(read), image)
