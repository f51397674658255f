"""Numbers and pictures of how well two modalities share one space, of finished runs.

usage: python tools/diagnose_crossmodal.py RUN [RUN ...] [--out diagnosis]
           [--split test|val] [--sequences 300]

RUN is a --workdir of a method of two modalities (`diffcrossgait`, `crossmodal`). Writes
diagnostics.json and PNGs: trajectory (runs with a diffusion), numbers, distances and
map of all runs, failures of each run and direction. gaitjax/report/alignment.py says
what the numbers are. --sequences: drawn for the gaps and the modality classifier.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

import numpy as np
from absl import flags, logging

from gaitjax.data import schema
from gaitjax.data.pipeline import embed_batches
from gaitjax.data.records import Split
from gaitjax.errors import GaitError
from gaitjax.evaluate import embed, eval_rows, image_keys
from gaitjax.report import alignment, embedding_map, saved, tables
from gaitjax.report import alignment_plots as drawing
from gaitjax.retrieval import protocols
from gaitjax.run import Run, modality_pairs, reopen, restore_model
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.runtime.precision import with_products

NUM_STEEP = 32  # sequences of the Jacobian's estimate; chosen


def main() -> None:
    """Diagnoses one run after the other, then draws them together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN")
    parser.add_argument("--out", type=pathlib.Path, default="diagnosis")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--sequences", type=int, default=300)
    options = parser.parse_args()
    flags.FLAGS.mark_as_parsed()
    logging.set_verbosity(logging.ERROR)
    use_compile_cache()
    options.out.mkdir(parents=True, exist_ok=True)
    numbers, drawn = {}, {}
    for name, run in zip(saved.short_names(options.runs), options.runs, strict=True):
        print(f"{name}:")
        about, pictures = diagnose(run, options.split, options.sequences)
        numbers[name] = about
        for kind, picture in pictures.items():
            drawn.setdefault(kind, {})[name] = picture
    tables.write_json(options.out / "diagnostics.json", (), runs=numbers)
    drawing.write_all(options.out, numbers, drawn)
    print(f"{options.out}/diagnostics.json and PNGs")


def diagnose(
    folder: pathlib.Path, split_name: str, number: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers of a run for JSON, and what `drawing.write_all` draws of it."""
    run = reopen(folder)
    state = restore_model(run)
    split, rows = eval_rows(run, split_name)
    index = split.index.select(rows)
    views = embed(run, state, split, rows)
    if len(views) != 2:
        raise GaitError(f"{folder} embeds {', '.join(views)}; give a run of two inputs")
    # Drawn, since every tenth sequence, say, would be of one view.
    some = np.sort(np.random.default_rng(0).permutation(len(rows))[:number])
    model = state.eval_params, state.model_state
    (protocol, *_) = protocols.for_dataset(run.data.name)
    ways = {
        f"{pair[0]}>{pair[1]}": alignment.across(
            views, index, protocol, pair, run.eval_options.distances[0]
        )
        for pair in modality_pairs(views)
        if pair[0] != pair[1]
    }
    about = {
        "dataset": run.data.name,
        "split": split_name,
        "step": int(state.step),
        "sequences": len(some),
        "trajectory": gaps(run, model, split, rows[some]),
        "classifier": alignment.modality_classifier(
            {view: x[some] for view, x in views.items()}, index.subject[some]
        ),
        "jacobian": steepness(run, model, split, rows[some[:NUM_STEEP]]),
        "across": {way: one.numbers for way, one in ways.items()},
        "hard_probes": index.names[alignment.hard_probes(index)].tolist(),
    }
    sample = embedding_map.sample_rows(index)
    sampled = {view: x[sample] for view, x in views.items()}
    drawn = {key: split.with_keys((key,)) for key in image_keys(split)}

    def frames(view: str, row: int) -> np.ndarray:
        key = view if view in drawn else next(iter(drawn))
        return drawn[key][int(rows[row])][key]

    return about, {
        "distances": {way: one.pairs for way, one in ways.items()},
        "map": embedding_map.lay_out(sampled, index.select(sample)),
        "failures": {
            way: drawing.failure_pictures(
                one.missed, frames, tuple(way.split(">")), index.names
            )
            for way, one in ways.items()
        },
    }


def gaps(run: Run, model: tuple, split: Split, rows: np.ndarray) -> dict | None:
    """Along the diffusion; None where the method has none."""
    trajectory = getattr(run.method, "trajectory", None)
    if trajectory is None:
        return None
    last = run.config["method_args"]["num_steps"]
    steps = [step for step in alignment.STEPS if step <= last]
    trajectory = with_products(trajectory, run.options.precision)
    found = batches(run, split, rows, run.eval_options.batch)
    return alignment.step_gaps(trajectory, *model, found, steps)


def steepness(run: Run, model: tuple, split: Split, rows: np.ndarray) -> dict:
    """Of the encoder of each modality that is an image."""
    embed_fn = with_products(run.method.embed, run.options.precision)
    _, batch = next(batches(run, split, rows, len(rows)))
    images = [key for key in run.method.embed_keys if schema.modality(key).image]
    return {
        key: alignment.jacobian_norm(embed_fn, *model, batch, key) for key in images
    }


def batches(run: Run, split: Split, rows: np.ndarray, size: int):
    """Of `pipeline.embed_batches`, all of one length."""
    return embed_batches(
        run.data,
        split.with_keys(run.method.embed_keys),
        rows,
        batch=size,
        frames_limit=run.eval_options.frames_limit,
        buckets=1,
    )


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
