"""Draws what a run of Mesh-Gait sees in silhouettes: heat maps, joints, mesh.

usage: python tools/show_meshgait.py WORKDIR OUT [--sequences 4] [--frames 24]

Writes OUT/bodies.png and OUT/bodies.gif: some sequences of the test split, and where
they have labels the true bodies and the errors in mm, both seen from the pelvis.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import jax
import numpy as np
from absl import flags, logging

from gaitjax.data import smpl_file
from gaitjax.data.pipeline import embed_batches
from gaitjax.errors import GaitError
from gaitjax.methods import meshgait
from gaitjax.report import bodies, pictures
from gaitjax.run import Run, reopen, restore_model
from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.runtime.precision import with_products


def main() -> None:
    """Looks, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", type=pathlib.Path, metavar="WORKDIR")
    parser.add_argument("out", type=pathlib.Path, metavar="OUT")
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--frames", type=int, default=24, help="the first of each")
    options = parser.parse_args()
    for name in ("sequences", "frames"):
        if getattr(options, name) < 1:
            raise GaitError(f"--{name}: give 1 or more, got {getattr(options, name)}")
    flags.FLAGS.mark_as_parsed()
    logging.set_verbosity(logging.ERROR)
    use_compile_cache()
    options.out.mkdir(parents=True, exist_ok=True)  # before anything takes long
    run = opened(options.workdir)
    walks = look(run, options.sequences, options.frames)
    bodies.write(options.out, bodies.movie(walks, faces(run)))
    for walk in walks:
        print(f"{walk.name}: {bodies.error_line(walk)}")
    print(f"{options.out}/bodies.png, {options.out}/bodies.gif")


def opened(folder: pathlib.Path) -> Run:
    """The run of a workdir, which has to know bodies."""
    run = reopen(folder, "meshgait")
    if run.method.predict is None:
        raise GaitError(
            f"{folder} was trained without 3D labels, so its heat maps mean no joints; "
            "give a run with method_args.joint_weight above 0 and fusion other than 2d"
        )
    return run


def look(run: Run, number: int, frames: int) -> list[bodies.Walk]:
    """What the run sees in some test sequences, spread over the split."""
    state = restore_model(run)
    predict = jax.jit(with_products(run.method.predict, run.options.precision))
    split, source = run.data.test, labels(run)
    split = split.with_keys(("sils", *(source.keys if source else ())))
    rows = np.unique(pictures.spread(len(split), number))
    walks = []
    # One at a time: a frame of heat maps is more than a megabyte.
    for records, batch in embed_batches(
        run.data, split, rows, batch=1, frames_limit=frames, buckets=1
    ):
        length = int(batch["mask"].sum())
        found = predict(state.eval_params, state.model_state, batch)
        wanted = source.places(batch, np.arange(frames)[:length]) if source else {}
        found, wanted = (
            {key: np.asarray(x[0, :length]) for key, x in some.items()}
            for some in (found, wanted)
        )
        walks.append(
            bodies.Walk(
                name=split.index.names[records[0]],
                sils=batch["sils"][0, :length],
                heatmaps=found.pop("heatmaps"),
                found=found,
                wanted={key: meshgait.BOX * x for key, x in wanted.items()},
            )
        )
    return walks


def labels(run: Run) -> meshgait.Labels | None:
    """Where true bodies come from, as in training; None where the test has none."""
    source = meshgait.labels_of(run.config["method_args"], run.data)
    return source if set(source.keys) <= set(run.data.test.modalities) else None


def faces(run: Run) -> np.ndarray | None:
    """Of the set's bodies, else of the SMPL file that labels are made with."""
    model = run.config["method_args"]["smpl_model"]
    if run.data.topology.faces is None and model:
        return smpl_file.faces(smpl_file.named(model))
    return run.data.topology.faces


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename}"
        sys.exit(f"error: {what}; choose another OUT")
    except GaitError as error:
        sys.exit(f"error: {error}")
