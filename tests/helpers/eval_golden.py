"""The evaluation goldens in the form that `search.evaluate` takes."""

from __future__ import annotations

import dataclasses

import golden
import numpy as np

from gaitjax.data.index import Index


def load(name: str):
    """Golden arrays, their index, and embeddings [n,p,d]."""
    arrays = golden.load(name)
    labels = [arrays[key] for key in ("labels", "types", "views")]
    num = len(labels[0])
    index = Index(*labels, np.full(num, ""), np.ones(num, np.int32))
    if "is_probe" in arrays:
        probes = frozenset(index.names[arrays["is_probe"]].tolist())
        index = dataclasses.replace(index, lists={"probe": probes})
    return arrays, index, arrays["embeddings"].transpose(0, 2, 1)


def values(evaluation) -> dict[tuple[str, str], float]:
    """{(condition, metric): percent}."""
    return {(row["condition"], row["metric"]): row["value"] for row in evaluation.rows}
