"""Poses of COCO-17, the detector's errors, and heat maps against a slow twin."""

import itertools
import math

import numpy as np
import pytest
from sklearn.impute import KNNImputer

from gaitjax.errors import GaitError
from gaitjax.walkers.body import ANKLES, HIPS, WRISTS
from gaitjax.walkers.camera import Camera, project
from gaitjax.walkers.gait import walk
from gaitjax.walkers.pose import (
    FROM_OPENPOSE,
    _impute,
    add_errors,
    coco_from_openpose18,
    coco_keypoints,
    detect,
    heat_maps,
    in_sight,
    project_points,
)
from gaitjax.walkers.sequence import make_identity
from gaitjax.walkers.surface import Capsules, capsules

WHO = make_identity(0, 3)
NOSE, EYES, EARS, SHOULDERS = 0, (1, 2), (3, 4), (5, 6)
# The 17 limbs of specs/opengait.md 1.5, by name.
SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
NAMES = ["nose"] + [f"{side} {name}" for name in SIDED for side in ("left", "right")]
CHAINS = (
    "nose eye ear",
    "nose shoulder elbow wrist",
    "shoulder hip knee ankle",
)


def limbs_by_name():
    pairs = [("left hip", "right hip")]
    for chain in CHAINS:
        for side in ("left ", "right "):
            names = [n if n == "nose" else side + n for n in chain.split()]
            pairs += itertools.pairwise(names)
    return [(NAMES.index(first), NAMES.index(second)) for first, second in pairs]


def a_walk(num_frames=12):
    rng = np.random.default_rng(4)
    return walk(rng, WHO.body, WHO.gait, num_frames)


def keypoints_of(motion):
    return coco_keypoints(motion.joints, motion.orientations, WHO.body)


def poses(view=60.0, num_frames=12, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return detect(rng, keypoints_of(a_walk(num_frames)), Camera(view), noise)


# Keypoints.


def test_limbs_and_face_are_where_they_belong():
    motion = a_walk()
    points = keypoints_of(motion)
    np.testing.assert_array_equal(points[:, 11:13], motion.joints[:, HIPS])
    np.testing.assert_array_equal(points[:, 15:17], motion.joints[:, ANKLES])
    np.testing.assert_array_equal(points[:, 9:11], motion.joints[:, WRISTS])
    ears = points[:, EARS].mean(1)
    left = points[:, EARS[0]] - points[:, EARS[1]]
    assert (np.linalg.norm(left, axis=-1) > 0.10).all()
    assert (np.linalg.norm(left, axis=-1) < 0.20).all()
    assert (left[:, 1] > 0.09).all()
    nose = points[:, NOSE] - ears
    assert ((nose[:, 0] > 0.06) & (nose[:, 0] < 0.16)).all()
    assert (points[:, EYES, 2].min(1) > points[:, NOSE, 2]).all()
    assert (points[:, NOSE, 2] > points[:, SHOULDERS, 2].max(1) + 0.1).all()


def test_openpose_joints_by_name():
    """OpenPose-18 has a neck, the right side first, and the face at the end."""
    order = ["nose", "neck"]
    for side in ("right", "left"):
        order += [f"{side} {name}" for name in ("shoulder", "elbow", "wrist")]
    for side in ("right", "left"):
        order += [f"{side} {name}" for name in ("hip", "knee", "ankle")]
    order += ["right eye", "left eye", "right ear", "left ear"]
    assert [order[joint] for joint in FROM_OPENPOSE] == NAMES
    track = np.arange(2 * 18 * 3.0).reshape(2, 18, 3)
    np.testing.assert_array_equal(coco_from_openpose18(track)[1, 5], track[1, 5])
    np.testing.assert_array_equal(coco_from_openpose18(track)[1, 6], track[1, 2])
    with pytest.raises(GaitError, match=r"\[t, 18, 3\], got \(2, 17, 3\)"):
        coco_from_openpose18(track[:, :17])


# The camera and what it sees.


@pytest.mark.parametrize("view", [0.0, 54.0, 270.0])
def test_points_fall_where_discs_of_silhouettes_fall(view):
    motion, camera = a_walk(), Camera(view)
    discs, window = project(capsules(WHO.body, motion), camera)
    points = keypoints_of(motion)
    balls = Capsules(points, points, np.ones(17), np.ones(17))
    (centres, *_), _ = project(balls, camera, window)
    found = project_points(points, camera, window)
    np.testing.assert_allclose(found, centres, atol=1e-3)
    assert discs[0].min() > 0 and found.min() > 0  # in the window
    exact = detect(np.random.default_rng(0), points, camera, 0.0, window=window)
    np.testing.assert_allclose(exact[..., :2], centres, atol=1e-3)
    np.testing.assert_array_equal(exact[..., 2], 1.0)


def test_a_wall_hides_what_is_behind_it():
    """A beam across the view of a camera in front, x = 6, between heights .5 and 1."""
    beam = np.array([[2.0, -3.0, 0.75]]), np.array([[2.0, 3.0, 0.75]])
    wall = Capsules(beam[0][None], beam[1][None], np.full(1, 0.25), np.full(1, 0.25))
    points = [(0, 0, 0.6), (0, 0, 0.1), (0, 0, 1.6), (3, 0, 0.75), (0, 5.2, 0.6)]
    seen = in_sight(np.array([points], float), wall, Camera(0.0, height=0.75, aim=0.75))
    np.testing.assert_array_equal(seen, [[False, True, True, True, True]])


@pytest.mark.parametrize("dressed", [False, True])
def test_the_body_hides_its_far_side(dressed):
    motion = a_walk(40)
    surface = capsules(WHO.body, motion) if dressed else None
    points = keypoints_of(motion)

    def confidence(view):
        rng = np.random.default_rng(0)
        return detect(rng, points, Camera(view), 1.0, surface)[..., 2].mean(0)

    left, front, back = confidence(90.0), confidence(0.0), confidence(180.0)
    right = confidence(270.0)
    far, near = NAMES.index("right shoulder"), NAMES.index("left shoulder")
    assert left[far] < left[near] - 0.2 and right[near] < right[far] - 0.2
    assert back[NOSE] < front[NOSE] - 0.2
    assert abs(front[near] - front[far]) < 0.1


# The detector.


def test_errors_grow_with_noise_and_out_of_sight():
    points = np.random.default_rng(0).uniform(10, 110, (4000, 17, 2))
    visible = np.arange(17) % 2 == 0
    visible = np.broadcast_to(visible, (4000, 17))
    found = add_errors(np.random.default_rng(1), points, visible)
    missed = found[..., 2] == 0
    assert (found[missed] == 0).all()
    assert 0.001 < missed[visible].mean() < 0.01 < missed[~visible].mean() < 0.1
    off = np.linalg.norm(found[..., :2] - points, axis=-1)
    near = off[visible & ~missed], off[~visible & ~missed]
    assert 0.3 < np.median(near[0]) < 2.5 < np.median(near[1]) < 6.0  # of about 95
    assert found[visible & ~missed, 2].mean() > 0.85
    assert 0.3 < found[~visible & ~missed, 2].mean() < 0.8
    half = add_errors(np.random.default_rng(1), points, visible, 0.5)
    far = np.linalg.norm(half[..., :2] - points, axis=-1)
    assert np.median(far) == pytest.approx(0.5 * np.median(off), rel=0.1)


def test_drift_lasts():
    """The error of a hidden joint goes on from frame to frame, that of jitter not."""
    points = np.tile(np.linspace(0, 100, 17)[:, None], (3000, 1, 2))
    hidden = np.zeros((3000, 17), bool)
    found = add_errors(np.random.default_rng(0), points, hidden)
    error = (found[..., :2] - points)[:, :5].reshape(3000, -1)  # the face never swaps
    kept = (found[:, :5, 2] > 0).repeat(2, 1)
    both = kept[1:] & kept[:-1]
    together = np.corrcoef(error[1:][both], error[:-1][both])[0, 1]
    assert 0.4 < together < 0.7  # chosen: 0.9 x 28^2 / (22^2 + 28^2) = 0.56


def test_limbs_swap_sides_now_and_then():
    points = np.zeros((4000, 17, 2))
    points[..., 0] = np.where(np.arange(17) % 2 == 1, 40.0, 60.0)  # left, right
    points[..., 1] = np.linspace(0, 100, 17)
    found = add_errors(np.random.default_rng(0), points, np.ones((4000, 17), bool))
    swapped = (np.abs(found[..., 0] - points[..., 0]) > 14) & (found[..., 2] > 0)
    for name, rate in (("hip", 0.0), ("knee", 0.015), ("wrist", 0.010)):
        for side in ("left", "right"):
            share = swapped[:, NAMES.index(f"{side} {name}")].mean()
            assert share == pytest.approx(rate, abs=0.006)
    knees, ankles = swapped[:, 13], swapped[:, 15]
    assert (knees & ankles).sum() > 0.9 * knees.sum() > 0


def test_the_same_seed_sees_the_same():
    np.testing.assert_array_equal(poses(), poses())
    assert (poses() != poses(seed=1)).any()


# Heat maps.


def twin(keypoints, frames):
    """specs/opengait.md 1.5 for some frames, pixel by pixel, before the last floor."""
    keypoints = np.where(np.isnan(keypoints).any(-1)[..., None], 0.0, keypoints)
    points = impute(keypoints[..., :2])
    out = np.zeros((len(frames), 64, 64, 2))
    for n, frame in enumerate(frames):
        pose, confidence = points[frame], keypoints[frame, :, 2].tolist()
        pose = pose - (pose[11] + pose[12]) / 2
        pose = pose * (85.0 / (pose[:, 1].max() - pose[:, 1].min())) + 64
        pose = pose.tolist()
        bones = []
        for a, b in limbs_by_name():
            value, end = min(confidence[a], confidence[b]), pose[b]
            # Not in the specs: a limb shorter than a pixel is its first joint.
            if math.dist(pose[a], end) < 1 and value >= 1e-3:
                value, end = confidence[a], pose[a]
            bones.append(canvas_of(pose[a], end, value))
        joints = [canvas_of(pose[j], pose[j], confidence[j]) for j in range(17)]
        for channel, canvases in enumerate((bones, joints)):
            grey = np.minimum(np.max(canvases, 0) * 256, 255).astype(int)
            out[n, :, :, channel] = by_area(cut(grey))
    return out


def impute(points):
    flat = points.reshape(len(points), 34)
    if not (flat != 0).any(0).all():
        return points
    imputer = KNNImputer(missing_values=0.0, n_neighbors=4, weights="distance")
    return imputer.fit_transform(flat).reshape(points.shape)


def canvas_of(start, end, value):
    canvas = np.zeros((128, 128))
    if value < 1e-3:
        return canvas
    low, high = [map(f, start, end) for f in (min, max)]
    columns, rows = (
        range(max(int(least - 24), 0), min(int(most + 24) + 1, 128))
        for least, most in zip(low, high, strict=True)
    )
    for y in rows:
        for x in columns:
            far = distance(
                x - start[0], y - start[1], end[0] - start[0], end[1] - start[1]
            )
            canvas[y, x] = value * math.exp(-(far**2) / (2 * 8**2))
    return canvas


def distance(x, y, end_x, end_y):
    """Of a point to the segment from the origin to an end."""
    square = end_x**2 + end_y**2
    along = min(max((x * end_x + y * end_y) / square, 0), 1) if square else 0
    return math.hypot(x - along * end_x, y - along * end_y)


def cut(grey):
    rows = [y for y in range(128) if grey[y].any()]
    half = (rows[-1] - rows[0] + 1) // 2
    return grey[rows[0] : rows[-1] + 1, 64 - half : 64 + half + 1]


def by_area(grey):
    """The means of 64 x 64 boxes, every pixel first cut into 64 equal parts a side."""
    height, width = grey.shape
    rows = grey.repeat(64, 0).reshape(64, height, width).mean(1)
    return rows.repeat(64, 1).reshape(64, 64, width).mean(2)


def cases():
    detected = poses()
    lost = np.random.default_rng(0).random((12, 17)) < 0.3
    nobody, no_elbow, one_eye = detected.copy(), detected.copy(), detected.copy()
    nobody[6] = 0
    no_elbow[:, 7] = 0
    one_eye[:, 1] = one_eye[:, 0] * (1.0, 1.0, 0.2)
    return {
        "as detected": detected,
        "in front, all found": poses(0.0, noise=0.0),
        "from behind": poses(180.0),
        "elsewhere and small": detected * (0.2, 0.2, 1.0) + (900.0, 400.0, 0.0),
        "joints missing": np.where(lost[..., None], 0.0, detected),
        "joints NaN": np.where(lost[..., None], [0.0, np.nan, 0.5], detected),
        "a frame without a person": nobody,
        "never an elbow": no_elbow,
        "an eye on the nose": one_eye,
        "one frame": detected[:1],
        "unsure": detected * (1.0, 1.0, 0.1),
        "an arm below the least": detected
        * np.where(np.arange(51) == 29, 9e-4, 1).reshape(17, 3),
    }


CASES = cases()


@pytest.mark.parametrize("case", CASES)
def test_heat_maps_equal_a_slow_twin(case):
    given = CASES[case].astype(np.float64)
    frames = [f for f in (0, 7) if f < len(given)]
    maps = heat_maps(given)
    assert maps.shape == (len(given), 64, 64, 2)
    less = twin(given, frames) - maps[frames]
    # Whole greys are cut off, and the reference's colour map cuts one more off some.
    assert less.min() > -0.05 and less.max() < 2.0
    assert maps.dtype == np.uint8 and less.mean() < 1.0


def test_missing_joints_come_from_the_nearest_frames():
    given = CASES["joints missing"].astype(np.float64)
    found = _impute(given[..., :2])
    np.testing.assert_allclose(found, impute(given[..., :2]), rtol=1e-6)
    assert (found != 0).all() and (given[..., :2] == 0).any()


def test_a_column_by_hand():
    """17 joints on a vertical line, 85 rows tall with the hips in the middle: joints
    are white in the middle column, and a Gaussian of sigma 8 / 2 pixels across."""
    pose = np.ones((1, 17, 3))
    pose[0, :, 0] = 5.0
    pose[0, :, 1] = np.insert(np.linspace(0.0, 16.0, 15), 11, (8.0, 8.0))
    maps = heat_maps(pose).astype(float)
    bones, joints = maps[0, ..., 0], maps[0, ..., 1]
    assert (bones[12:52, 31:33] > 250).all() and (joints[12:52, 31:33] > 235).all()
    across = np.arange(64) - 31.75  # pixel centre of the canvas' column 64
    gauss = 255 * np.exp(-((2 * across) ** 2) / (2 * 8**2))
    gauss[np.abs(2 * across) > 25] = 0
    np.testing.assert_allclose(bones[32], gauss, atol=4)


def test_nobody_leaves_no_trace():
    empty = heat_maps(np.zeros((3, 17, 3)))
    assert empty.shape == (3, 64, 64, 2) and not empty.any()
    one = CASES["a frame without a person"]
    maps = heat_maps(one)
    assert not maps[6].any() and maps[5].any()
    assert heat_maps(np.zeros((0, 17, 3))).shape == (0, 64, 64, 2)
    assert not heat_maps(np.full((2, 17, 3), np.inf)).any()


def test_place_and_size_in_the_picture_do_not_matter():
    one = poses(noise=0.0).astype(np.float64)
    moved = heat_maps(one * (3.0, 3.0, 1.0) + (200.0, 100.0, 0.0))
    assert np.abs(moved.astype(int) - heat_maps(one)).max() <= 1


@pytest.mark.parametrize("shape", [(4, 18, 3), (17, 3), (4, 17, 2)])
def test_other_poses_are_told_in_one_line(shape):
    with pytest.raises(GaitError, match="coco_from_openpose18") as caught:
        heat_maps(np.ones(shape))
    assert str(shape) in str(caught.value) and "\n" not in str(caught.value)
