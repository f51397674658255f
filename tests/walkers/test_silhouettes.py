"""From capsules to normalised silhouettes, against brute force and by hand."""

import dataclasses

import numpy as np
import pytest

from gaitjax.walkers.body import sample_body
from gaitjax.walkers.camera import Camera, Sight, project, silhouettes
from gaitjax.walkers.gait import sample_gait, walk
from gaitjax.walkers.normalise import normalise
from gaitjax.walkers.raster import fill, intervals
from gaitjax.walkers.surface import Capsules, capsules
from gaitjax.walkers.wear import Wear

ROWS, COLUMNS = 40, 48
EXACT = Sight(noise=0.0)


def by_brute_force(start, end, start_radius, end_radius):
    """Depth of each pixel centre inside the disc that glides from start to end, found
    by trying 4001 places of it; positive is inside."""
    y, x = np.mgrid[:ROWS, :COLUMNS] + 0.5
    depth = np.full((ROWS, COLUMNS), -np.inf)
    for s in np.linspace(0.0, 1.0, 4001):
        centre = (1 - s) * start + s * end
        radius = (1 - s) * start_radius + s * end_radius
        np.maximum(depth, radius - np.hypot(x - centre[0], y - centre[1]), out=depth)
    return depth


CASES = {
    "slanted": ((12.3, 9.1), (33.7, 30.2), 6.4, 2.7),
    "upright": ((20.0, 8.0), (20.0, 30.0), 3.0, 5.5),
    "level": ((9.0, 20.0), (38.0, 20.0), 7.0, 2.0),
    "almost level": ((9.0, 20.2), (38.0, 20.2001), 4.0, 4.0),
    "nested": ((20.3, 20.1), (22.0, 21.0), 9.0, 3.0),
    "a disc": ((20.3, 20.1), (20.3, 20.1), 5.0, 5.0),
    "over the edge": ((-3.0, 10.0), (52.0, 44.0), 5.0, 8.0),
    "thin": ((5.2, 33.3), (41.9, 4.8), 0.6, 0.4),
    "outside": ((-30.0, 10.0), (-20.0, 20.0), 4.0, 5.0),
}


@pytest.mark.parametrize("case", CASES)
def test_one_capsule_is_the_hull_of_its_discs(case):
    start, end, start_radius, end_radius = (
        np.array(value, np.float32) for value in CASES[case]
    )
    rows = intervals(
        start[None, None],
        end[None, None],
        start_radius[None, None],
        end_radius[None, None],
        ROWS,
    )
    mask = fill(*rows, COLUMNS)[0]
    depth = by_brute_force(start, end, start_radius, end_radius)
    sure = np.abs(depth) > 1e-3  # the rest are ties on the boundary
    np.testing.assert_array_equal(mask[sure], depth[sure] > 0)
    assert (~sure).sum() <= 4


def test_capsules_unite_and_frames_stay_apart():
    start = np.array([[[10, 10], [20, 14]], [[30, 30], [12, 25]]], np.float32)
    end = start + np.float32(5.3)
    radius = np.array([[4.2, 6.1], [3.3, 2.2]], np.float32)

    def mask(frames, which):
        discs = (a[frames, which] for a in (start, end, radius, radius))
        return fill(*intervals(*discs, ROWS), COLUMNS)

    every = slice(None)
    both = mask(every, every)
    for frame in (0, 1):
        alone = [mask([frame], [[which]])[0] for which in (0, 1)]
        np.testing.assert_array_equal(both[frame], alone[0] | alone[1])


def test_camera_directions():
    """From the left (90 degrees) forward is to the picture's left; up is up."""
    points = np.array([[[0, 0, 0.9], [1, 0, 0.9], [0, 1, 0.9], [0, 0, 1.9]]], float)
    radius = np.full(4, 0.01)
    dots = Capsules(points, points, radius, radius)
    for view, axis, sign in ((90.0, 1, -1), (0.0, 2, 1), (180.0, 2, -1)):
        (start, *_), _ = project(dots, Camera(view, height=0.9))
        middle, up = start[0, 0], start[0, 3]
        assert sign * (start[0, axis, 0] - middle[0]) > 40
        np.testing.assert_allclose(up[0], middle[0], atol=1e-3)
        np.testing.assert_allclose(middle[1] - up[1], 57.14, atol=0.1)  # focal / 6 m


def test_noise_zero_is_exact_and_noise_is_not():
    body, _, motion = walker()
    surface = capsules(body, motion)
    exact = [clean(surface, 90.0, seed) for seed in (0, 1)]
    np.testing.assert_array_equal(*exact)
    noisy = silhouettes(np.random.default_rng(0), surface, Camera(90.0))
    differ = (noisy != exact[0]).sum() / exact[0].sum()
    assert 0.01 < differ < 0.25


def test_tall_walkers_are_zoomed_out():
    body, _, motion = walker(stature=2.05)
    near = Camera(0.0, distance=4.0)
    masks = silhouettes(np.random.default_rng(0), capsules(body, motion), near, EXACT)
    assert not masks[:, 0].any() and not masks[:, -1].any()
    assert masks.any(2).sum(1).max() > 118


def test_a_bag_adds_area_and_never_takes_any():
    body, gait, _ = walker()
    for bag in ("back", "shoulder", "hand"):
        wear = Wear(bag=bag, bag_side=-1, bag_radius=0.06)
        motion = walk(np.random.default_rng(0), body, gait, 6, wear=wear, spread=0.0)
        bare, laden = capsules(body, motion), capsules(body, motion, wear)
        growth = [
            clean(laden, view).sum() / clean(bare, view).sum()
            for view in (0.0, 36.0, 90.0)
        ]
        # The body hides a rucksack from in front, the hip a shoulder bag from the side.
        assert min(growth) >= 1.0 and max(growth) > 1.03, bag


def test_clothes_widen_trunk_and_coat_covers_the_thighs():
    body, _, motion = walker()
    plain = clean(capsules(body, motion), 0.0)
    jacket = clean(capsules(body, motion, Wear(torso=0.02, arm=0.01)), 0.0)
    coat = clean(capsules(body, motion, Wear(torso=0.01, hem=0.9, flare=0.055)), 90.0)
    bare = clean(capsules(body, motion, Wear(torso=0.01)), 90.0)
    trunk = slice(35, 60)  # rows of the 128; the walker fills about 15 to 113
    widths = [masks[:, trunk].sum(2).mean() for masks in (plain, jacket)]
    assert widths[1] > widths[0] + 1.5
    thighs = slice(68, 84)
    assert coat[:, thighs].sum() > 1.1 * bare[:, thighs].sum()


def walker(stature=1.7):
    rng = np.random.default_rng(7)
    body = dataclasses.replace(sample_body(rng, 0.0), stature=stature)
    gait = sample_gait(rng, body, 0.0)
    return body, gait, walk(np.random.default_rng(0), body, gait, 6, spread=0.0)


def clean(surface, view, seed=0):
    return silhouettes(np.random.default_rng(seed), surface, Camera(view), EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_normalised_people_fill_the_height_and_are_centred(seed):
    rng = np.random.default_rng(seed)
    body = sample_body(rng, 1.3)
    gait = sample_gait(rng, body, 1.3)
    motion = walk(rng, body, gait, 10)
    for view in (0.0, 54.0, 90.0):
        masks = silhouettes(rng, capsules(body, motion), Camera(view), EXACT)
        sils = normalise(masks)
        assert sils.shape == (10, 64, 64) and sils.dtype == np.uint8
        assert sils.any(2).all() and sils.max() == 255
        mass = sils.sum(1, dtype=np.int64).cumsum(1)
        middle = (2 * mass > mass[:, -1:]).argmax(1)
        assert (np.abs(middle + 0.5 - 32) <= 1).all()


def test_normalise_a_bar_by_hand():
    """80 rows by 20 columns, at 4/5: 16 columns wide, about the centre of column 59."""
    mask = np.zeros((1, 100, 120), np.bool_)
    mask[:, 7:87, 49:69] = True
    row = normalise(mask)[0, 0].astype(int)
    assert (normalise(mask)[0] == row).all()
    # Edges 49 and 69 come to 32 + (49 - 59.5) 4/5 = 23.6 and 39.6.
    expected = np.zeros(64)
    expected[24:39] = 255
    expected[[23, 39]] = 0.4 * 255, 0.6 * 255
    np.testing.assert_allclose(row, expected, atol=1.0)


def test_normalise_keeps_a_picture_of_the_right_size():
    rng = np.random.default_rng(0)
    picture = rng.integers(1, 256, (2, 64, 64), dtype=np.uint8)
    columns = picture.sum(1, dtype=np.int64).cumsum(1)
    middle = (2 * columns > columns[:, -1:]).argmax(1)
    out = normalise(picture)
    for frame in (0, 1):
        # The middle column's centre comes to 32, half a pixel off every pixel grid.
        pair = picture[frame].astype(float)
        first = middle[frame] - 32
        for column in (20, 32, 45):
            mean = 0.5 * (pair[:, column + first] + pair[:, column + first + 1])
            assert np.abs(out[frame, :, column] - mean).max() <= 1.0


def test_normalise_leaves_empty_frames_empty():
    masks = np.zeros((3, 50, 40), np.bool_)
    masks[1, 10:30, 15:22] = True
    sils = normalise(masks)
    assert not sils[[0, 2]].any()
    np.testing.assert_array_equal(sils[1], normalise(masks[1:2])[0])
    assert normalise(masks, size=32).shape == (3, 32, 32)


def test_normalise_grey_as_well_as_bool():
    body, _, motion = walker()
    masks = clean(capsules(body, motion), 90.0)
    np.testing.assert_array_equal(
        normalise(masks), normalise(masks.astype(np.uint8) * 255)
    )
