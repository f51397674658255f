"""Prepares a data set for training: reads it once, packs it, indexes its labels.

usage: python tools/prepare_dataset.py NAME [--source DIR] [--dir PREPARED]

NAME is casia_b with --source the folder of the ids (as OpenGait's pretreatment
leaves it), or a walkers set, which is generated (--num_train, --num_test and --frames
are those of the config's data.args). It goes to --dir, else $GAITJAX_DATA, else
~/.cache/gaitjax/data, where training finds it.
"""

from __future__ import annotations

import argparse
import os
import sys

from absl import logging

from gaitjax.data.builders import common, opengait, walkers
from gaitjax.data.records import data_root, open_split
from gaitjax.errors import GaitError


def main() -> None:
    """Prints where the set is and how many sequences it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--source")
    parser.add_argument("--dir")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    sizes = ("num_train", "num_test", "frames")
    for size in sizes:
        parser.add_argument(f"--{size}", type=int)
    options = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    kwargs = {size: getattr(options, size) for size in sizes}
    kwargs = {size: number for size, number in kwargs.items() if number is not None}
    kwargs["processes"] = options.processes
    make = walkers.make_builder
    if options.name in opengait.layouts():
        make, kwargs = opengait.make_builder, {"processes": options.processes}
        if not options.source:
            sys.exit(f"error: {options.name} needs --source, the folder of its ids")
        kwargs["source"] = options.source
    try:
        builder = make(data_root(options.dir), options.name, **kwargs)
        folder = common.prepare(builder)
        counts = [f"{len(open_split(folder, s))} {s}" for s in ("train", "test")]
        print(f"{folder}: {', '.join(counts)} sequences")
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
