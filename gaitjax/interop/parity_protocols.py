"""Evaluation protocols on made-up features against the reference's figures."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gaitjax.data.index import Index
from gaitjax.interop import goldens
from gaitjax.interop.goldens import Row, failed, relative_error
from gaitjax.ops.distance import distances
from gaitjax.retrieval import protocols, search
from gaitjax.retrieval.kreciprocal import k_reciprocal
from gaitjax.retrieval.protocols import Protocol

TOLERANCE = 1e-5
HALF_TOLERANCE = 3e-3  # the reference sums in half precision, which ours does not
MEAN_TOLERANCE = 5e-5  # a tie that rounding breaks the other way moves mINP by 1.5e-5


def check_protocol(folder: str | os.PathLike, name: str) -> list[Row]:
    """Compares <folder>/eval/<name>.npz and its entry of results.json.

    name: <data set>_<euc, cos or cross_view_gallery>.
    """
    item = f"eval/{name}"
    if name == "re_ranking":
        return check_re_ranking(folder)
    dataset, _, kind = name.partition("_")
    table = protocols_of(dataset, kind)
    if not table:
        return [failed(item, "protocol", f"no protocol of this name ({name})")]
    arrays = goldens.load(folder, item)
    index, embeddings = index_of(arrays), arrays["embeddings"].transpose(0, 2, 1)
    metric = "cosine" if kind == "cos" else "euclidean"
    found = {
        prefix: search.evaluate(
            {"sils": embeddings},
            index,
            protocol,
            metric=metric,
            rounded=True,
            num_lists=0,
            num_pairs=0,
        )
        for prefix, protocol in table.items()
    }
    return [
        *_figures(item, found, goldens.load_json(folder, "eval/results")[name]),
        *_tables(item, found, arrays),
        *_scores(item, found, arrays),
        *_distances(item, embeddings, arrays, metric),
    ]


def check_re_ranking(folder: str | os.PathLike) -> list[Row]:
    """The k-reciprocal distances of every setting of eval/re_ranking."""
    item = "eval/re_ranking"
    arrays = goldens.load(folder, item)
    num, x = int(arrays["query_num"]), arrays["embeddings"].transpose(0, 2, 1)
    rows = []
    for key, want in arrays.items():
        if key.startswith("final_"):
            k1, k2, weight = re.findall(r"_(\d[\d.]*)", key)
            options = {"k1": int(k1), "k2": int(k2), "weight": float(weight)}
            got = k_reciprocal(x[:num], x[num:], variant="opengait", **options)
            error = float(np.abs(got - want).max())
            rows.append(Row(item, key, error, HALF_TOLERANCE, ""))
    return rows


def protocols_of(dataset: str, kind: str) -> dict[str, Protocol]:
    """Our protocols behind the figures of a golden, by what their names begin with."""
    if kind == "cross_view_gallery":
        known = {
            "casiab": protocols.casia_b_all_views,
            "oumvlp": protocols.oumvlp_all_views,
        }
        return {"": known[dataset]()} if dataset in known else {}
    if dataset == "ccpg":
        return {
            "ReID": protocols.ccpg_reid(),
            "Gait": protocols.ccpg_gait(),
            "Gait_with_same_view": protocols.ccpg_gait_same_camera(),
        }
    known = {
        "casiab": protocols.casia_b,
        "oumvlp": protocols.oumvlp,
        "sustech1k": protocols.sustech1k,
        "gait3d": protocols.gait3d,
        "freegait": protocols.freegait,
        "grew": protocols.grew_local,
    }
    return {"": known[dataset]()} if dataset in known else {}


def index_of(arrays: Mapping[str, np.ndarray]) -> Index:
    """The labels of a golden; its probe list where it has one."""
    labels = [arrays[key] for key in ("labels", "types", "views")]
    num = len(labels[0])
    index = Index(*labels, np.full(num, ""), np.ones(num, np.int32))
    if "is_probe" not in arrays:
        return index
    probes = frozenset(index.names[arrays["is_probe"]].tolist())
    return dataclasses.replace(index, lists={"probe": probes})


def read_figure(key: str) -> tuple[str, str, str]:
    """OpenGait's name of a figure -> (prefix of its protocol, condition, metric).

    NM@R1, NM-Rank@1, Rank-1, mAP, ReID_CL_Rank-1, Gait_CL_R1_with_same_view.
    """
    match = re.fullmatch(
        r"(?:(ReID|Gait)_)?(?:([A-Za-z]+)[-_@])?"
        r"(?:R(?:ank)?[-@]?(\d+)|(mAP|mINP))(_with_same_view)?",
        key,
    )
    if match is None:
        return "?", "", key
    kind, condition, k, metric, same = match.groups(default="")
    metric = f"rank-{k}" if k else metric
    return kind + same, _our_spelling(condition) or "all", metric


def _our_spelling(condition: str) -> str:
    return {"Umberalla": "Umbrella"}.get(condition, condition)  # SUSTech1K's own


def _figures(
    item: str, found: Mapping[str, search.Evaluation], want: Mapping[str, float]
) -> list[Row]:
    values = {
        (prefix, row["condition"], row["metric"]): row["value"]
        for prefix, evaluation in found.items()
        for row in evaluation.rows
    }
    rows = []
    for key, value in want.items():
        ours = values.get(read_figure(key))
        if ours is None:
            rows.append(failed(item, key, "no protocol gives this figure"))
        else:
            limit = TOLERANCE if "R" in key.rpartition("_")[2] else MEAN_TOLERANCE
            rows.append(Row(item, key, relative_error(ours, value), limit))
    return rows


def _tables(
    item: str, found: Mapping[str, search.Evaluation], arrays: Mapping[str, np.ndarray]
) -> list[Row]:
    """Rank-1 tables, probe view x gallery view."""
    tables = {
        condition: table
        for evaluation in found.values()
        for condition, (_, table) in evaluation.view_tables.items()
    }
    rows = []
    for key, want in arrays.items():
        if key.startswith("rank1_"):
            table = tables[_our_spelling(key.removeprefix("rank1_"))]  # [views, views]
            rows.append(Row(item, key, relative_error(table, want), TOLERANCE))
    return rows


def _scores(
    item: str, found: Mapping[str, search.Evaluation], arrays: Mapping[str, np.ndarray]
) -> list[Row]:
    """CMC, and the average precision of every probe that has a match."""
    lists = next((e for e in found.values() if e.per_probe), None)
    got: dict[str, Any] = {}
    if lists is not None:
        for condition, curve in lists.cmc.items():
            got |= {f"cmc_{condition}": curve, "cmc": curve}
        for scores in lists.per_probe.values():
            valid = scores["first"] > 0
            got |= {"AP": scores["ap"][valid], "INP": scores["inp"][valid]}
    rows = []
    for key in arrays:
        if key.partition("_")[0] in ("cmc", "AP", "INP"):
            ours = got[key][: len(arrays[key])]
            rows.append(Row(item, key, relative_error(ours, arrays[key]), TOLERANCE))
    return rows


def _distances(
    item: str, embeddings: np.ndarray, arrays: Mapping[str, np.ndarray], metric: str
) -> list[Row]:
    if "dist" not in arrays:
        return []
    probe = arrays["is_probe"]
    ours = distances(embeddings[probe], embeddings[~probe], metric)
    return [Row(item, "dist", relative_error(ours, arrays["dist"]), TOLERANCE)]
