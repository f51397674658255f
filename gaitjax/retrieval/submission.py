"""GREW's submission: for each nameless probe, whom it looks most like.

The identities of GREW's probes are known only to its server, so nothing here is a
score. Gallery: conditions 01 and 02, all labelled test sequences; probes: those of
the subject `probe` (its condition is 03). Each row has the probe's name and the
identities of its 20 nearest gallery sequences, nearest first, an identity as often
as it is found, as the reference writes them.
"""

from __future__ import annotations

import numpy as np

from gaitjax.errors import GaitError
from gaitjax.retrieval import ranking
from gaitjax.retrieval.protocols import Labels, rows_of

NUM_RANKS = 20


def grew_submission(
    embedding: np.ndarray,
    index: Labels,
    *,
    metric: str = "euclidean",
    block: int = 256,
) -> list[list[str]]:
    """Header and rows of the csv: f32[n,p,d] and its index -> [1 + probes][21].

    A probe's name is its view (the level below the condition); identities are
    numbers, written without the zeros in front.
    """
    items = rows_of({"condition": ("01", "02"), "subject": ("!probe",)}, index)
    probes = rows_of({"subject": ("probe",)}, index)
    if not len(probes):
        raise GaitError(
            "a GREW submission needs probes, sequences of the subject `probe`; got "
            f"none among {len(index)}; prepare GREW with its probe folder"
        )
    if len(items) < NUM_RANKS:
        raise GaitError(
            f"a GREW submission needs a gallery of {NUM_RANKS} sequences of conditions "
            f"01 and 02, got {len(items)}; prepare the whole test set"
        )
    names = [_number(subject) for subject in index.subject[items]]
    gallery = ranking.everywhere(embedding[items])
    lines = [["videoId", *(f"rank{k}" for k in range(1, NUM_RANKS + 1))]]
    nothing = np.zeros((1, 1), bool)
    for here, filled in ranking.shared_blocks(len(probes), block):
        probe = embedding[probes[filled]]
        near = ranking.nearest(probe, gallery, nothing, NUM_RANKS, metric)
        for row, places in zip(probes[here], near, strict=False):  # without the filling
            lines.append([str(index.view[row]), *(names[place] for place in places)])
    return lines


def _number(subject: str) -> str:
    if not subject.isdecimal():
        raise GaitError(
            f"identities of GREW are numbers such as 00042, got {subject}; this is for "
            "GREW only"
        )
    return str(int(subject))
