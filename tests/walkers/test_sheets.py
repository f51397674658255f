"""Contact sheets: what they are, not how they look."""

import numpy as np
import pytest
from PIL import Image

from gaitjax.walkers.sheets import sheets
from tools import show_walkers


@pytest.mark.parametrize("name", list(sheets()))
def test_a_sheet_is_a_movie_with_people_in_it(name):
    movie = sheets()[name](0, 3, 2)
    assert movie.dtype == np.uint8 and movie.shape[0] == 2 and movie.shape[3] == 3
    assert (movie[0] != movie[1]).any()  # they walk
    assert 0.02 < (movie.max(-1) > 60).mean() < 0.6


def test_saved_as_png_and_gif(tmp_path):
    movie = np.arange(3 * 6 * 5 * 3, dtype=np.uint8).reshape(3, 6, 5, 3)
    show_walkers.save(tmp_path / "a", movie)
    with Image.open(tmp_path / "a.png") as sheet, Image.open(tmp_path / "a.gif") as gif:
        assert sheet.size == (5, 6) and gif.n_frames == 3
