"""Prepares a data set for training: reads it once, packs it, indexes its labels.

usage: python tools/prepare_dataset.py NAME --source DIR [--partition FILE.json]

NAME is a data set on disk (docs/datasets.md has the layout and the command of each),
with its variant behind a slash, or a walkers set, which is generated. It goes to --dir,
else $GAITJAX_DATA, else ~/.cache/gaitjax/data, where training finds it. Interrupted, it
goes on where it was. manifest.tsv beside the set says what became of every sequence.

exit code: 0; 1 where there is no set; 3 where there is one, but sequences were lost to
errors (0 with --keep-going).
"""

from __future__ import annotations

import argparse
import os
import sys

from absl import logging

from gaitjax.data.builders import common, layouts, manifest, opengait, walkers
from gaitjax.data.records import data_root, open_split
from gaitjax.errors import GaitError


def main() -> None:
    """Prints where the set is and how many sequences it has."""
    logging.set_verbosity(logging.ERROR)
    options = parse()
    prepare = prepare_walkers if options.name.startswith("walkers") else prepare_files
    try:
        sys.exit(prepare(options))
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("--dir", help="where prepared sets live")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    files = parser.add_argument_group("sets on disk")
    files.add_argument("--source", help="the folder of the ids")
    files.add_argument("--partition", help="JSON with TRAIN_SET and TEST_SET")
    files.add_argument("--modalities", help="such as sils,ranges or sils=*Sils_raw")
    files.add_argument("--rate", help="SUSTech1K: sync or native")
    files.add_argument("--size", help="of the silhouettes: 64, 128 or 64x44")
    files.add_argument("--normalise", action="store_true", help="masks of any size")
    files.add_argument("--beside", action="append", help="KEY=DIR, a tree of its own")
    files.add_argument("--topology", help=".npz of tools/make_markers.py, for meshes")
    files.add_argument("--partial", action="store_true", help="ids may be missing")
    files.add_argument("--verify-only", action="store_true", help="write no set")
    files.add_argument("--keep-going", action="store_true", help="exit code 0, not 3")
    sizes = parser.add_argument_group("walkers: data.args of the config")
    for size in ("num_train", "num_test", "frames"):
        sizes.add_argument(f"--{size}", type=int)
    return parser.parse_args()


def prepare_files(options: argparse.Namespace) -> int:
    """Prepares or checks a set on disk; the exit code."""
    layouts.find(options.name.partition("/")[0])
    if not options.source:
        raise GaitError(f"{options.name} needs --source, the folder of its ids")
    builder = opengait.make_builder(
        data_root(options.dir),
        options.name,
        source=options.source,
        partition=options.partition,
        partial=options.partial,
        processes=options.processes,
        modalities=(options.modalities or "").split(",") if options.modalities else (),
        rate=options.rate,
        size=size_of(options.size),
        normalise=options.normalise,
        topology=options.topology,
        beside=dict(word.partition("=")[::2] for word in options.beside or ()),
    )
    print(*builder.plan.report, sep="\n")
    if options.verify_only:
        rows = builder.check()
        where = opengait.write_checked(builder, rows)
    else:
        rows = opengait.prepare(builder)
        where = builder.folder / manifest.FILE
    print(*manifest.summary(rows), sep="\n")
    print(f"{where} has every sequence")
    return 3 if manifest.failed(rows) and not options.keep_going else 0


def prepare_walkers(options: argparse.Namespace) -> int:
    """Generates a walkers set; the exit code."""
    sizes = {name: getattr(options, name) for name in ("num_train", "num_test")}
    sizes |= {"frames": options.frames, "processes": options.processes}
    builder = walkers.make_builder(data_root(options.dir), options.name, **sizes)
    folder = common.prepare(builder, builder.lists())
    counts = [f"{len(open_split(folder, s))} {s}" for s in ("train", "test")]
    print(f"{folder}: {', '.join(counts)} sequences")
    return 0


def size_of(text: str | None) -> tuple[int, int] | None:
    """`64x44`, or `128` for a square."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise GaitError(f"--size {text}: expected 64, 128 or 64x44; change it") from (
            None
        )


if __name__ == "__main__":
    main()
