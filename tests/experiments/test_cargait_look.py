"""What the study of CarGait looks at: pairs, cosines of parts, which rows it draws."""

import dataclasses

import numpy as np
import pytest
import studies

from gaitjax.retrieval import protocols
from gaitjax.retrieval.rank_lists import RankList

PARTS, DIMS = 3, 4


@pytest.fixture(scope="module")
def look():
    return studies.load("cargait", "look")


@dataclasses.dataclass
class Index:
    """As much of an index as protocols ask for."""

    subject: np.ndarray
    condition: np.ndarray
    view: np.ndarray
    lists: dict

    @property
    def names(self):
        rows = zip(self.subject, self.condition, self.view, strict=True)
        return np.array(["-".join(row) for row in rows])

    def __len__(self):
        return len(self.subject)


def oumvlp_like():
    """Three people, two walks, three views: record 6 i + 3 w + v; probes have w = 0."""
    rows = [(f"{i}", f"0{w}", f"{v}") for i in range(3) for w in "01" for v in "abc"]
    return Index(*map(np.array, zip(*rows, strict=True)), lists={})


def gait3d_like():
    """Four people of three sequences, the first is the probe."""
    rows = [(f"{i}", f"cam{s}", f"seq{s}") for i in range(4) for s in range(3)]
    index = Index(*map(np.array, zip(*rows, strict=True)), lists={})
    index.lists["probe"] = frozenset(index.names[::3])
    return index


def test_lists_of_gallery_views_without_the_probe_s(look):
    found = list(look.ranked_lists(oumvlp_like(), protocols.oumvlp()))
    lists = [(probes.tolist(), gallery.tolist()) for probes, gallery in found]
    assert lists == [
        ([1, 2, 7, 8, 13, 14], [3, 9, 15]),
        ([0, 2, 6, 8, 12, 14], [4, 10, 16]),
        ([0, 1, 6, 7, 12, 13], [5, 11, 17]),
    ]


def test_one_list_of_all(look):
    ((probes, gallery),) = look.ranked_lists(gait3d_like(), protocols.gait3d())
    assert probes.tolist() == [0, 3, 6, 9]
    assert gallery.tolist() == [1, 2, 4, 5, 7, 8, 10, 11]


def seen_together(x, y):
    """Made up, and not the same for the two."""
    return x + 0.5 * y[..., ::-1, :], y - 0.3 * x


@pytest.mark.parametrize(
    "index, protocol",
    [(oumvlp_like(), protocols.oumvlp()), (gait3d_like(), protocols.gait3d())],
)
def test_cosines_of_parts(look, index, protocol):
    """Pair by pair, among the two nearest of each list."""
    x = np.random.default_rng(0).normal(size=(len(index), PARTS, DIMS))
    x = np.float32(x)
    sums = {"genuine": [], "impostor": []}
    for probes, gallery in look.ranked_lists(index, protocol):
        for probe in probes:
            far = np.linalg.norm(x[probe] - x[gallery], axis=-1).mean(-1)
            for other in gallery[np.argsort(far)[:2]]:
                right = index.subject[other] == index.subject[probe]
                pair = x[probe], x[other]
                both = [alike(*pair), alike(*seen_together(*pair))]
                sums["genuine" if right else "impostor"].append(both)
    found = look.strips(seen_together, x, index, protocol, depth=2, metric="euclidean")
    for kind, pairs in sums.items():
        assert found[f"{kind}_pairs"] == len(pairs) > 0
        before, after = np.mean(pairs, 0)
        np.testing.assert_allclose(found[f"{kind}_before"], before, atol=1e-6)
        np.testing.assert_allclose(found[f"{kind}_after"], after, atol=1e-6)
        assert found[f"{kind}_after"].dtype == np.float32


def alike(x, y):
    """Cosine of each part of x with each of y."""
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    return x @ y.T / lengths


def test_rows_that_change_are_drawn_first(look):
    """Of those the random ones; each before and after."""
    kinds = {5: "best", 6: "random", 7: "worst", 8: "random"}
    lists = []
    for probe, kind in kinds.items():
        changed = (1, 0) if probe != 6 else (0, 1)
        lists.append(RankList(probe, (0, 1), (True, False), kind))
        lists.append(RankList(probe, changed, (True, False), kind, "cargait"))
        lists.append(RankList(probe, (1, 0), (True, False), kind, "K_3"))
    asked = []

    def frames(view, row):
        asked.append(row)
        return np.full((4, 6, 5), 20 * row, np.uint8)

    picture = look.rank_rows(lists, "cargait", frames)
    assert asked == [8, 0, 1, 8, 1, 0, 5, 0, 1, 5, 1, 0]
    one = look.rank_list_picture(lists[0], frames, "sils", "sils")
    assert picture.shape == (4 * (len(one) + 6), one.shape[1], 3)
