"""What a trained Selective Fusion is looked at for besides its results.

How far a walk is from the same walk in other clothes, drawn by the augmentation or
worn; where sequences lie, before and after; what the network looks at in those that
came into a right and into a wrong cluster. Labels serve to look, nothing is trained.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import numpy as np
from matplotlib.figure import Figure

from gaitjax.bench.study import ChangedSplit
from gaitjax.evaluate import embed, heat_pictures
from gaitjax.ops import morphology
from gaitjax.report import alignment_plots, embedding_map, saliency
from gaitjax.report.embedding_map import EmbeddingMap, kind
from gaitjax.retrieval.fusion import flat_unit
from gaitjax.retrieval.protocols import Labels
from gaitjax.run import Run, read_side
from gaitjax.runtime.state import TrainState

DRAWS = 1  # of the augmentation, a sequence
SHOWN = 5  # sequences of a column of the sheet
LAST = "block3"  # of GaitSet, what gives the last maps of single frames


# Clothes.


def wear(run: Run, state: TrainState) -> dict[str, float]:
    """Mean distances on the test split, see `distances`; f by the network as it is."""
    split = run.data.test
    rows = np.arange(len(split))
    index = split.index.select(rows)
    (x,) = embed(run, state, split, rows).values()
    usual = np.flatnonzero(is_usual(index))
    found = []
    for draw in range(DRAWS):
        other = ChangedSplit(split, functools.partial(dressed, draw=draw))
        (y,) = embed(run, state, other, usual).values()
        found.append(distances(flat_unit(x), flat_unit(y), index))
    return {
        key: round(float(np.mean([one[key] for one in found])), 4) for key in found[0]
    }


def is_usual(index: Labels) -> np.ndarray:
    """Walks in usual clothes: bool[n]."""
    return np.array([kind(name) == "nm" for name in index.condition])


def dressed(rng: np.random.Generator, frames: np.ndarray, draw: int) -> np.ndarray:
    """u8[t, h, w] in other clothes, always; as training draws them."""
    key = jax.random.fold_in(jax.random.key(rng.integers(2**31)), draw)
    return np.asarray(_dressed(key, frames[None])[0])


_dressed = jax.jit(functools.partial(morphology.clothes, probability=1.0))


def distances(x: np.ndarray, y: np.ndarray, index: Labels) -> dict[str, float]:
    """Cosine distances from f, a walk in usual clothes, means over all of them.

    x: f32[n, d] of length one, of every row of the index. y: the rows in usual clothes,
    in other clothes by augmentation (f_CA). `again`, `bg`, `cl`: other walks of that
    person, seen from the same side, usual, with a bag, in a coat. `stranger`: other
    people's usual walks, same side. `cl_from_augmented`: from f_CA to the coat.
    `towards_cl`: cosine between where the augmentation moves f and where the coat is.
    """
    usual = np.flatnonzero(is_usual(index))
    kinds = np.array([kind(name) for name in index.condition])
    found: dict[str, list[float]] = {}

    def add(key: str, values: np.ndarray) -> None:
        if values.size:  # some have nobody to be compared with
            found.setdefault(key, []).append(float(np.mean(values)))

    for place, row in enumerate(usual):
        side = index.view == index.view[row]
        own = index.subject == index.subject[row]
        others = {name: side & own & (kinds == name) for name in ("nm", "bg", "cl")}
        others["nm"][row] = False
        coats = x[others["cl"]]
        add("augmented", 1 - x[row] @ y[place])
        add("again", 1 - x[others["nm"]] @ x[row])
        add("bg", 1 - x[others["bg"]] @ x[row])
        add("cl", 1 - coats @ x[row])
        add("cl_from_augmented", 1 - coats @ y[place])
        add("towards_cl", cosines(coats - x[row], y[place] - x[row]))
        add("stranger", 1 - x[side & ~own & (kinds == "nm")] @ x[row])
    return {key: float(np.mean(values)) for key, values in found.items()}


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of rows with one vector: [n, d], [d] -> [n]."""
    length = np.linalg.norm(x, axis=1) * np.linalg.norm(y)
    return x @ y / np.maximum(length, 1e-12)


# Maps.


def maps(runs: Mapping[str, tuple[Run, TrainState]]) -> np.ndarray:
    """A row per network, where some test sequences lie, coloured by condition and by
    identity: u8[y, x, 3]."""
    drawn = {}
    for name, (run, state) in runs.items():
        split = run.data.test
        rows = embedding_map.sample_rows(split.index)
        views = embed(run, state, split, rows)
        found = embedding_map.lay_out(views, split.index.select(rows))
        labels = {key: found.labels[key] for key in ("condition", "identity")}
        drawn[name] = EmbeddingMap(found.places, labels)
    return alignment_plots.map_panels(drawn)


# Where the network looks.


def sheet(run: Run, state: TrainState) -> Figure | None:
    """Grad-CAM of training sequences towards the mean of their cluster: a column of
    rightly and one of wrongly clustered ones, drawn at random. None where the last
    round has not both.

    Right: most of the cluster are sequences of this person.
    """
    split = run.data.train
    labels = np.asarray(read_side(run, int(state.step))["labels"])
    right = rightly(labels, split.index.subject)
    rng = np.random.default_rng(0)
    chosen = [
        np.sort(
            rng.permutation(np.flatnonzero((labels >= 0) & (right == is_right)))[:SHOWN]
        )
        for is_right in (True, False)
    ]
    if not all(len(rows) for rows in chosen):
        return None
    ((view, x),) = embed(run, state, split, np.arange(len(split))).items()
    towards = saliency.towards_own(x, labels)
    columns = [
        heat_pictures(run, state, split, rows, {view: towards[rows]}, LAST)
        for rows in chosen
    ]
    if None in columns:
        return None
    drawn = Figure((5.4, 1.5 * SHOWN), layout="constrained")
    panels = drawn.subplots(SHOWN, 2, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    titles = ("right cluster", "wrong cluster")
    for column, images, title in zip(panels.T, columns, titles, strict=True):
        for axes, (caption, image) in zip(column, images, strict=False):
            axes.imshow(image)
            axes.set_title(f"{title}: {caption}", fontsize=7, loc="left")
    return drawn


def rightly(labels: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Whose cluster has mostly sequences of the same person: i32[n], str[n] -> bool[n];
    of a sequence without a cluster False."""
    right = np.zeros(len(labels), bool)
    for label in np.unique(labels[labels >= 0]):
        mine = labels == label
        names, counts = np.unique(subject[mine], return_counts=True)
        right[mine] = subject[mine] == names[counts.argmax()]
    return right
