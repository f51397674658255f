"""Restore, embed, follow a protocol, report.

python -m gaitjax.main --config configs/walkers.py --mode evaluate
python -m gaitjax.main --config configs/walkers.py --mode extract
python -m gaitjax.main --config configs/walkers.py --mode export

The workdir may be a folder of weights alone (`runtime.weights`): then the method is
theirs, and the config says with what data and how.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from gaitjax.data import schema
from gaitjax.data.index import Index
from gaitjax.data.pipeline import Data, embed_batches
from gaitjax.data.records import Split
from gaitjax.errors import GaitError
from gaitjax.files import replacing, write_atomically
from gaitjax.report import embedding_map, html, saliency, tables
from gaitjax.retrieval import clusters, protocols, ranking, rerank, search
from gaitjax.run import (
    EvalOptions,
    Run,
    embedding_arrays,
    modality_pairs,
    open_run,
    restore_model,
    score_prefix,
)
from gaitjax.runtime import mesh, weights
from gaitjax.runtime.environment import environment
from gaitjax.runtime.metrics_log import read as read_metrics
from gaitjax.runtime.precision import with_products
from gaitjax.runtime.state import TrainState
from gaitjax.runtime.weights import adopt


def evaluate_run(
    config: Mapping[str, Any], workdir: str | os.PathLike, **kwargs
) -> None:
    """`--mode evaluate`: the newest checkpoint through the protocols, to a report."""
    run = open_run(adopt(config, workdir), workdir, create=False, **kwargs)
    state = restore_model(run)
    write_results(run, state, evaluate_state(run, state))


def extract_run(
    config: Mapping[str, Any], workdir: str | os.PathLike, **kwargs
) -> None:
    """`--mode extract`: embeddings of `eval.split` into an npz in the workdir."""
    run = open_run(adopt(config, workdir), workdir, create=False, **kwargs)
    split, rows = eval_rows(run, run.eval_options.split)
    views = embed(run, restore_model(run), split, rows)
    path = run.workdir / f"embeddings_{run.eval_options.split}.npz"
    if mesh.is_first():
        write_embeddings(path, views, split.index.select(rows))


def export_run(config: Mapping[str, Any], workdir: str | os.PathLike, **kwargs) -> None:
    """`--mode export`: the weights that embeddings depend on, into <workdir>/export.

    Of the checkpoint that evaluation takes, averaged where the run averages; what is
    there from an earlier export is replaced.
    """
    if jax.process_count() > 1:
        raise GaitError(
            "--mode export is work for one process; leave --distributed out"
        )
    if weights.read_about(workdir) is not None:
        raise GaitError(f"{workdir} holds weights alone already; use it as it is")
    run = open_run(config, workdir, create=False, **kwargs)
    state = restore_model(run)
    model = {"params": state.eval_params, "model_state": state.model_state}
    model = weights.keep(model, embedding_arrays(run))
    folder = run.workdir / "export"
    partial = run.workdir / ".export.partial"
    shutil.rmtree(partial, ignore_errors=True)
    weights.write(
        partial,
        model,
        {
            **config,
            "train": {**config["train"], "ema": None},
            "method_args": {**config["method_args"], **run.method.inference_args},
        },
        step=int(state.step),
        shapes=run.data.shapes(run.method.embed_keys),
        num_classes=len(run.data.names),
        source=f"run {run.workdir.name}, step {int(state.step)}",
    )
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    count = sum(leaf.size for leaf in jax.tree.leaves(model))
    print(f"{count / 1e6:.2f} M numbers of step {int(state.step)}: {folder}")


def embed(
    run: Run,
    state: TrainState,
    split: Split,
    rows: np.ndarray,
    rng: jax.Array | None = None,
) -> dict[str, np.ndarray]:
    """{view: f32 [len(rows), p, d]} of some records of a split.

    Batches are padded to a few lengths, masked, and sharded over the mesh; neither
    their size nor the padding changes an embedding. Each process reads its rows of a
    batch, and all get all embeddings. While the devices work on a batch, the next ones
    are read and the one before is fetched. rng: see `Method.embed`.
    """
    options = run.eval_options
    batch_size = -(-options.batch // run.mesh.size) * run.mesh.size
    place = np.full(len(split), -1)
    place[rows] = np.arange(len(rows))
    batches = embed_batches(
        run.data,
        split.with_keys(run.method.embed_keys),
        rows,
        batch=batch_size,
        frames_limit=options.frames_limit,
        buckets=options.buckets,
        part=mesh.process_rows(batch_size),
    )

    def begun() -> Iterator[tuple[np.ndarray, Mapping[str, jax.Array]]]:
        for records, batch in batches:
            batch = mesh.to_devices(batch, run.mesh)
            out = run.embed_fn(state.eval_params, state.model_state, batch, rng)
            yield records, out

    views: dict[str, np.ndarray] = {}
    with tqdm(total=len(rows), desc="embedding", unit="sequence") as bar:
        for records, out in one_late(begun()):
            for view, x in jax.device_get(out).items():
                if view not in views:
                    views[view] = np.empty((len(rows), *x.shape[1:]), np.float32)
                views[view][place[records]] = x[: len(records)]
            bar.update(len(records))
    return views


def one_late(items: Iterable[Any]) -> Iterator[Any]:
    """The same, each when the next one has been made."""
    items = iter(items)
    for last in items:
        for item in items:
            yield last
            last = item
        yield last


def eval_rows(run: Run, name: str) -> tuple[Split, np.ndarray]:
    """The split and the rows of it that a value of `eval.split` means."""
    data = run.data
    if name == "test":
        return data.test, np.arange(len(data.test))
    return data.train, data.val_rows


def evaluate_state(
    run: Run,
    state: TrainState,
    split: str | None = None,
    distances: Sequence[str] | None = None,
) -> list[search.Evaluation]:
    """One Evaluation per distance, pair of embedded views and protocol, in this order.

    A pair is the probes' view and the gallery's, in the order of `modality_pairs`.
    split: `test` or `val`; None is `eval.split`. distances: None is `eval.distances`;
    only the first one has rank lists, distances of pairs and what re-ranking makes of
    it, the rest numbers alone.
    """
    options = run.eval_options
    distances = distances or options.distances
    split, rows = eval_rows(run, split or options.split)
    index = split.index.select(rows)
    views = embed(run, state, split, rows)
    pictured = {"num_lists": options.lists, "reranks": reranks(run, state)}
    bare = {"num_lists": 0, "num_pairs": 0}
    return [
        search.evaluate(
            views,
            index,
            protocol,
            metric=distance,
            ranks=options.ranks,
            rounded=options.rounded,
            probe=probe,
            gallery=gallery,
            **(pictured if distance == distances[0] else bare),
        )
        for distance in distances
        for probe, gallery in modality_pairs(views)
        for protocol in protocols.for_dataset(run.data.name)
    ]


def reranks(run: Run, state: TrainState) -> list[ranking.Rerank]:
    """What sorts the nearest again: rivals, and the method itself where it does."""
    options = run.eval_options
    others = rerank.make(options.rivals, options.distances[0])
    if run.rescore_fn is None:
        return others
    model = state.eval_params, state.model_state

    def open_list(probes: np.ndarray, gallery: np.ndarray) -> ranking.Score:
        rows = ranking.padded(np.arange(len(gallery)), rounded_up(len(gallery)))
        there = mesh.to_all(np.float32(gallery[rows]), run.mesh)

        def score(places: np.ndarray, near: np.ndarray) -> np.ndarray:
            pairs = np.float32(probes[places]), np.int32(near)
            probe, found = mesh.to_all(pairs, run.mesh)
            return np.asarray(run.rescore_fn(*model, probe, there, found))

        return score

    stage = run.config["method"].rpartition(".")[2]
    return [*others, ranking.Rerank(stage, options.rerank, open_list)]


def rounded_up(size: int) -> int:
    """At most a quarter more, so that galleries of like sizes compile once."""
    step = max(1, (1 << size.bit_length()) // 8)
    return -(-size // step) * step


def headline_scores(
    run: Run, state: TrainState, split: str | None = None
) -> dict[str, float]:
    """`scores` of a state on its way: only the first distance is searched."""
    headline = run.eval_options.distances[:1]
    return scores(evaluate_state(run, state, split, headline))


def label_quality(data: Data, labels: np.ndarray) -> dict[str, float]:
    """How a method's own labels agree with people, for the log: nothing that is trained
    depends on it. labels: i32 per record of the training split, -1 for none. Nothing of
    labels that are each of one record: these agree with anybody."""
    rows = data.train_rows
    if len(np.unique(labels[rows])) == len(rows):
        return {}
    found = clusters.quality(labels[rows], data.train.index.subject[rows])
    return {f"labels/{key}": value for key, value in found.items()}


def scores(evaluations: list[search.Evaluation]) -> dict[str, float]:
    """{"NM/rank-1": percent} for logs and `ckpt.best`; the first one of a name, and
    so of the headline distance.

    With several views {"sils>ranges/NM/rank-1": percent}, probe before gallery. What a
    re-ranker made of it has its name in front: "cargait/NM/rank-1".
    """
    named: dict[str, float] = {}
    pairs = [(evaluation.probe, evaluation.gallery) for evaluation in evaluations]
    for pair, evaluation in zip(pairs, evaluations, strict=True):
        prefix = score_prefix(pair, pairs)
        for row in evaluation.rows:
            stage = "" if row["stage"] == "initial" else f"{row['stage']}/"
            name = f"{stage}{prefix}{row['condition']}/{row['metric']}"
            named.setdefault(name, row["value"])
    return named


def write_results(
    run: Run, state: TrainState, evaluations: list[search.Evaluation]
) -> None:
    """Prints the tables; leaves results.json, results.csv and, if asked, report.html.

    Of the validation split they are called results_val.json, and so on. Where the run
    has come to its end, `finished` is written last, and says with which `eval` options.
    Of several processes, which all have the same evaluations, the first one does it.
    """
    if not mesh.is_first():
        return
    state = mesh.on_one_device(state)
    (run.workdir / "finished").unlink(missing_ok=True)  # what was there is replaced
    rows = [row for evaluation in evaluations for row in evaluation.rows]
    print(f"\n{tables.results_table(rows)}")
    for note in dict.fromkeys(n for one in evaluations for n in one.notes):
        print(f"note: {note}")
    suffix = _suffix(run.eval_options)
    curves = [curve for evaluation in evaluations for curve in tables.cmc(evaluation)]
    pairs = [pair for one in evaluations for pair in tables.view_pairs(one)]
    split, chosen = eval_rows(run, run.eval_options.split)
    about = {
        "dataset": run.data.name,
        "records": split.index.select(chosen).digest,
        "step": int(state.step),
        "steps": run.options.steps,
        "environment": environment(),
    }
    tables.write_json(
        run.workdir / f"results{suffix}.json",
        rows,
        run=about,
        cmc=curves,
        view_pairs=pairs,
    )
    tables.write_csv(run.workdir / f"results{suffix}.csv", rows)
    if run.eval_options.report:
        write_report(run, state, evaluations, run.workdir / f"report{suffix}.html")
    simulated = " (simulated data)" if run.data.name.startswith("walkers") else ""
    files = ", ".join(result_files(run.eval_options))
    print(f"\nresults{simulated}: {run.workdir}/{files}")
    if not unfinished(run, int(state.step)):
        text = json.dumps(run.config["eval"])
        write_atomically(run.workdir / "finished", text + "\n")


def result_files(options: EvalOptions) -> list[str]:
    """What `write_results` leaves in a workdir, but for `finished`."""
    suffix = _suffix(options)
    report = [f"report{suffix}.html"] if options.report else []
    return [f"results{suffix}.json", f"results{suffix}.csv", *report]


def _suffix(options: EvalOptions) -> str:
    return "" if options.split == "test" else f"_{options.split}"


def write_report(
    run: Run,
    state: TrainState,
    evaluations: list[search.Evaluation],
    path: pathlib.Path,
) -> None:
    """The page, with a map of some embeddings and where the network looks."""
    split, rows = eval_rows(run, run.eval_options.split)
    index = split.index.select(rows)
    sample = embedding_map.sample_rows(index)
    views = {}
    for evaluation in evaluations:
        views |= evaluation.embeddings
    views = {view: x[sample] for view, x in views.items()}
    drawn = {key: split.with_keys((key,)) for key in image_keys(split)}

    def frames(view: str, row: int) -> np.ndarray:
        key = view if view in drawn else next(iter(drawn))
        return drawn[key][int(rows[row])][key]

    metrics = run.workdir / "metrics.jsonl"
    html.write_report(
        path,
        title=run.workdir.name,
        dataset=run.data.name,
        config=run.config,
        environment=environment(),
        evaluations=evaluations,
        metrics=read_metrics(metrics) if metrics.exists() else (),
        frames=frames if drawn else None,
        names=index.names,
        unfinished=unfinished(run, int(state.step)),
        embedding_map=embedding_map.lay_out(views, index.select(sample)),
        saliency=saliency_pictures(run, state, split, rows[sample], views),
    )


def unfinished(run: Run, step: int) -> str:
    """What the run still has to do, "" for one that has come to its end."""
    steps = run.options.steps
    if step < steps and run.eval_options.checkpoint == "best":
        step = run.checkpoints.latest()  # the best one may be an early one
    return "" if step >= steps else f"step {step:,} of {steps:,}"


def image_keys(split: Split) -> list[str]:
    """The modalities that can be drawn, silhouettes first."""
    keys = [key for key in split.modalities if schema.modality(key).image]
    return sorted(keys, key=lambda key: key != "sils")


def saliency_pictures(
    run: Run,
    state: TrainState,
    split: Split,
    rows: np.ndarray,
    views: Mapping[str, np.ndarray],
) -> list[tuple[str, np.ndarray]] | None:
    """Grad-CAM of one sequence of each of some conditions, per view that is drawn.

    rows: records of the embeddings `views`.
    """
    index = split.index.select(rows)
    number = max(saliency.NUM_SEQUENCES // len(views), 1)
    places = saliency.choose(index.condition, number)
    towards = {
        view: saliency.towards_own(x, index.subject)[places]
        for view, x in views.items()
    }
    return heat_pictures(run, state, split, rows[places], towards)


def heat_pictures(
    run: Run,
    state: TrainState,
    split: Split,
    rows: np.ndarray,
    towards: Mapping[str, np.ndarray],
    module: str = "backbone",
) -> list[tuple[str, np.ndarray]] | None:
    """Grad-CAM of sequences, with captions; None where the network has no such module.

    rows: i[n], in order. towards: by view f32[n, p, d], see `saliency.grad_cam`.
    """
    records, batch = next(
        embed_batches(
            run.data,
            split.with_keys(run.method.embed_keys),
            rows,
            batch=len(rows),
            frames_limit=min(run.eval_options.frames_limit, saliency.NUM_FRAMES),
            buckets=1,
        )
    )
    places = np.searchsorted(rows, records)
    names = split.index.select(records).names
    embed_fn = with_products(run.method.embed, run.options.precision)
    model = (state.eval_params, state.model_state)
    images = []
    for view, x in towards.items():
        warm = saliency.grad_cam(embed_fn, *model, batch, x[places], view, module)
        if warm is None:
            return None
        key = view.partition("+")[0]  # of several inputs the first
        if key in batch and schema.modality(key).image:
            captions = [f"{name}, {view}" for name in names]
            images += saliency.pictures_of(batch[key], batch["mask"], warm, captions)
    return images


def write_embeddings(
    path: pathlib.Path, views: Mapping[str, np.ndarray], index: Index
) -> None:
    """An npz: an array [n, p, d] per view, and the labels under their own names."""
    labels = {
        key: getattr(index, key) for key in ("subject", "condition", "view", "take")
    }
    arrays = {f"embedding_{view}": x for view, x in views.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays, **labels)
    shapes = ", ".join(f"{view} {list(x.shape)}" for view, x in views.items())
    print(f"embeddings [n, parts, dims] of {shapes}: {path}")
