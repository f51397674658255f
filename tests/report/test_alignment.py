"""Made-up networks and embeddings whose answers are known."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.data.builders.twins import twins
from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.report import alignment, alignment_plots
from gaitjax.retrieval import protocols
from gaitjax.retrieval.verification import Distances


def make_index(people=50):
    """The labels of the test split of SUSTech1K's twin."""
    twin = twins()["walkers_sustech1k"]
    rows = [
        (twin.subject(person, True, 100), one.condition, one.view, one.take)
        for person in range(people)
        for one in twin.plan(person, True, np.random.default_rng(0))
    ]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Index(*columns, np.full(len(rows), 10, np.int32))


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_gaps_are_means_over_pairs_without_the_padding():
    def trajectory(params, model_state, batch, rng, step):
        return {"rec": params * batch["x"] + step, "end": batch["x"]}

    batches = [
        (np.array([4, 5]), {"x": np.array([1.0, 3.0])}),
        (np.array([6]), {"x": np.array([8.0, 99.0])}),  # its last row is filling
    ]
    found = alignment.step_gaps(trajectory, 2.0, {}, batches, (10, 30))
    assert found == {"steps": [10, 30], "rec": [18.0, 38.0], "end": [4.0, 4.0]}


def test_the_noise_of_a_pair_is_the_same_at_every_step():
    def trajectory(params, model_state, batch, rng, step):
        return {"rec": jax.random.normal(rng, batch["x"].shape)}

    batch = np.arange(2), {"x": np.zeros(2)}
    once = alignment.step_gaps(trajectory, 0, 0, [batch], (10, 20))["rec"]
    twice = alignment.step_gaps(trajectory, 0, 0, [batch, batch], (10, 20))["rec"]
    assert once[0] == once[1] and twice[0] == twice[1] != once[0]


def test_modalities_that_are_alike_or_apart():
    x = draw(60, 2, 5)
    subject = np.repeat([f"{i}" for i in range(6)], 10)
    alike = alignment.modality_classifier({"a": x, "b": x}, subject)
    assert alike["accuracy"] == alike["part_accuracy"] == 0.5
    assert alike["a_distance"] == alike["part_a_distance"] == alike["mean_gap"] == 0
    shifted = x.copy()
    shifted[:, 0] += 50  # in one of the two parts
    apart = alignment.modality_classifier({"a": x, "b": shifted}, subject)
    assert apart["accuracy"] == 1 and apart["a_distance"] == 2
    assert apart["part_accuracy"] == 0.75 and apart["part_a_distance"] == 1
    spread = np.sqrt(np.square(x - x.mean(0)).sum((1, 2)).mean())
    assert apart["mean_gap"] == pytest.approx(50 * np.sqrt(5) / spread, rel=1e-5)


def test_modality_is_told_on_people_not_seen():
    """A person has a dimension to himself: what it says is worth nothing on others."""
    people, each = 10, 8
    subject = np.repeat(np.arange(people).astype(str), each)
    x = np.repeat(100 * np.eye(people), each, axis=0)[:, None]
    sign = np.where(np.arange(people) % 2, 1, -1).repeat(each)
    views = {"a": np.float32(x), "b": np.float32(x * sign[:, None, None])}
    # b is -a for half of them: were they in both folds, three of four would be right.
    found = alignment.modality_classifier(views, subject)
    assert found["accuracy"] <= 0.5
    with pytest.raises(GaitError, match="at least 2 people, got 1; give more"):
        alignment.modality_classifier(views, np.full(len(subject), "x"))


def linear(params, model_state, batch):
    """Two modalities, [n, t, d] -> [n, p, e] each by its own matrix."""
    return {
        key: jnp.einsum("ntd,pedt->npe", batch[key], matrix)
        for key, matrix in params.items()
    }


def test_jacobian_of_a_known_linear_map():
    params = {"a": draw(2, 3, 4, 5), "b": 10 * draw(2, 3, 4, 5, seed=1)}
    batch = {key: np.uint8(draw(30, 5, 4) ** 2) for key in params}
    for key, matrix in params.items():
        found = alignment.jacobian_norm(linear, params, {}, batch, key, num_probes=40)
        want = np.linalg.norm(matrix)
        assert abs(found["norm"] - want) < 4 * found["error"] < 0.2 * want
        out = np.asarray(linear(params, {}, batch)[key])
        spread = np.sqrt(np.square(out - out.mean(0)).sum((1, 2)).mean())
        assert found["relative"] == pytest.approx(found["norm"] / spread, rel=1e-5)


def test_jacobian_of_orthogonal_rows_is_exact():
    """v^T J J^T v is the same for all signs v where J J^T is diagonal."""
    matrix = (np.diag([1.0, 2, 3, 4])).reshape(2, 2, 4, 1)
    batch = {"a": draw(3, 1, 4)}
    found = alignment.jacobian_norm(linear, {"a": matrix}, {}, batch, "a", 2)
    assert found["norm"] == pytest.approx(np.sqrt(30), rel=1e-6)
    assert found["error"] == pytest.approx(0, abs=1e-5)
    # Of one sequence: the error is that of the signs.
    one = {"a": batch["a"][:1]}
    dense = {"a": draw(2, 2, 4, 1)}
    found = alignment.jacobian_norm(linear, dense, {}, one, "a", 200)
    assert abs(found["norm"] - np.linalg.norm(dense["a"])) < 4 * found["error"]


def test_jacobian_is_per_sequence():
    """|x|^2 / 2 has the Jacobian x; sequences of unlike norms are averaged."""

    def square(params, model_state, batch):
        return {"a": jnp.square(batch["a"]).sum((1, 2))[:, None, None] / 2}

    x = draw(6, 2, 3)
    found = alignment.jacobian_norm(square, {}, {}, {"a": x}, "a")
    squares = np.square(x).sum((1, 2))
    assert found["norm"] == pytest.approx(np.sqrt(squares.mean()), rel=1e-5)
    error = squares.std(ddof=1) / np.sqrt(6) / (2 * found["norm"])
    assert found["error"] == pytest.approx(error, rel=1e-4)


def test_separation_by_hand():
    pairs = Distances(np.array([1.0, 2, 3, 6]), np.array([4.0, 7, 8, 9]))
    found = alignment.separation(pairs)
    assert found["genuine"] == 3 and found["impostor"] == 7
    assert found["d_prime"] == pytest.approx(4 / np.sqrt(3.5))  # variances 3.5, 3.5
    # At 4 to 6 one of four of each kind is on the wrong side.
    assert found["eer"] == pytest.approx(25)
    same = Distances(np.ones(2), np.ones(2))
    assert np.isnan(alignment.separation(same)["d_prime"])


def test_hard_probes_are_compound_and_spread():
    index = make_index()
    rows = alignment.hard_probes(index)
    assert len(rows) == len(set(rows.tolist())) == 40
    words = [condition.split("-")[1:] for condition in index.condition[rows]]
    assert all(len(two) == 2 for two in words)
    compound = [c for c in index.condition if len(c.split("-")) == 3]
    assert len(compound) > 200  # there was a choice
    # As even as the counts allow: 40 over all people who have one, over 12 views.
    people = {
        s
        for s, c in zip(index.subject, index.condition, strict=True)
        if len(c.split("-")) == 3
    }
    for values, number in ((index.subject, len(people)), (index.view, 12)):
        counts = np.unique(values[rows], return_counts=True)[1]
        assert len(counts) == number and np.ptp(counts) <= 1


def test_hard_probes_look_at_labels_alone():
    index = make_index()
    again = alignment.hard_probes(index)
    np.testing.assert_array_equal(alignment.hard_probes(index), again)
    # Neither the order of the records nor their lengths matter.
    order = np.random.default_rng(0).permutation(len(index))
    shuffled = dataclasses.replace(index.select(order), num_frames=order)
    rows = alignment.hard_probes(shuffled)
    assert set(shuffled.names[rows]) == set(index.names[again])
    few = index.select(alignment.hard_probes(index, 7))
    assert len(alignment.hard_probes(few)) == 7
    assert alignment.covariates("03-cr-cl") == {"cr", "cl"}
    assert alignment.covariates("00-nm") == set()


def ranked_twin(views, index, pair, rows):
    """Loops over the protocol's words: 00-nm of the other modality, other views."""
    for row in rows:
        found = []
        for item in range(len(index)):
            if "00-nm" in index.condition[item] and index.view[item] != index.view[row]:
                a, b = views[pair[0]][row], views[pair[1]][item]
                far = np.mean(
                    [np.linalg.norm(x - y) for x, y in zip(a, b, strict=True)]
                )
                found.append((far, item))
        yield [item for _, item in sorted(found)]


@pytest.fixture(scope="module")
def small():
    """Labels of five people, embeddings of two modalities, the protocol."""
    index = make_index(people=5)
    centre = {s: draw(2, 3, seed=i) for i, s in enumerate(np.unique(index.subject))}
    x = np.stack([centre[s] for s in index.subject])
    views = {
        "sils": x + 0.8 * draw(len(index), 2, 3, seed=10),
        "ranges": x + 1 + 0.8 * draw(len(index), 2, 3, seed=11),
    }
    return index, views, protocols.for_dataset("walkers_sustech1k")[0]


def test_ranking_equals_loops(small):
    index, views, protocol = small
    pair = "ranges", "sils"
    rows = alignment.hard_probes(index, 20)
    found = alignment.ranked(views, index, protocol, rows, pair)
    assert set(found.first.tolist()) > {0}  # some are found, some are not
    for place, want in enumerate(ranked_twin(views, index, pair, rows)):
        assert found.items[place, : len(want)].tolist() == want
        right = [index.subject[item] == index.subject[rows[place]] for item in want]
        assert found.right[place, : len(want)].tolist() == right
        assert not found.right[place, len(want) :].any()  # the probe's own view
        assert found.first[place] == right.index(True)


def test_a_direction_counts_what_loops_count(small):
    index, views, protocol = small
    counted = {}
    for pair in itertools.permutations(views):
        one = alignment.across(views, index, protocol, pair)
        for name, word in (("Night", "nt"), ("Occlusion", "oc")):
            rows = [i for i, c in enumerate(index.condition) if word in c]
            hits = [
                index.subject[items[0]] == index.subject[row]
                for row, items in zip(
                    rows, ranked_twin(views, index, pair, rows), strict=True
                )
            ]
            want = {"found": sum(hits), "of": len(rows)}
            assert one.numbers["conditions"][name] == want
            _, places = one.missed[name]
            assert len(places) == min(4, len(hits) - sum(hits))
            assert not any(hits[place] for place in places)
        genuine, impostor = [], []
        for row, condition in enumerate(index.condition):
            if condition.startswith(("01", "02", "03", "04")):
                for item in next(ranked_twin(views, index, pair, [row])):
                    a, b = views[pair[0]][row], views[pair[1]][item]
                    far = np.linalg.norm(a - b, axis=-1).mean()
                    same = index.subject[row] == index.subject[item]
                    (genuine if same else impostor).append(far)
        found = one.numbers["distances"]
        assert found["genuine"] == pytest.approx(np.mean(genuine), rel=1e-5)
        assert found["impostor"] == pytest.approx(np.mean(impostor), rel=1e-5)
        counted[pair] = one.numbers["hard"]
        assert one.numbers["hard"]["of"] == len(alignment.hard_probes(index))
    assert counted[("sils", "ranges")] != counted[("ranges", "sils")]


def test_failures_are_spread_over_all_of_them():
    right = np.zeros((10, 4), bool)
    right[[0, 3], 0] = right[[1, 2, 4, 5, 6, 7], 2] = True  # 8 and 9 have no match
    found = alignment.Ranked(np.arange(10), np.zeros((10, 4), int), right)
    assert found.first.tolist() == [0, 2, 2, 0, 2, 2, 2, 2, -1, -1]
    assert alignment.failures(found, 3).tolist() == [1, 4, 7]
    assert alignment.failures(found, 99).tolist() == [1, 2, 4, 5, 6, 7]


def test_pictures_show_the_numbers(tmp_path):
    one = {"steps": [10, 20], "rec": [0.5, 0.7], "end": [0.4, 0.4]}
    one |= {"mid": [1.0, 2.0], "eps": [3.0, 4.0], "noise": [0.9, 0.8]}
    figure = alignment_plots.trajectory_curves({"full": one, "p1": one})
    (full, end, *_) = figure.axes[0].lines
    assert full.get_xydata().tolist() == [[10, 0.5], [20, 0.7]]
    assert end.get_ydata().tolist() == [0.4, 0.4]
    assert [text.get_text() for text in figure.legends[0].texts] == ["full", "p1"]
    assert len(figure.axes) == 4
    path = tmp_path / "a.png"
    alignment_plots.write_png(path, figure)
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_headline_has_a_panel_per_number_and_direction():
    classifier = {"a_distance": 1.0, "accuracy_error": 0.1, "mean_gap": 3.0}
    classifier |= {"part_a_distance": 0.5, "part_accuracy_error": 0.2}
    steep = {"norm": 2.0, "error": 0.1, "relative": 0.4}
    way = {"distances": {"d_prime": 1.5}, "hard": {"found": 17, "of": 40}}
    run = {
        "classifier": classifier,
        "jacobian": {"sils": steep},
        "across": {"a>b": way},
    }
    panels = alignment.headline({"one": run, "two": run})
    assert panels["hard found of 40, a>b"] == {"one": (17, 0), "two": (17, 0)}
    assert panels["A-distance, all parts at once"]["one"] == (1.0, 0.4)
    assert panels["Jacobian, sils"]["two"] == (2.0, 0.1)
    figure = alignment_plots.number_panels(panels)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == list(panels) and len(titles) == 7


def test_failures_show_three_candidates_and_the_right_one(small):
    index, views, protocol = small
    pair = "sils", "ranges"
    one = alignment.across(views, index, protocol, pair)
    asked = []

    def frames(view, row):
        asked.append((view, row))
        return np.zeros((3, 8, 8), np.uint8)

    alignment_plots.failure_pictures(one.missed, frames, pair, index.names)
    want = []
    for ranks, places in one.missed.values():
        for place in places:
            want.append(("sils", ranks.probes[place]))
            first = ranks.first[place]
            found = [*ranks.items[place, :3], ranks.items[place, first]]
            want += [("ranges", item) for item in found]
            assert index.subject[found[-1]] == index.subject[ranks.probes[place]]
    assert asked == want and asked
    none = {"Night": (one.missed["Night"][0], np.array([], int))}
    assert alignment_plots.failure_pictures(none, frames, pair, index.names) is None
