"""Any protocol by loops in float64, one probe at a time: the twin of `search`."""

from __future__ import annotations

import numpy as np

from gaitjax.retrieval import protocols


def far(x: np.ndarray, y: np.ndarray, metric: str = "euclidean") -> np.ndarray:
    """Float64 distances of embeddings, a part at a time: [q,g]."""
    total = np.zeros((len(x), len(y)))
    for part in range(x.shape[1]):
        a, b = np.float64(x[:, part]), np.float64(y[:, part])
        if metric == "cosine":
            a = a / np.linalg.norm(a, axis=1, keepdims=True)
            b = b / np.linalg.norm(b, axis=1, keepdims=True)
            total += 1 - a @ b.T
        else:
            total += np.linalg.norm(a[:, None] - b[None], axis=-1)
    return total / x.shape[1]


def values(protocol, index, distance, ranks):
    """{(condition, metric): (percent, n_probe, n_without_match)}; distance [n,n]."""
    found = {}
    for condition, rule in protocol.probes.items():
        gallery = protocols.rows_of(
            protocol.galleries.get(condition, protocol.gallery), index
        )
        probes = protocols.rows_of(rule, index)
        search = _pairs if protocol.breakdown == "view_pairs" else _list
        means, without = search(protocol, index, distance, ranks, probes, gallery)
        for metric, value in means.items():
            if not np.isnan(value):
                found[condition, metric] = (value, len(probes), without)
    return found


def _group(protocol, index, row):
    """The view of a record, or its camera."""
    view = str(index.view[row])
    return view.split("_")[0] if protocol.group == "camera" else view


def _matches(index, distance, probe, items):
    """For each item, nearest first: is it the probe's identity?"""
    order = sorted(items, key=lambda item: (distance[probe, item], item))
    return [index.subject[item] == index.subject[probe] for item in order]


def _pairs(protocol, index, distance, ranks, probes, gallery):
    names = sorted({_group(protocol, index, row) for row in [*probes, *gallery]})
    of = {row: _group(protocol, index, row) for row in {*probes, *gallery}}
    means = {f"rank-{k}": [] for k in ranks}
    matched = set()
    for mine in names:
        cells = {f"rank-{k}": [] for k in ranks}
        for other in names:
            searching = [row for row in probes if of[row] == mine]
            items = [row for row in gallery if of[row] == other]
            if (protocol.exclude and mine == other) or not searching or not items:
                continue
            lists = {row: _matches(index, distance, row, items) for row in searching}
            matched |= {row for row, found in lists.items() if any(found)}
            for k in ranks:
                hits = [any(found[:k]) for found in lists.values()]
                cells[f"rank-{k}"].append(100 * np.mean(hits))
        for metric, line in cells.items():
            means[metric] += [np.mean(line)] if line else []
    means = {m: np.mean(line) if line else np.nan for m, line in means.items()}
    return means, len(probes) - len(matched)


def _list(protocol, index, distance, ranks, probes, gallery):
    scores = [score(protocol, index, distance, ranks, row, gallery) for row in probes]
    without = sum(shares is None for shares in scores)
    groups = ["all"] * len(probes)
    if protocol.breakdown == "views":
        groups = [_group(protocol, index, row) for row in probes]
    means = {}
    for metric in [f"rank-{k}" for k in ranks] + ["mAP", "mINP"]:
        lines = {}
        for group, shares in zip(groups, scores, strict=True):
            if shares is not None:
                lines.setdefault(group, []).append(100 * shares[metric])
            elif protocol.misses and metric.startswith("rank"):
                lines.setdefault(group, []).append(0)
        line = [np.mean(line) for line in lines.values()]
        means[metric] = np.mean(line) if line else np.nan
    return means, without


def score(protocol, index, distance, ranks, probe, gallery):
    """Shares by metric of one probe; None without a match."""
    fields = {
        "subject": index.subject,
        "view": index.view,
        "camera": np.array([view.split("_")[0] for view in index.view]),
    }
    items = [
        item
        for item in gallery
        if not protocol.exclude
        or any(fields[f][item] != fields[f][probe] for f in protocol.exclude)
    ]
    matches = _matches(index, distance, probe, items)
    if not any(matches):
        return None
    places = [place for place, right in enumerate(matches, 1) if right]
    shares = {f"rank-{k}": float(places[0] <= k) for k in ranks}
    shares["mAP"] = np.mean([j / place for j, place in enumerate(places, 1)])
    shares["mINP"] = len(places) / places[-1]
    return shares
