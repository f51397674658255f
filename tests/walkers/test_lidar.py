"""The LiDAR against brute force, its occlusion, its points and its depth view."""

import dataclasses

import matplotlib
import numpy as np
import pytest

from gaitjax.walkers.body import sample_body
from gaitjax.walkers.camera import Camera, Sight, silhouettes
from gaitjax.walkers.gait import sample_gait, walk
from gaitjax.walkers.lidar import (
    Lidar,
    range_view,
    sample_lidar,
    sample_points,
    scan,
)
from gaitjax.walkers.normalise import normalise
from gaitjax.walkers.rangeview import PIXEL, jet
from gaitjax.walkers.rays import Window, _entries, cast, window_around
from gaitjax.walkers.surface import Capsules, capsules


def by_brute_force(surface, directions, places=401):
    """Ranges of the balls at many places of every capsule, and by how much a ray is
    clear of grazing any capsule: directions [3, n] -> [t, n] both."""
    ranges = np.full((len(surface.start), directions.shape[1]), np.inf)
    clear = np.full_like(ranges, np.inf)
    for one in range(surface.start.shape[1]):
        depth = np.full_like(ranges, -np.inf)
        for s in np.linspace(0.0, 1.0, places):
            centre = (1 - s) * surface.start[:, one] + s * surface.end[:, one]
            radius = (1 - s) * surface.start_radius[one] + s * surface.end_radius[one]
            ahead = centre @ directions
            off = np.sqrt(np.maximum((centre**2).sum(-1)[:, None] - ahead**2, 0.0))
            np.maximum(depth, radius - off, out=depth, where=ahead > 0)
            entry = ahead - np.sqrt(np.maximum(radius**2 - off**2, 0.0))
            np.minimum(ranges, entry, out=ranges, where=(off < radius) & (entry > 0))
        np.minimum(clear, np.abs(depth), out=clear)
    return ranges, clear


def one(start, end, *radii):
    start, end = np.array((start, end), float)[:, None, None]
    return Capsules(start, end, *np.array(radii, float)[:, None])


CASES = {
    "limb": one((-2, 0.2, 0.3), (-1.8, 0.6, -0.6), 0.16, 0.10),
    "ball": one((-7, 0, 0), (-7, 0, 0), 0.4, 0.4),
    "nested": one((-7, 0, 0), (-6.9, 0, 0.1), 0.5, 0.2),
    "pointing at the sensor, thin end first": one((-3, 0.1, 0), (-8, 0, 0), 0.1, 0.9),
    "pointing at the sensor, thick end first": one((-3, 0.1, 0), (-8, 0, 0), 0.5, 0.1),
    "along the ray, no taper": one((-3, 0, 0), (-8, 0, 0), 0.3, 0.3),
    "near rail": one((-2, -6, 0.9), (-2, 6, 1.1), 0.1, 0.3),
    "near pole": one((-1, 0.3, -2), (-1, 0.3, 3), 0.1, 0.2),
    "steep": one((-2, 0.8, 2.2), (-2, -0.9, 2.4), 0.1, 0.1),
    "around the corner": one((-1.2, 0, 0.3), (3, 3, 0.3), 0.1, 0.1),
}


@pytest.mark.parametrize("case", CASES)
def test_ranges_are_those_of_the_balls(case):
    # +-56 degrees of elevation, +-70 of azimuth
    grid = Window(np.array([-28]), np.array([-35]), 57, 71, 2.0, 2.0)
    ranges, clear = by_brute_force(CASES[case], rays_of(grid), places=4001)
    sure = clear[0] > 1e-4
    found = cast(CASES[case], grid).reshape(1, -1)
    assert sure.mean() > 0.99 and np.isfinite(ranges[0, sure]).sum() > 5
    np.testing.assert_allclose(found[0, sure], ranges[0, sure], atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_no_ray_is_left_out(case):
    grid = Window(np.array([-250]), np.array([-350]), 501, 701, 0.2, 0.2)
    directions = rays_of(grid)
    every = _entries(CASES[case], np.array([directions.shape[1]]), directions)
    np.testing.assert_array_equal(cast(CASES[case], grid).ravel(), every)


def rays_of(window):
    return window.directions().reshape(3, -1)


def test_a_whole_walker_by_brute_force():
    surface = in_front(walker(frames=2), 7.0)
    window = window_around(surface, 0.5, 0.4)
    directions = window.directions()
    found = cast(surface, window)
    for frame in (0, 1):
        some = dataclasses.replace(
            surface, start=surface.start[[frame]], end=surface.end[[frame]]
        )
        ranges, clear = by_brute_force(some, directions[:, frame].reshape(3, -1), 201)
        sure = clear[0] > 2e-4
        assert 150 < np.isfinite(ranges).sum() < 0.6 * ranges.size and sure.mean() > 0.9
        here = found[frame].reshape(-1)
        np.testing.assert_allclose(here[sure], ranges[0, sure], atol=1e-3)
    # Nothing of the walker is outside of the window.
    assert not np.isfinite(found[:, [0, -1]]).any()
    assert not np.isfinite(found[:, :, [0, -1]]).any()


def test_no_seam_behind_the_sensor():
    """A walker at azimuth 180: the same picture, by symmetry, as one at azimuth 0."""
    there = in_front(walker(frames=1), 7.0)
    turn = np.array((-1.0, -1.0, 1.0))
    behind = dataclasses.replace(there, start=there.start * turn, end=there.end * turn)
    window, other = (window_around(s, 0.25, 0.25) for s in (there, behind))
    # 180 degrees is 720 columns of the grid.
    assert (other.first_column - window.first_column) % 1440 == 720
    np.testing.assert_allclose(cast(behind, other), cast(there, window), atol=1e-9)


def walker(frames=3, seed=7):
    body = sample_body(np.random.default_rng(seed), 0.0)
    gait = sample_gait(np.random.default_rng(seed), body, 0.0)
    motion = walk(np.random.default_rng(0), body, gait, frames, fps=10.0, spread=0.0)
    return capsules(body, motion)


def in_front(surface, distance):
    away = np.array((-distance, 0.0, -1.2))
    return dataclasses.replace(
        surface, start=surface.start + away, end=surface.end + away
    )


def clean(surface, lidar, occluders=None):
    return scan(np.random.default_rng(0), surface, lidar, occluders, noise=0.0)


def as_set(points):
    return {tuple(point) for point in points[~np.isnan(points[:, 0])].tolist()}


def test_points_lie_on_the_walker_in_the_sensors_frame():
    """From the left: at 7 m on -x, above the ground, forward is on negative y."""
    surface, lidar = walker(frames=9), Lidar(90.0)
    points = clean(surface, lidar)
    assert points.dtype == np.float32 and points.shape[0] == 9
    middle = np.nanmedian(points, 1)  # [t, 3]
    np.testing.assert_allclose(middle[:, 0], -6.9, atol=0.15)
    np.testing.assert_allclose(middle[:, 2], 0.9 - 1.2, atol=0.25)
    assert (np.diff(middle[:, 1]) < 0).all()
    assert -1.25 < np.nanmin(points[..., 2]) < -1.05
    # On grid angles, all of them.
    x, y, z = points[~np.isnan(points[..., 0])].astype(float).T
    for angle, step in (
        (np.arctan2(y, -x), lidar.azimuth_step),
        (np.arctan2(z, np.hypot(x, y)), lidar.elevation_step),
    ):
        cells = np.rad2deg(angle) / step
        np.testing.assert_allclose(cells, np.rint(cells), atol=1e-3)
    # nan only at the end of a frame, and not at the end of the longest
    missing = np.isnan(points)
    assert (missing.all(2) == missing.any(2)).all()
    assert (np.diff(missing[..., 0].astype(int), axis=1) >= 0).all()
    assert not missing[:, -1].all()


def test_an_occluder_hides_what_is_behind_it_and_only_that():
    surface, lidar = walker(), Lidar(0.0)
    bare = clean(surface, lidar)
    # A pole in front of the walker's left half, seen from in front.
    foot, top = np.array((3.0, 0.15, 0.0)), np.array((3.0, 0.15, 3.0))
    pole = Capsules(
        np.tile(foot, (3, 1, 1)), np.tile(top, (3, 1, 1)), *np.full((2, 1), 0.05)
    )
    hidden = clean(surface, lidar, pole)
    for before, after in zip(bare, hidden, strict=True):
        after = as_set(after)
        assert after < as_set(before)
        for x, y, z in as_set(before):
            place = np.array((x, y)) * 4.0 / -x  # at the pole's distance
            behind = np.abs(place[1] - 0.15) * -x / np.hypot(x, y) < 0.05
            assert ((x, y, z) in after) != behind
    away = np.array((-6.0, 0.0, 0.0))
    far = dataclasses.replace(pole, start=pole.start + away, end=pole.end + away)
    np.testing.assert_array_equal(clean(surface, lidar, far), bare)


def test_noise_is_along_the_ray_and_dropout_takes_its_share():
    surface = walker(frames=20)
    lidar = Lidar(45.0, noise=0.03, dropout=0.25)
    exact = clean(surface, lidar)
    noisy = scan(np.random.default_rng(0), surface, dataclasses.replace(lidar, noise=0))
    left = [(~np.isnan(points[..., 0])).sum() for points in (noisy, exact)]
    assert abs(left[0] / left[1] - 0.75) < 0.02
    noisy = scan(
        np.random.default_rng(0), surface, dataclasses.replace(lidar, dropout=0.0)
    )
    a, b = (
        noisy[~np.isnan(noisy)].reshape(-1, 3),
        exact[~np.isnan(exact)].reshape(-1, 3),
    )
    near, far = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(a / near[:, None], b / far[:, None], atol=1e-5)
    assert abs((near - far).std() - 0.03) < 0.002 and abs((near - far).mean()) < 0.002


def test_what_is_far_from_the_walker_in_depth_is_cut():
    surface, lidar = walker(), Lidar(0.0)
    ball = np.tile(np.array((-1.5, 0.0, 2.4)), (3, 1, 1))
    balloon = dataclasses.replace(
        surface,
        start=np.append(surface.start, ball, 1),
        end=np.append(surface.end, ball, 1),
        start_radius=np.append(surface.start_radius, 0.3),
        end_radius=np.append(surface.end_radius, 0.3),
    )
    for bare, more in zip(clean(surface, lidar), clean(balloon, lidar), strict=True):
        assert as_set(more) == as_set(bare)


def test_same_seed_same_bits_and_frames_do_not_mix():
    surface, lidar = walker(frames=7), Lidar(120.0)
    first, again, other = (
        scan(np.random.default_rng(seed), surface, lidar) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(
        np.nan_to_num(first[:, :50]), np.nan_to_num(other[:, :50])
    )
    last = dataclasses.replace(surface, start=surface.start[6:], end=surface.end[6:])
    assert as_set(clean(last, lidar)[0]) == as_set(clean(surface, lidar)[6])


def test_nothing_to_see():
    """A wall in front of everything, for some frames or for all."""
    surface, lidar = walker(), Lidar(90.0)
    ball = np.tile(np.array((0.0, 5.0, 1.0)), (3, 1, 1))
    wall = Capsules(ball, ball, *np.full((2, 1), 1.5))
    points = clean(surface, lidar, wall)
    assert np.isnan(points).all() and points.shape[::2] == (3, 3)
    assert not range_view(points).any() and range_view(points).shape == (3, 64, 64, 3)
    assert sample_points(np.random.default_rng(0), points, 4).shape == (3, 4, 3)
    aside = wall.start + (np.arange(3) == 1)[:, None, None] * np.array((50.0, 0, 0))
    points = clean(surface, lidar, dataclasses.replace(wall, start=aside, end=aside))
    np.testing.assert_array_equal(np.isnan(points).all((1, 2)), (True, False, True))
    view = range_view(points)
    np.testing.assert_array_equal(view.any((1, 2, 3)), (False, True, False))
    np.testing.assert_array_equal(range_view(points[1:2])[0], view[1])


def test_some_points_of_each_frame():
    points = clean(walker(frames=4), Lidar(30.0))
    points[2, 40:] = np.nan
    some = sample_points(np.random.default_rng(0), points, 100)
    assert some.shape == (4, 100, 3) and some.dtype == np.float32
    for frame in (0, 1, 3):
        assert as_set(some[frame]) < as_set(points[frame])
        assert len(as_set(some[frame])) == 100
    assert as_set(some[2]) == as_set(points[2]) and np.isnan(some[2, 40:]).all()
    np.testing.assert_array_equal(
        some, sample_points(np.random.default_rng(0), points, 100)
    )
    more = sample_points(np.random.default_rng(0), points, points.shape[1] + 5)
    assert more.shape[1] == points.shape[1] + 5 and np.isnan(more[:, -5:]).all()


def test_the_place_of_the_sensor():
    rng = np.random.default_rng(0)
    places = [sample_lidar(rng, 36.0) for _ in range(300)]
    for values, mean, deviation in (
        ([place.view for place in places], 36.0, 1.5),
        ([place.distance for place in places], 7.0, 0.28),
        ([place.height for place in places], 1.2, 0.05),
    ):
        assert abs(np.mean(values) - mean) < 0.25 * deviation
        assert abs(np.std(values) / deviation - 1) < 0.15
    assert sample_lidar(rng, 36.0, spread=0.0).view == 36.0
    level, high = (sample_lidar(np.random.default_rng(1), 0.0, 1.0, e) for e in (0, 40))
    assert level.height == 0.9 and high.view == level.view
    angle = np.arctan2(high.height - 0.9, high.distance)
    np.testing.assert_allclose(np.rad2deg(angle), 40.0)
    np.testing.assert_allclose(
        np.hypot(high.height - 0.9, high.distance), level.distance
    )


@pytest.mark.parametrize("view", [36.0, 90.0, 250.0])
def test_the_view_is_the_cameras(view):
    """From one place; for poses with unlike left and right halves."""
    surface = walker(frames=4, seed=3)
    place = {"view": view, "distance": 7.0, "height": 1.2}
    masks = silhouettes(
        np.random.default_rng(0), surface, Camera(**place), Sight(noise=0.0)
    )
    mask = normalise(masks) > 127
    # Splats are fatter than the walker: fine rays first, as they are.
    fine = Lidar(**place, azimuth_step=0.1, elevation_step=0.1)
    hits = hit_by(clean(surface, fine), 0.1)
    drawn = range_view(clean(surface, Lidar(**place))).sum(-1, dtype=int) > 150
    for seen, least in ((hits, 0.87), (drawn, 0.65)):
        seen = normalise(seen) > 127
        assert overlap(seen, mask) > least
        assert overlap(seen[:, :, ::-1], mask) < overlap(seen, mask) - 0.03


def hit_by(points, step):
    """Mask of the rays of a grid that returned points, top row first."""
    frame, _ = np.nonzero(~np.isnan(points[..., 0]))
    x, y, z = points[~np.isnan(points[..., 0])].astype(float).T
    row = np.rint(-np.rad2deg(np.arctan2(z, np.hypot(x, y))) / step).astype(int)
    column = np.rint(np.rad2deg(np.arctan2(y, -x)) / step).astype(int)
    mask = np.zeros((len(points), np.ptp(row) + 1, np.ptp(column) + 1), bool)
    mask[frame, row - row.min(), column - column.min()] = True
    return mask


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def test_jet_is_matplotlibs():
    theirs = matplotlib.colormaps["jet"](np.arange(256))[:, :3]
    assert np.abs(jet() - 255 * theirs).max() <= 1.0


def dots(*rows):
    """One frame of points from rows (pixel row, pixel column, horizontal range)."""
    row, column, ground = np.array(rows, float).T
    turn, rise = np.deg2rad(column * PIXEL[1]), -np.deg2rad(row * PIXEL[0])
    x, y, z = -np.cos(turn), np.sin(turn), np.tan(rise)
    return (np.stack([x, y, z], -1) * ground[:, None])[None].astype(np.float32)


def test_a_depth_view_by_hand():
    """31 dots above each other: 32 rows, 2 columns, at twice the size."""
    picture = range_view(dots(*((row, 5, 6 if row < 15 else 8) for row in range(31))))[
        0
    ]
    expected = np.zeros((64, 3))
    # Half of the mass is passed in the second column, so x = 1.5 is at 32: the edges
    # come to 29 and 33, half a column wide.
    expected[28:34, 0] = 128 * np.array((0.25, 0.75, 1.0, 1.0, 0.75, 0.25))
    np.testing.assert_array_equal(picture[:31], np.tile(expected, (31, 1, 1)))
    np.testing.assert_array_equal(picture[33:], np.tile(expected[:, ::-1], (31, 1, 1)))


def test_the_nearest_splat_is_on_top():
    points = dots((0, 0, 6), (1, 0, 8), (13, 0, 8), (14, 0, 6))
    both = [range_view(points[:, order]) for order in ([0, 1, 2, 3], [3, 2, 1, 0])]
    np.testing.assert_array_equal(*both)
    # Of 16 rows, 4 high each: 0 and 1 are red, 2 blue; 13 blue, 14 and 15 red.
    red, _, blue = both[0][0, :, 31].astype(int).T
    assert (red - blue)[[1, 6, 57, 62]].min() > 60
    assert (blue - red)[[9, 10, 53, 54]].min() > 60


def test_a_depth_view_changes_with_neither_place_nor_size():
    points = clean(walker(), Lidar(60.0))
    view = range_view(points)
    assert view.dtype == np.uint8 and view.any(-1).any(2).all()  # 64 rows, every frame
    mass = view.sum((1, 3), dtype=np.int64).cumsum(1)
    middle = (2 * mass > mass[:, -1:]).argmax(1)
    assert (np.abs(middle + 0.5 - 32) <= 1).all()
    mixed = points[:, np.random.default_rng(0).permutation(points.shape[1])]
    np.testing.assert_array_equal(range_view(mixed), view)

    def share_alike(other):
        return (np.abs(range_view(other) - view.astype(int)) < 8).mean()

    # A dot on the edge of a pixel may go to the next one.
    assert share_alike(points * np.float32(1.5)) > 0.995
    for columns in (70, -70, 938):  # 938 is half a turn
        angle = np.deg2rad(columns * PIXEL[1])
        c, s = np.cos(angle), np.sin(angle)
        around = np.array(((c, -s, 0), (s, c, 0), (0, 0, 1)))
        assert share_alike((points @ around.T).astype(np.float32)) > 0.995
    assert share_alike(points * (1, -1, 1)) < 0.95
