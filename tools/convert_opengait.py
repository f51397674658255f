"""Turns an OpenGait checkpoint into weights for gaitjax, and back.

usage: python tools/convert_opengait.py IN.pt OUT --config OPENGAIT.yaml
       python tools/convert_opengait.py IN.pt OUT --model gaitset --set bins=16,8
       python tools/convert_opengait.py --back WORKDIR OUT.npz

OUT is a folder that --mode evaluate and extract take as --workdir, and training as
train.init_from. Neither torch nor OpenGait is needed, and no code that the file may
hold is run. docs/from_opengait.md has the rest.
"""

from __future__ import annotations

import argparse
import sys

from absl import logging

from gaitjax.errors import GaitError
from gaitjax.interop.convert import convert, convert_back


def main() -> None:
    """Prints a line on what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", metavar="IN.pt")
    parser.add_argument("out", metavar="OUT")
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--config", metavar="YAML", help="OpenGait's")
    network.add_argument("--model", metavar="BACKBONE", help="of gaitjax/backbones")
    network.add_argument("--back", action="store_true", help="to an npz")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    if options.back:
        print(convert_back(options.source, options.out))
        return
    line = convert(
        options.source,
        options.out,
        config=options.config,
        model=options.model,
        settings=options.set,
        size=tuple(options.size) if options.size else None,
    )
    print(line)
    print(f"use it: --mode evaluate --workdir {options.out}, with your data's --config")


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
