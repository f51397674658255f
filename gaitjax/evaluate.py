"""Restore, embed, follow a protocol, report.

python -m gaitjax.main --config configs/walkers.py --mode evaluate
python -m gaitjax.main --config configs/walkers.py --mode extract
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import pathlib
import platform
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from gaitjax.data.index import Index
from gaitjax.data.pipeline import Data, embed_batches
from gaitjax.data.records import Split
from gaitjax.errors import GaitError
from gaitjax.methods.api import Method
from gaitjax.report import html, tables
from gaitjax.retrieval import protocols, search
from gaitjax.runtime.mesh import replicated, to_devices
from gaitjax.runtime.metrics_log import read as read_metrics
from gaitjax.runtime.state import TrainState

Embedder = Callable[..., dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """The config's `eval` section.

    split: `test`, or `val` (see data.val). distance: between embeddings. ranks: the
    k of Rank-k. batch: sequences at a time. frames_limit: only so many first frames
    of a sequence. buckets: how many lengths sequences are padded to. rounded: round
    view-pair cells to two decimals before averaging, as OpenGait does. lists: rank
    lists per condition in the report.
    """

    split: Literal["test", "val"] = "test"
    distance: Literal["euclidean", "cosine"] = "euclidean"
    ranks: tuple[int, ...] = (1, 5, 10)
    batch: int = 64
    frames_limit: int = 720
    buckets: int = 4
    rounded: bool = False
    lists: int = 6


def make_embedder(
    method: Method, data: Data, mesh: Mesh, options: EvalOptions
) -> Embedder:
    """A function (state, split, rows) -> {view: f32 [len(rows), p, d]}.

    Batches are padded to a few lengths, masked, and sharded over the mesh; neither
    their size nor the padding changes an embedding.
    """
    batch_size = -(-options.batch // mesh.size) * mesh.size
    embed = jax.jit(method.embed, out_shardings=replicated(mesh))

    def embed_rows(
        state: TrainState,
        split: Split,
        rows: np.ndarray,
        rng: jax.Array | None = None,
    ) -> dict[str, np.ndarray]:
        split = split.with_keys(method.embed_keys)
        views: dict[str, np.ndarray] = {}
        place = np.full(len(split), -1)
        place[rows] = np.arange(len(rows))
        batches = embed_batches(
            data,
            split,
            rows,
            batch=batch_size,
            frames_limit=options.frames_limit,
            buckets=options.buckets,
        )
        with tqdm(total=len(rows), desc="embedding", unit="sequence") as bar:
            for records, batch in batches:
                share = batch_size // jax.process_count()
                mine = slice(jax.process_index() * share, None)
                batch = {key: x[mine][:share] for key, x in batch.items()}
                batch = to_devices(batch, mesh)
                out = embed(state.eval_params, state.model_state, batch, rng)
                for view, x in jax.device_get(out).items():
                    if view not in views:
                        views[view] = np.empty((len(rows), *x.shape[1:]), np.float32)
                    views[view][place[records]] = x[: len(records)]
                bar.update(len(records))
        return views

    return embed_rows


def eval_rows(data: Data, options: EvalOptions) -> tuple[Split, np.ndarray]:
    """The split and the rows of it that `eval.split` means."""
    if options.split == "test":
        return data.test, np.arange(len(data.test))
    if not len(data.val_rows):
        raise GaitError(
            "eval.split=val wants validation identities, but data.val is 0; train with "
            "data.val=0.2 or so"
        )
    return data.train, data.val_rows


def evaluate_state(
    state: TrainState, data: Data, embedder: Embedder, options: EvalOptions
) -> list[search.Evaluation]:
    """One Evaluation per protocol of the data set and per modality embedded."""
    split, rows = eval_rows(data, options)
    embeddings = embedder(state, split, rows)
    index = split.index.select(rows)
    results = [
        search.evaluate(
            {view: embedding},
            index,
            protocol,
            metric=options.distance,
            ranks=options.ranks,
            rounded=options.rounded,
            num_lists=options.lists,
        )
        for protocol in protocols.for_dataset(data.name)
        for view, embedding in embeddings.items()
    ]
    return results


def scores(evaluations: list[search.Evaluation]) -> dict[str, float]:
    """{"NM/rank-1": percent} for logs and `ckpt.best`; the first one of a name."""
    named: dict[str, float] = {}
    for evaluation in evaluations:
        for row in evaluation.rows:
            named.setdefault(f"{row['condition']}/{row['metric']}", row["value"])
    return named


def write_results(
    workdir: pathlib.Path,
    data: Data,
    config: Mapping,
    evaluations: list[search.Evaluation],
    options: EvalOptions,
) -> None:
    """Prints the tables; leaves results.json, results.csv and report.html."""
    rows = [row for evaluation in evaluations for row in evaluation.rows]
    print(f"\n{tables.results_table(rows)}")
    for evaluation in evaluations:
        for note in evaluation.notes:
            print(f"note: {note}")
    tables.write_json(workdir / "results.json", rows)
    tables.write_csv(workdir / "results.csv", rows)
    split, chosen = eval_rows(data, options)
    key = "sils" if "sils" in split.modalities else split.modalities[0]
    pictures = split.with_keys((key,))
    metrics = workdir / "metrics.jsonl"
    html.write_report(
        workdir / "report.html",
        title=workdir.name,
        dataset=data.name,
        config=config,
        environment=environment(),
        evaluations=evaluations,
        metrics=read_metrics(metrics) if metrics.exists() else (),
        frames=lambda row: pictures[int(chosen[row])][key],
    )
    simulated = " (simulated data)" if data.name.startswith("walkers") else ""
    print(f"\nresults{simulated}: {workdir}/results.json, results.csv, report.html")


def write_embeddings(
    path: pathlib.Path, views: Mapping[str, np.ndarray], index: Index
) -> None:
    """An npz: an array [n, p, d] per view, and the labels under their own names."""
    labels = {
        key: getattr(index, key) for key in ("subject", "condition", "view", "take")
    }
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **{f"embedding_{k}": v for k, v in views.items()}, **labels)
    partial.replace(path)
    shapes = ", ".join(f"{view} {list(x.shape)}" for view, x in views.items())
    print(f"embeddings [n, parts, dims] of {shapes}: {path}")


def environment() -> dict[str, str]:
    """What the run ran on, for the report and the checkpoints."""
    device = jax.devices()[0]
    packages = (
        "gaitjax",
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "orbax-checkpoint",
        "grain",
    )
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return {
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "devices": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        **versions,
    }
