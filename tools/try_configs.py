"""Runs `:tiny` of every file in configs/, in one process: train, evaluate, report.

usage: python tools/try_configs.py [NAME ...]
"""

from __future__ import annotations

import importlib
import pathlib
import sys
import tempfile
import time

from absl import flags

from gaitjax.runtime.mesh import use_compile_cache
from gaitjax.train import train


def main(names: list[str]) -> None:
    """Prints a line per config; the first failure ends it."""
    flags.FLAGS.mark_as_parsed()
    use_compile_cache()
    folder = pathlib.Path(__file__).parents[1] / "configs"
    found = {path.stem for path in folder.glob("*.py")} - {"common", "__init__"}
    for name in names or sorted(found):
        start = time.perf_counter()
        config = importlib.import_module(f"configs.{name}").get_config("tiny")
        with tempfile.TemporaryDirectory() as workdir:
            state = train(config.to_dict(), workdir)
            if not (pathlib.Path(workdir) / "report.html").exists():
                sys.exit(f"{name}:tiny left no report")
        seconds = time.perf_counter() - start
        print(f"ok {name}:tiny, {int(state.step)} steps in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
