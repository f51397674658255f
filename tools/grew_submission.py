"""Writes GREW's submission from the embeddings of a run; it holds no score.

usage: python tools/grew_submission.py RUN [--view NAME] [--distance cosine]

RUN is a workdir in which `--mode extract` has written `embeddings_test.npz`. The
identities of the probes are known to GREW's server alone; for a number of your own,
see the protocol `grew_local`, which is another one.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import numpy as np

from gaitjax.data.index import Index
from gaitjax.errors import GaitError
from gaitjax.files import write_atomically
from gaitjax.retrieval.submission import grew_submission


def main() -> None:
    """Leaves grew_submission_UNSCORED.csv in the run's workdir."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--view", help="modality; needed where there are several")
    distances = ("euclidean", "cosine")
    parser.add_argument("--distance", default=distances[0], choices=distances)
    options = parser.parse_args()
    embedding, index = load(options.run / "embeddings_test.npz", options.view)
    lines = grew_submission(embedding, index, metric=options.distance)
    path = options.run / "grew_submission_UNSCORED.csv"
    write_atomically(path, "".join(f"{','.join(line)}\n" for line in lines))
    print(f"UNSCORED: {len(lines) - 1} probes, 20 identities each: {path}")
    print("to submit, copy it to submission.csv, zip that, and upload the zip")


def load(path: pathlib.Path, view: str | None) -> tuple[np.ndarray, Index]:
    """One modality's embeddings f32 [n, p, d] and their labels."""
    if not path.exists():
        raise GaitError(f"no {path}; run gaitjax.main with --mode extract first")
    with np.load(path) as file:
        arrays = dict(file)
    views = [key[10:] for key in arrays if key.startswith("embedding_")]
    if view not in views and (view is not None or len(views) > 1):
        raise GaitError(f"--view is one of {', '.join(views)}, got {view}; name one")
    labels = [arrays[key] for key in ("subject", "condition", "view", "take")]
    embedding = arrays[f"embedding_{view or views[0]}"]
    return embedding, Index(*labels, np.zeros(len(embedding), np.int32))


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
