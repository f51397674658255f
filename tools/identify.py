"""Enrols people in a gallery and says who a probe is, or that nobody there is.

usage: python tools/identify.py example DIR --workdir RUN
       python tools/identify.py enrol DIR --workdir RUN --gallery G
       python tools/identify.py calibrate --workdir RUN --gallery G [--far 0.01]
       python tools/identify.py identify PROBE --gallery G [--k 5]

enrol: DIR/<person>/<sequence>/ of silhouettes (pictures of masks, or OpenGait's .pkl).
calibrate: the distance beyond which somebody is unknown. identify: every sequence below
PROBE. example: pictures of simulated people to try it with. Only embeddings are kept.
docs/identify.md says who may use this on whom.
"""

from __future__ import annotations

import argparse
import sys

from absl import flags, logging

from gaitjax import identify
from gaitjax.errors import GaitError
from gaitjax.retrieval.gallery import Gallery
from gaitjax.runtime.mesh import use_compile_cache


def main() -> None:
    """Runs one of the four."""
    options = parse()
    flags.FLAGS.mark_as_parsed()
    logging.set_verbosity(logging.ERROR)
    use_compile_cache()
    if options.task in ("example", "enrol"):
        opened, workdir = None, options.workdir
    else:
        opened = Gallery.open(options.gallery)
        workdir = options.workdir or opened.about.get("run", "")
    network = identify.open_network(workdir, options.view)
    if options.task == "example":
        identify.write_example(options.folder, network)
    elif options.task == "enrol":
        given = options.folder, network, options.gallery
        identify.enrol(*given, normalise=options.normalise)
    elif options.task == "calibrate":
        rows = identify.calibrate(network, opened, options.far)
        print(*identify.rate_lines(rows, opened), sep="\n")
    else:
        given = options.folder, network, opened, options.k
        found = identify.identify(*given, normalise=options.normalise)
        for line in identify.answer_lines(found, opened):
            print(line)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    for task in ("example", "enrol", "calibrate", "identify"):
        one = tasks.add_parser(task)
        if task != "calibrate":
            one.add_argument("folder")
        one.add_argument("--workdir", required=task != "identify")
        one.add_argument("--gallery", required=task != "example")
        one.add_argument("--view", help="modality, where the run has several")
        one.add_argument("--normalise", action="store_true", help="arrays of any size")
        one.add_argument("--far", type=float, default=0.01, help="share, 0 to 1")
        one.add_argument("--k", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
