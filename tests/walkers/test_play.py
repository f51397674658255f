"""A track of rotations on a body: what is kept, the path, and bad tracks."""

import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.walkers.body import sole
from gaitjax.walkers.gait import walk
from gaitjax.walkers.kinematics import rotations_of, turn
from gaitjax.walkers.play import JOINTS, play
from gaitjax.walkers.sequence import make_identity
from gaitjax.walkers.smpl import axis_angles, rotations_about, to_smpl_pose

HERE = make_identity(0, 3)
TALL, SHORT = make_identity(0, 8).body, make_identity(0, 3).body
# The order of a file that goes down one limb after the other.
# fmt: off
BY_LIMB = [0, 1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12, 15, 13, 16, 18, 20, 22,
           14, 17, 19, 21, 23]
# fmt: on
RAISE = rotations_of(np.array(np.pi / 2), np.array(0.0), 0.0)  # y to z, about x


def a_walk(num_frames=60, fps=25.0, spread=0.6):
    rng = np.random.default_rng(1)
    return walk(rng, HERE.body, HERE.gait, num_frames, fps, spread=spread)


def from_pelvis(motion):
    return motion.joints - motion.joints[:, :1]


def degrees_apart(first, second):
    turns = axis_angles(first.swapaxes(-1, -2) @ second)
    return np.rad2deg(np.linalg.norm(turns, axis=-1))


def test_a_walk_is_played_as_it_was():
    motion = a_walk()
    played = play(motion.rotations, HERE.body, fps=25, convention="walkers")
    np.testing.assert_allclose(from_pelvis(played), from_pelvis(motion), atol=1e-9)
    heights = played.joints[..., 2] - motion.joints[..., 2]
    np.testing.assert_allclose(heights, 0.0, atol=1e-9)
    np.testing.assert_allclose(played.orientations, motion.orientations, atol=1e-9)


def test_an_smpl_track_is_played_as_it_was_but_facing_x():
    motion = a_walk()
    quarter = np.array([0.0, np.pi / 2, 0.0])  # about SMPL's vertical
    pose = to_smpl_pose(motion.rotations)
    pose[:, 0] = axis_angles(rotations_about(quarter) @ rotations_about(pose[:, 0]))
    played = play(pose.reshape(60, 72), HERE.body, fps=25)
    ahead = played.orientations[:, 0, :, 0].sum(0)
    assert abs(ahead[1]) < 1e-9 < ahead[0]
    np.testing.assert_allclose(
        np.linalg.norm(from_pelvis(played), axis=-1),
        np.linalg.norm(from_pelvis(motion), axis=-1),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        played.rotations[:, 1:], motion.rotations[:, 1:], 0, 1e-6
    )


def test_matrices_and_axis_angles_are_the_same_track():
    pose = to_smpl_pose(a_walk().rotations)
    first = play(pose, TALL, fps=25)
    second = play(rotations_about(pose), TALL, fps=25)
    np.testing.assert_allclose(first.joints, second.joints, atol=1e-9)


def test_another_body_takes_the_angles_not_the_stature():
    motion = a_walk()
    played = play(motion.rotations, TALL, fps=25, convention="walkers")
    np.testing.assert_allclose(played.orientations, motion.orientations, atol=1e-9)
    taller = np.ptp(played.joints[..., 2]) / np.ptp(motion.joints[..., 2])
    assert taller == pytest.approx(TALL.stature / SHORT.stature, abs=0.03)


def test_the_feet_stand_and_do_not_slide():
    played = play(a_walk().rotations, TALL, fps=25, convention="walkers")
    on, centres, radii = sole(TALL)
    spheres = played.joints[:, on] + turn(played.orientations[:, on], centres)
    np.testing.assert_allclose((spheres[..., 2] - radii).min(1), 0.0, atol=1e-9)
    slides = np.linalg.norm(np.diff(spheres[..., :2], axis=0), axis=-1).min(1)
    np.testing.assert_allclose(slides, 0.0, atol=1e-9)
    # 60 frames at 25 a second are about two strides, each about 0.8 statures long.
    way = played.joints[-1, 0] - played.joints[0, 0]
    assert 1.2 * TALL.stature < way[0] < 2.6 * TALL.stature
    middle = 0.5 * (played.joints[-1, 0] + played.joints[0, 0])
    np.testing.assert_allclose(middle[:2], 0.0, atol=1e-9)


def test_a_translation_is_the_path():
    """SMPL's z is ahead and its x to the left; its y is left to the ground."""
    pose = to_smpl_pose(a_walk(spread=0.0).rotations)
    way = np.stack(
        [np.linspace(0, 0.2, 60), np.full(60, 7.0), np.linspace(5, 8, 60)], 1
    )
    played = play(pose, TALL, fps=25, translation=way)
    pelvis = played.joints[:, 0]
    np.testing.assert_allclose(pelvis[-1] - pelvis[0], (3.0, 0.2, 0.0), atol=0.05)
    assert pelvis[:, 2].max() < 1.2


def test_a_translation_turns_with_the_walker():
    pose, way = to_smpl_pose(a_walk().rotations), np.zeros((60, 3))
    way[:, 2] = np.linspace(0, 3, 60)
    about = rotations_about(np.array([0.0, 2.0, 0.0]))
    turned = pose.copy()
    turned[:, 0] = axis_angles(about @ rotations_about(pose[:, 0]))
    first = play(pose, TALL, fps=25, translation=way)
    second = play(turned, TALL, fps=25, translation=way @ about.T)
    np.testing.assert_allclose(first.joints, second.joints, atol=1e-6)


def test_twice_the_frames_and_back():
    motion = a_walk()
    options = dict(convention="walkers", translation=motion.joints[:, 0])
    twice = play(motion.rotations, HERE.body, fps=25, out_fps=50, **options)
    assert len(twice.joints) == 119
    np.testing.assert_allclose(twice.rotations[::2], motion.rotations, atol=1e-9)
    back = play(twice.rotations, HERE.body, fps=50, out_fps=25, convention="walkers")
    np.testing.assert_allclose(back.rotations, motion.rotations, atol=1e-9)
    half = 0.5 * (twice.joints[:-2:2, 0, :2] + twice.joints[2::2, 0, :2])
    np.testing.assert_allclose(twice.joints[1::2, 0, :2], half, atol=1e-9)


def test_frames_in_between_are_near_the_true_ones():
    motion = a_walk(121, 50.0, spread=0.0)
    coarse = motion.rotations[::2]
    played = play(coarse, HERE.body, fps=25, out_fps=50, convention="walkers")
    apart = degrees_apart(played.rotations, motion.rotations)
    assert 0.1 < apart.max() < 2.0


@pytest.mark.parametrize("fps, out_fps, num_frames", [(30, 25, 50), (25, 10, 24)])
def test_other_rates_keep_the_time(fps, out_fps, num_frames):
    """Frame k of the result is at k / out_fps seconds, to the end of the track."""
    rotations = np.tile(np.eye(3), (60, 24, 1, 1))
    bend = np.linspace(0.0, 1.18, 60)  # 0.02 radians a frame
    rotations[:, 4] = rotations_of(0.0 * bend, bend, 0.0)
    played = play(rotations, TALL, fps=fps, out_fps=out_fps, convention="walkers")
    assert len(played.rotations) == num_frames
    bent = axis_angles(played.rotations[:, 4])[:, 1]
    np.testing.assert_allclose(bent, 0.02 * fps / out_fps * np.arange(num_frames))


def test_names_put_a_track_in_order():
    pose = to_smpl_pose(a_walk().rotations)
    names = [JOINTS[joint] for joint in BY_LIMB]
    played = play(pose[:, BY_LIMB], TALL, fps=25, names=names)
    np.testing.assert_array_equal(played.joints, play(pose, TALL, fps=25).joints)


def test_a_track_with_z_up_after_the_advice():
    pose = to_smpl_pose(a_walk().rotations)
    raised = pose.copy()
    raised[:, 0] = axis_angles(RAISE @ rotations_about(pose[:, 0]))
    with pytest.raises(GaitError, match="by -90 degrees about x"):
        play(raised, TALL, fps=25)
    raised[:, 0] = axis_angles(RAISE.T @ rotations_about(raised[:, 0]))
    np.testing.assert_allclose(
        play(raised, TALL, fps=25).joints, play(pose, TALL, fps=25).joints, atol=1e-6
    )


@pytest.mark.parametrize("num_frames", [2, 3, 4, 5, 10, 20, 200])
@pytest.mark.parametrize("subject", range(4))
def test_walks_of_any_length_are_accepted(num_frames, subject):
    one = make_identity(1, subject)
    motion = walk(np.random.default_rng(subject), one.body, one.gait, num_frames)
    played = play(motion.rotations, one.body, fps=25, convention="walkers")
    assert np.isfinite(played.joints).all()


POSE = to_smpl_pose(a_walk().rotations)


def changed(place, value):
    pose = POSE.copy()
    pose[place] = value
    return pose


def scaled(factors):
    return rotations_about(POSE) * factors


BAD = {
    "shape": (POSE[:, :22], {}, r"expected rotations of 24 joints.*\(60, 22, 3\)"),
    "not numbers": ([["a"], ["b", "c"]], {}, "expected rotations of 24 joints"),
    "one frame": (POSE[:1], {}, "expected 2 frames or more, got 1"),
    "nan": (changed((3, 7), np.nan), {}, "NaN or infinity at frame 3, joint 7"),
    "degrees": (np.rad2deg(POSE), {}, "in radians, at most 2 pi, got .*np.deg2rad"),
    "scale": (scaled(1.1), {}, "not orthonormal at frame 0, joint 0"),
    "reflection": (scaled([1, 1, -1]), {}, "a reflection at frame 0, joint 0"),
    "inverse": (-POSE, {}, "joint 4 bends .* the wrong way.*or transpose"),
    "by limb": (POSE[:, BY_LIMB], {}, "knees at joints 4 and 5.*names="),
    "backwards": (POSE[:, ::-1], {}, "joint 4 bends only .* while joint .*names="),
    "too fast": (POSE, {"fps": 120}, "steps a minute, got 5[0-9]{2} at fps=120"),
    "too slow": (POSE, {"fps": 5}, "steps a minute, got 2[0-9] at fps=5"),
    "no rate": (POSE, {"fps": 0}, "fps is frames per second.*got 0"),
    "no number": (POSE, {"fps": "25"}, "fps is frames per second.*got '25'"),
    "out rate": (POSE, {"out_fps": np.nan}, "out_fps is frames per second.*got nan"),
    "convention": (POSE, {"convention": "bvh"}, "smpl or walkers, got 'bvh'"),
    "a name": (POSE, {"names": ["pelvis", "LeftUpLeg"]}, "joint 1 is 'LeftUpLeg'"),
    "twice": (POSE, {"names": ["pelvis", "pelvis"]}, "joint 1 is 'pelvis', twice"),
    "fewer": (POSE, {"names": JOINTS[:22]}, "got 22, without 'left_hand'"),
    "path": (POSE, {"translation": np.zeros((9, 3))}, r"\(60, 3\), got \(9, 3\)"),
    "millimetres": (
        POSE,
        {"translation": np.linspace(0, 3000, 180).reshape(60, 3)},
        "in metres, got .* a second",
    ),
    "lying": (changed((slice(None), 0), (np.pi / 2, 0, 0)), {}, "leans 90 degrees"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tracks_are_told_in_one_line(case):
    rotations, options, message = BAD[case]
    with pytest.raises(GaitError, match=message) as caught:
        play(rotations, TALL, **{"fps": 25, **options})
    assert "\n" not in str(caught.value)
