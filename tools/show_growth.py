"""The curves of `tools/bench.py growth` as a picture.

usage: python tools/show_growth.py BENCH.json OUT.png
"""

from __future__ import annotations

import argparse
import json
import sys

from gaitjax.bench import growth
from gaitjax.bench.measure import Row
from gaitjax.errors import GaitError


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench")
    parser.add_argument("out")
    options = parser.parse_args()
    with open(options.bench) as file:
        rows = [Row(**values) for values in json.load(file)["rows"]]
    if not any(row.unit == "exponent" for row in rows):
        raise GaitError(
            f"{options.bench} holds no growth; write one with "
            "`python tools/bench.py growth --json OUT`"
        )
    growth.plot(rows).savefig(options.out, dpi=110)
    print(options.out)


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
