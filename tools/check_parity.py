"""Compares this code with a folder of golden vectors of the reference.

usage: python tools/check_parity.py DIR [--only NAME ...] [--all]

DIR holds networks, train/, losses/ and eval/ in the format of tests/goldens/README.md.
Prints a row per item with its largest relative error (of those past their tolerance,
or else the nearest to it) and exits 1 where one is past it. --only takes names and
patterns such as 'train/*'. --all prints every comparison.
"""

from __future__ import annotations

import argparse
import sys

from gaitjax.errors import GaitError
from gaitjax.interop import parity
from gaitjax.interop.goldens import Row


def main() -> int:
    """The exit code: 0 where everything agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    bad = 0
    items = parity.items(options.folder, options.only)
    print(f"{'item':32} {'what':24} {'error':>9} {'allowed':>9}")
    for item in items:
        rows = parity.check_item(options.folder, item)
        for row in rows if options.all else [worst(rows)]:
            print(line(row), flush=True)
        bad += not all(row.ok for row in rows)
    print(f"{len(items) - bad} of {len(items)} items agree")
    return 1 if bad else 0


def worst(rows: list[Row]) -> Row:
    """The comparison that uses most of its tolerance."""
    return max(rows, key=lambda row: (not row.ok, row.error / (row.tolerance or 1)))


def line(row: Row) -> str:
    """A row of the printed table."""
    numbers = f"{row.error:9.1e} {row.tolerance:9.1e}"
    verdict = "ok" if row.ok else f"FAILED {row.note}"
    return f"{row.item:32} {row.what:24} {numbers}  {verdict}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (GaitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
