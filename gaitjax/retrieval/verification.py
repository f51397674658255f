"""Same person or not, known or unknown? The errors of a threshold on distances.

A pair is accepted where its distance is at most the threshold t:

    false match rate     FMR(t)  = share of impostor pairs that are accepted
    false non-match rate FNMR(t) = share of genuine pairs that are refused

The equal error rate (EER) is where the two cross (ISO/IEC 19795-1).

In an open set the person may not be in the gallery. A probe is answered with its
nearest item where that is at most t away, else it is unknown:

    false alarm rate FAR(t) = share of probes of strangers that are answered
    detection and identification rate DIR(t) = share of probes of people in the gallery
      that are answered, and rightly (rank 1; Phillips, Grother, Micheals, 2011)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from gaitjax import arguments
from gaitjax.errors import GaitError
from gaitjax.ops import distance
from gaitjax.retrieval import breakdowns, ranking

BLOCK = 1024  # pairs at a time; chosen


@dataclasses.dataclass(frozen=True)
class Distances:
    """Distances of pairs of a probe and a gallery record: f32[n], f32[m]."""

    genuine: np.ndarray
    impostor: np.ndarray


@dataclasses.dataclass(frozen=True)
class OpenSet:
    """The nearest item of probes, their person being in the gallery or not.

    known: distances f32[q] of probes with a match; right: bool[q], whether it is one.
    stranger: distances f32[m] of probes with all items of their person taken out.
    num_items, num_people: in the gallery, which the rates depend on; the largest.
    """

    known: np.ndarray
    right: np.ndarray
    stranger: np.ndarray
    num_items: int
    num_people: int


def sample_distances(
    tasks: Sequence[breakdowns.Task], number: int, seed: int = 0
) -> Distances:
    """Distances of up to `number` genuine and as many impostor pairs.

    All of them where there are no more than that, else drawn evenly; neither time
    nor memory grows with probes x gallery. Several galleries: an equal share each.
    """
    found = [_sample(task, -(-number // len(tasks)), seed) for task in tasks]
    return Distances(
        genuine=np.concatenate([one.genuine for one in found]),
        impostor=np.concatenate([one.impostor for one in found]),
    )


def _sample(task: breakdowns.Task, number: int, seed: int) -> Distances:
    subject = task.subject
    items = task.items[np.argsort(subject[task.items], kind="stable")]
    names = subject[items]
    start = np.searchsorted(names, subject[task.probes])
    count = np.searchsorted(names, subject[task.probes], "right") - start
    rng = np.random.default_rng(seed)
    chosen = _draw(rng, int(count.sum()), number)
    end = np.cumsum(count)
    who = np.searchsorted(end, chosen, "right")  # the probe of a genuine pair
    place = start[who] + chosen - (end - count)[who]
    genuine = _allowed(task, task.probes[who], items[place])
    # Drawn among all pairs; the few that turn out to be genuine are dropped.
    pairs = _draw(rng, len(task.probes) * len(items), number)
    who, place = np.divmod(pairs, len(items))
    probes, found = _allowed(task, task.probes[who], items[place])
    other = subject[probes] != subject[found]
    return Distances(
        genuine=_distances(task, *genuine),
        impostor=_distances(task, probes[other], found[other]),
    )


def det(
    genuine: np.ndarray, impostor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every threshold that matters, ascending, and its FMR and FNMR: f64[k] each."""
    threshold = np.unique(np.concatenate([genuine, impostor]))
    false_match = np.searchsorted(np.sort(impostor), threshold, "right") / len(impostor)
    accepted = np.searchsorted(np.sort(genuine), threshold, "right") / len(genuine)
    return threshold, false_match, 1 - accepted


def equal_error(genuine: np.ndarray, impostor: np.ndarray) -> tuple[float, float]:
    """(EER, its threshold), a share; straight lines between the thresholds."""
    threshold, false_match, false_non_match = det(genuine, impostor)
    # Below the least distance nothing is accepted.
    threshold = np.concatenate([threshold[:1], threshold])
    gap = np.concatenate([[-1.0], false_match - false_non_match])
    false_match = np.concatenate([[0.0], false_match])
    after = int(np.argmax(gap >= 0))  # gap grows from -1 to 1
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])

    def between(values: np.ndarray) -> float:
        return float(values[before] + share * (values[after] - values[before]))

    return between(false_match), between(threshold)


def open_set(tasks: Sequence[breakdowns.Task], number: int, seed: int = 0) -> OpenSet:
    """What up to `number` probes of all galleries find, drawn evenly.

    Each is searched twice, as one who is known and as a stranger.
    """
    rng = np.random.default_rng(seed)
    share = -(-number // len(tasks))
    found = [
        _open(task, task.probes[_draw(rng, len(task.probes), share)]) for task in tasks
    ]
    known, right, stranger = (np.concatenate(x) for x in zip(*found, strict=True))
    return OpenSet(
        known=known,
        right=right,
        stranger=stranger,
        num_items=max(len(task.items) for task in tasks),
        num_people=max(len(np.unique(task.subject[task.items])) for task in tasks),
    )


def _open(
    task: breakdowns.Task, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """known, right, stranger of some probes, see `OpenSet`."""
    gallery = ranking.everywhere(task.gallery_embeddings[task.items])
    near, other = np.full((2, len(rows)), -1)
    matched = np.zeros(len(rows), bool)
    for here, filled in ranking.shared_blocks(len(rows), task.block):
        probes, real = rows[filled], slice(len(here))
        x = task.probe_embeddings[probes]
        same = task.right(probes, task.items[None])  # [b,g]
        hidden = np.broadcast_to(task.excluded(probes), same.shape)
        matched[here] = (same & ~hidden).any(1)[real]
        for places, away in ((near, hidden), (other, hidden | same)):
            found = ranking.nearest(x, gallery, away, 1, task.metric)
            places[here] = found[real, 0]
    answer = task.items[near[matched]]
    known = _distances(task, rows[matched], answer)
    right = task.subject[rows[matched]] == task.subject[answer]
    left = other >= 0
    return known, right, _distances(task, rows[left], task.items[other[left]])


def dir_at_far(
    known: np.ndarray, right: np.ndarray, stranger: np.ndarray, far: float = 0.01
) -> tuple[float, float, float]:
    """(DIR, its threshold, the FAR there): shares, as `OpenSet` has the arrays.

    The threshold is the largest whose FAR is at most `far`: just below the nearest
    stranger that must be refused; inf where none must.
    """
    arguments.between(0, 1, FAR=far)
    if not len(known) or not len(stranger):
        raise GaitError(
            "DIR at a FAR wants probes of people in the gallery and of strangers, got "
            f"{len(known)} and {len(stranger)}; take more people"
        )
    allowed = int(np.floor(far * len(stranger) + 1e-9))  # 0.29 * 100 is below 29
    ascending = np.sort(np.float32(stranger))
    threshold = np.float32(np.inf)
    if allowed < len(ascending):
        threshold = np.nextafter(ascending[allowed], np.float32(-np.inf))
    answered = np.float32(known) <= threshold
    rate = float((answered & right).mean())
    return rate, float(threshold), float((ascending <= threshold).mean())


def _draw(rng: np.random.Generator, total: int, number: int) -> np.ndarray:
    """Up to `number` of 0 .. total - 1, ascending, each once."""
    if total <= number:
        return np.arange(total)
    return np.sort(rng.choice(total, number, replace=False, shuffle=False))


def _allowed(
    task: breakdowns.Task, probes: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that the protocol does not exclude, int[n] both."""
    excluded = np.full(len(probes), bool(task.exclude))
    for values in task.exclude:
        excluded &= values[probes] == values[items]
    return probes[~excluded], items[~excluded]


def _distances(
    task: breakdowns.Task, probes: np.ndarray, items: np.ndarray
) -> np.ndarray:
    """Distances of pairs of records, in blocks of one shape: f32[n]."""
    far = np.empty(len(probes), np.float32)
    for here, filled in ranking.probe_blocks(len(probes), BLOCK) if len(far) else ():
        x = jax.device_put(np.float32(task.probe_embeddings[probes[filled]]))
        y = jax.device_put(np.float32(task.gallery_embeddings[items[filled]]))
        far[here] = np.asarray(distance.paired(x, y, task.metric))[: len(here)]
    return far
