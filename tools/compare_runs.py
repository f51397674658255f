"""Several runs side by side: tables, curves and differing keys on one page.

usage: python tools/compare_runs.py RUN RUN ... [--out compare.html]

RUN is a --workdir. The first one is what the others are compared with. The tables
are printed, too.
"""

from __future__ import annotations

import argparse
import sys

from gaitjax.errors import GaitError
from gaitjax.report import compare, tables


def main() -> None:
    """Writes the page and prints the tables; a line for a run that lacks something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--out", default="compare.html")
    options = parser.parse_args()
    runs = compare.write_comparison(options.runs, options.out)
    for caption, lines in compare.result_tables(runs):
        print(f"{caption}\n{tables.aligned(lines)}\n")
    for what, why in compare.warnings(runs):
        print(f"note: {what} {why}")
    print(options.out)


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
