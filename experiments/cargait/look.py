"""What a trained CarGait is looked at for besides its results.

Other K; how alike the parts of a probe and of a candidate are before and after they
have seen each other, as in the paper's figure 4; rank rows as a picture.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gaitjax.evaluate import embed, eval_rows, reranks
from gaitjax.files import write_atomically
from gaitjax.methods import cargait
from gaitjax.report.pictures import Frames, rank_list_picture
from gaitjax.retrieval import protocols, ranking, search
from gaitjax.retrieval.protocols import Labels, Protocol
from gaitjax.retrieval.rank_lists import RankList
from gaitjax.run import open_run, restore_model

PICTURED = 2  # probes in ranks.png
NUM_LISTS = 12  # a third of which are drawn without looking at their AP
FILES = ("depths.json", "strips.npz", "ranks.png")

# (F of probes [q, 1, p, d], F of what they find [q, k, p, d]) -> E of both
Refine = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def look(
    config: Mapping[str, Any], folder: pathlib.Path, depths: Sequence[int]
) -> None:
    """Of a finished run: `FILES` in its folder, by its headline protocol.

    depths: the K beside that of the config.
    """
    if all((folder / name).exists() for name in FILES):
        return
    run = open_run(config, folder, create=False)
    state = restore_model(run)
    options = run.eval_options
    split, rows = eval_rows(run, options.split)
    index = split.index.select(rows)
    views = embed(run, state, split, rows)
    protocol = protocols.for_dataset(run.data.name)[0]
    again = reranks(run, state)[-1]
    others = [dataclasses.replace(again, stage=f"K_{k}", depth=k) for k in depths]
    found = search.evaluate(
        views,
        index,
        protocol,
        metric=options.distances[0],
        ranks=options.ranks,
        num_lists=NUM_LISTS,
        num_pairs=0,
        reranks=[again, *others],
    )
    (embeddings,) = views.values()
    model = cargait.reranker(config["method_args"])
    matrices = strips(
        lambda x, y: model.apply(
            {"params": state.eval_params}, x, y, method=model.refine
        ),
        embeddings,
        index,
        protocol,
        depth=options.rerank,
        metric=options.distances[0],
    )
    drawn = split.with_keys(("sils",))
    lists = found.rank_lists[next(iter(protocol.probes))]
    picture = rank_rows(
        lists, again.stage, lambda view, row: drawn[int(rows[row])][view]
    )
    Image.fromarray(picture).save(folder / "ranks.png", optimize=True)
    np.savez(folder / "strips.npz", **matrices)
    write_atomically(folder / "depths.json", json.dumps({"rows": found.rows}))


# Strips.


def strips(
    refine: Refine,
    embeddings: np.ndarray,
    index: Labels,
    protocol: Protocol,
    *,
    depth: int,
    metric: str,
) -> dict[str, np.ndarray]:
    """Mean cosine between part i of a probe and part j of a candidate, f32[p, p]:
    genuine_before, genuine_after, impostor_before, impostor_after; and how many pairs
    they are means of, genuine_pairs, impostor_pairs.

    embeddings: f32[n, p, d], F of every record of the index. Pairs: a probe and each of
    its `depth` nearest of every list that the protocol ranks.
    """

    @jax.jit
    def sums(probe, found, right) -> jax.Array:
        """[q, p, d], [q, k, p, d], bool[q, k] -> [genuine or not, before or after,
        p, p]."""
        pair = probe[:, None], found
        alike = jnp.stack([cosines(*pair), cosines(*refine(*pair))])  # [2, q, k, p, p]
        kinds = jnp.stack([right, ~right]).astype(alike.dtype)  # [2, q, k]
        return jnp.einsum("sqkij,wqk->wsij", alike, kinds)

    subject = index.subject
    total, pairs = 0.0, np.zeros(2, int)
    for probes, gallery in ranked_lists(index, protocol):
        there = ranking.everywhere(embeddings[gallery])
        nothing = np.zeros((1, 1), bool)
        k = min(depth, len(gallery))
        near = gallery[
            ranking.nearest(embeddings[probes], there, nothing, k, metric)
        ]  # [q, k]
        right = subject[near] == subject[probes][:, None]
        found = sums(embeddings[probes], embeddings[near], right)
        total = total + np.asarray(found, np.float64)
        pairs += right.sum(), (~right).sum()
    named = {}
    for kind, name in enumerate(("genuine", "impostor")):
        for stage, when in enumerate(("before", "after")):
            mean = total[kind, stage] / max(pairs[kind], 1)
            named[f"{name}_{when}"] = np.float32(mean)
        named[f"{name}_pairs"] = pairs[kind]
    return named


def cosines(x: jax.Array, y: jax.Array) -> jax.Array:
    """Of each part of x with each of y: [..., p, d] twice -> [..., p, p]."""
    unit = [
        z / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), 1e-12)
        for z in (x, y)
    ]
    return jnp.einsum("...id,...jd->...ij", *unit)


def ranked_lists(
    index: Labels, protocol: Protocol
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Records of the probes and of the gallery of every list, of both protocols of
    this study: all in one, or one per gallery view without the probes of that view."""
    (rule,) = protocol.probes.values()
    probes = protocols.rows_of(rule, index)
    gallery = protocols.rows_of(protocol.gallery, index)
    if protocol.breakdown == "list":
        yield probes, gallery
        return
    for view in np.unique(index.view[gallery]):
        yield (
            probes[index.view[probes] != view],
            gallery[index.view[gallery] == view],
        )


# Rank rows.


def rank_rows(lists: Iterable[RankList], stage: str, frames: Frames) -> np.ndarray:
    """Some probes' rows before and after, one below the other: u8[y,x,3].

    Probes are drawn, not chosen by outcome, but for this: rows that re-ranking has left
    as they were show nothing and are taken last.
    """
    before = {one.probe: one for one in lists if one.stage == "initial"}
    after = {one.probe: one for one in lists if one.stage == stage}
    chosen = sorted(
        before,
        key=lambda probe: (
            before[probe].gallery == after[probe].gallery,
            before[probe].kind != "random",
        ),
    )
    rows = [
        rank_list_picture(one[probe], frames, "sils", "sils")
        for probe in chosen[:PICTURED]
        for one in (before, after)
    ]
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 6), (0, width - row.shape[1]), (0, 0))) for row in rows]
    )
