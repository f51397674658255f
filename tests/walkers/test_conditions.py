"""The conditions beyond normal, bag and clothing, and what the sensors meet."""

import dataclasses

import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.walkers import KEYS, Sensors, Spread, frame_shapes
from gaitjax.walkers.body import HANDS, sample_body
from gaitjax.walkers.camera import Camera, Sight, sample_camera, silhouettes
from gaitjax.walkers.gait import sample_gait, walk
from gaitjax.walkers.lidar import sample_lidar
from gaitjax.walkers.scene import sample_occluder
from gaitjax.walkers.sequence import WORN, make_identity, make_sequence, make_wear
from gaitjax.walkers.surface import Capsules, capsules
from gaitjax.walkers.wear import Wear, combine

EXACT = Sight(noise=0.0)


def dressed(wear, view=90.0, sight=EXACT, seed=0):
    body = sample_body(np.random.default_rng(7), 0.0)
    gait = sample_gait(np.random.default_rng(7), body, 0.0)
    motion = walk(np.random.default_rng(0), body, gait, 6, wear=wear, spread=0.0)
    surface = capsules(body, motion, wear)
    rng = np.random.default_rng(seed)
    return silhouettes(rng, surface, Camera(view), sight), motion


def sils(condition, view=90.0, **changes):
    arguments = {"seed": 0, "subject": 1, "take": 0, "num_frames": 6} | changes
    return make_sequence(condition=condition, view=view, **arguments)["sils"]


@pytest.mark.parametrize("word", list(WORN))
def test_what_is_worn_changes_the_same_walk(word):
    """One body, one walk, one camera: only the wear differs."""
    plain, _ = dressed(Wear())
    changed = 0
    for seed in range(6):
        masks, _ = dressed(WORN[word](np.random.default_rng(seed)))
        changed += (masks != plain).mean() > 0.002
    assert changed == (0 if word == "nm" else 6)


def test_words_in_any_order_are_the_same_condition():
    np.testing.assert_array_equal(sils("cl-ub-nt"), sils("nt-cl-ub"))
    np.testing.assert_array_equal(sils("u0-d1-bg"), sils("bg-d1-u0"))
    assert (sils("cl-ub") != sils("cl")).any()


def test_a_wardrobe_is_the_persons_own():
    fixed = Spread(take=0.0)
    worn = make_wear(0, 1, "u1-d2", 0, fixed)
    assert worn == make_wear(0, 1, "u1-d2", 9, fixed)  # whatever the take
    assert worn != make_wear(0, 2, "u1-d2", 0, fixed)
    other_top = make_wear(0, 1, "u0-d2", 0, fixed)
    assert worn.leg == other_top.leg and worn.torso != other_top.torso


def test_a_uniform_is_the_same_on_everybody():
    alike = dataclasses.replace(make_wear(0, 1, "uf", 0), fit=1.0)
    assert alike == dataclasses.replace(make_wear(3, 2, "uf", 5), fit=1.0)


def test_combined_the_thickest_counts_and_a_hand_holds_one_thing():
    both = combine([Wear(torso=0.01, hat=True), Wear(torso=0.02, bag="hand")])
    assert (both.torso, both.hat, both.bag) == (0.02, True, "hand")
    full = combine([Wear(bag="hand", bag_radius=0.06), Wear(umbrella=0.3)])
    assert (full.bag, full.umbrella) == ("back", 0.3)


def test_loads_are_where_the_hands_are():
    """A box is in front of the walker, a trolley behind and on the ground."""
    plain, _ = dressed(Wear())
    box, motion = dressed(Wear(load="box", load_radius=0.06))
    trolley, _ = dressed(Wear(load="trolley", load_radius=0.06, hand=1))

    def reach(masks):  # columns in front of and behind the middle of the trunk
        filled = np.flatnonzero(masks[0].any(0))
        middle = np.median(np.nonzero(masks[0][30:50])[1])
        return middle - filled[0], filled[-1] - middle  # forwards is to the left

    assert box.sum() > 1.02 * plain.sum()
    assert reach(trolley)[1] > reach(plain)[1] + 5
    hands = motion.joints[:, HANDS]
    pelvis = motion.joints[:, :1]
    assert (hands[..., 0] - pelvis[..., 0] > 0.05).all()  # both held in front
    assert hands[..., 2].std() < 0.03  # and hardly swinging


def test_an_umbrella_is_above_the_head_and_a_mask_may_leave_it_out():
    """All or nothing of the canopy, half of the time each."""
    wear = Wear(umbrella=0.3)
    rows = []
    for seed in range(12):
        masks, _ = dressed(wear, sight=Sight(noise=1e-6), seed=seed)
        rows.append(masks.any(2).sum(1).max())
    tall = np.array(rows) > np.mean(rows)
    assert 0 < tall.sum() < len(rows)
    exact, _ = dressed(wear)
    plain, _ = dressed(Wear())
    wide = exact[:, :40].any(1).sum(1)  # the canopy is wider than the head
    assert exact.any(2).sum(1).min() > plain.any(2).sum(1).max()
    assert wide.max() > 40


def test_an_occluder_hides_and_never_adds():
    body = sample_body(np.random.default_rng(7), 0.0)
    gait = sample_gait(np.random.default_rng(7), body, 0.0)
    motion = walk(np.random.default_rng(0), body, gait, 12, spread=0.0)
    surface, camera = capsules(body, motion), Camera(90.0)
    hidden = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        occluder = sample_occluder(rng, motion.joints[:, 0], 90.0, 25.0)
        free = silhouettes(rng, surface, camera, EXACT)
        masks = silhouettes(rng, surface, camera, EXACT, occluder)
        assert not (masks & ~free).any()
        hidden += (free & ~masks).any()
    assert hidden >= 5
    # As far behind the walker as it was before: the camera is on the left, at +y.
    mirror = np.array([1.0, -1.0, 1.0])
    behind = Capsules(
        occluder.start * mirror,
        occluder.end * mirror,
        occluder.start_radius,
        occluder.end_radius,
    )
    np.testing.assert_array_equal(
        silhouettes(rng, surface, camera, EXACT, behind), free
    )


def test_at_night_the_camera_loses_half_and_the_lidar_nothing():
    day, night = sils("nm") > 127, sils("nt") > 127
    assert night.sum() < 0.8 * day.sum()
    keys = ("ranges",)
    dark, bright = (
        make_sequence(0, 1, c, 0, 90.0, 4, keys=keys)["ranges"] for c in ("nt", "nm")
    )
    filled = [(frames.max(-1) > 0).mean() for frames in (dark, bright)]
    assert abs(filled[0] - filled[1]) < 0.05  # another walk, but a whole person


def test_truncation_cuts_some_frames_and_leaves_others():
    body = sample_body(np.random.default_rng(7), 0.0)
    gait = sample_gait(np.random.default_rng(7), body, 0.0)
    motion = walk(np.random.default_rng(0), body, gait, 20, spread=0.0)
    surface = capsules(body, motion)
    free, _ = (silhouettes(np.random.default_rng(0), surface, Camera(90.0), EXACT), 0)
    cut = Sight(noise=0.0, truncated=True)
    shares = []
    for seed in range(8):
        masks = silhouettes(np.random.default_rng(seed), surface, Camera(90.0), cut)
        assert not (masks & ~free).any()
        shares.append((masks.sum((1, 2)) < free.sum((1, 2))).mean())
    assert 0.1 < np.mean(shares) < 0.7


def test_elevation_shortens_people():
    """From above, a walker is foreshortened by about the cosine."""

    def height(elevation):
        wide = make_sequence(
            0, 1, "nm", 0, 90.0, 4, Spread(noise=0.0), ("joints",),
            Sensors(elevation=elevation),
        )["joints"]  # fmt: skip
        return np.ptp(wide[..., 1], axis=1).mean()  # y is down in the picture

    flat, steep = height(0.0), height(60.0)
    assert 0.4 < steep / flat < 0.85
    pictures = [
        make_sequence(0, 1, "nm", 0, 0.0, 4, keys=("ranges",), sensors=sensors)
        for sensors in (Sensors(elevation=0.0), Sensors(elevation=60.0))
    ]
    assert (pictures[0]["ranges"] != pictures[1]["ranges"]).any()


def test_every_modality_has_its_shape_and_its_own_stream():
    together = make_sequence(0, 1, "bg", 0, 90.0, 3, keys=KEYS)
    assert tuple(together) == KEYS
    for key, shape in frame_shapes().items():
        assert together[key].shape == (3, *shape)
        alone = make_sequence(0, 1, "bg", 0, 90.0, 3, keys=(key,))[key]
        np.testing.assert_array_equal(alone, together[key])
        assert np.isfinite(together[key]).all() or key == "points"


def test_labels_in_the_world_and_in_the_camera_are_one_body():
    """The frames differ by a rigid motion, the same for joints and markers."""
    keys = ("joints", "markers")
    world, camera = (
        make_sequence(0, 1, "nm", 0, 36.0, 4, keys=keys, sensors=Sensors(frame=frame))
        for frame in ("world", "camera")
    )
    points = [np.concatenate([s["joints"], s["markers"]], 1) for s in (world, camera)]
    gaps = [np.linalg.norm(p[:, :, None] - p[:, None], axis=-1) for p in points]
    np.testing.assert_allclose(*gaps, atol=2e-5)
    assert (points[1][..., 2] > 3.0).all()  # in front of the camera
    assert points[0][..., 2].min() > -0.02  # on the ground


def test_two_rates_pair_and_one_modality_keeps_its_own():
    both = Sensors(fps=30.0, lidar_fps=10.0)
    pairs = make_sequence(
        0, 1, "nm", 0, 90.0, 5, keys=("joints", "ranges"), sensors=both
    )
    alone = make_sequence(0, 1, "nm", 0, 90.0, 5, keys=("joints",), sensors=both)
    speed = [
        np.abs(np.diff(s["joints"][:, 0, 0])).mean() * rate
        for s, rate in ((pairs, 10.0), (alone, 30.0))
    ]
    np.testing.assert_allclose(speed[0], speed[1], rtol=0.35)
    assert 0.7 < speed[0] < 2.5  # metres per second, a walk


@pytest.mark.parametrize("word", ["nm-xx", "u9", "nm-", "NM"])
def test_unknown_words_teach(word):
    with pytest.raises(GaitError, match="expected words of nm, bg.*got") as error:
        sils(word)
    assert "\n" not in str(error.value)


def test_unknown_modality_and_frame_teach():
    with pytest.raises(GaitError, match="sils"):
        make_sequence(0, 1, "nm", 0, 90.0, 2, keys=("sil",))
    with pytest.raises(GaitError, match="camera or world"):
        make_sequence(
            0, 1, "nm", 0, 90.0, 2, keys=("joints",), sensors=Sensors(frame="image")
        )


def test_make_identity_is_not_moved_by_the_noise():
    assert make_identity(0, 1).body == make_identity(0, 1, Spread(noise=3.0)).body


def test_a_load_turns_with_the_walker():
    """A walk turned by a quarter has its load turned by as much."""
    body = sample_body(np.random.default_rng(7), 0.0)
    gait = sample_gait(np.random.default_rng(7), body, 0.0)
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for load in ("box", "trolley"):
        wear = Wear(load=load, load_radius=0.04)
        motion = walk(np.random.default_rng(0), body, gait, 6, wear=wear, spread=0.0)
        turned = dataclasses.replace(
            motion,
            joints=motion.joints @ quarter.T,
            orientations=quarter @ motion.orientations,
        )
        straight, aside = capsules(body, motion, wear), capsules(body, turned, wear)
        np.testing.assert_allclose(straight.start @ quarter.T, aside.start, atol=1e-9)
        np.testing.assert_allclose(straight.end @ quarter.T, aside.end, atol=1e-9)


def test_a_trolley_and_an_umbrella_take_a_hand_each():
    both = Wear(load="trolley", load_radius=0.04, umbrella=0.25, hand=1)
    assert both.umbrella_hand == -1 and None not in both.arms_held
    assert both.arms_held[0] != both.arms_held[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1},
        {"seed": 2**32},
        {"take": -1},
        {"num_frames": 0},
        {"view": float("nan")},
        {"sensors": Sensors(fps=float("nan"))},
        {"sensors": Sensors(elevation=90.0)},
        {"sensors": Sensors(distance=0.0)},
        {"spread": Spread(gait=float("nan"))},
        {"condition": None},
        {"num_frames": 300, "view": 0.0},  # walks through the camera
    ],
    ids=str,
)
def test_numbers_without_sense_teach(changes):
    with pytest.raises(GaitError) as error:
        sils(**({"condition": "nm"} | changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("elevation", [0.0, 30.0])
def test_both_sensors_go_to_the_same_height_over_the_ground(elevation):
    for distance in (0.75, 1.0, 1.4):
        rng = np.random.default_rng(0)
        camera = sample_camera(rng, 90.0, 0.0, elevation, distance)
        lidar = sample_lidar(rng, 90.0, 0.0, elevation, distance)
        for sensor in (camera, lidar):
            angle = np.rad2deg(np.arctan2(sensor.height - 0.9, sensor.distance))
            assert abs(angle - elevation) < 1.5
