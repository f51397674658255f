"""The command line: flags and mode, nothing else.

python -m gaitjax.main --config configs/walkers.py [--config.optim.lr=1e-3]
    [--mode train|evaluate|extract] [--workdir DIR] [--device cpu|gpu|tpu]
"""

from __future__ import annotations

import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from gaitjax.arguments import unknown
from gaitjax.errors import GaitError

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "A config file, with a variant after a colon.", lock_config=True
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run's folder; default runs/<config name>[-<variant>]."
)
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "evaluate", "extract"], "What to do."
)
DEVICE = flags.DEFINE_enum(
    "device", None, ["cpu", "gpu", "tpu"], "Where to run; default: what JAX finds."
)


def main(argv: list[str]) -> None:
    """Runs the mode; what is wrong with the input is one line and exit code 2."""
    if len(argv) > 1:
        fail(f"unexpected argument {argv[1]}; flags begin with --")
    if CONFIG.value is None:
        fail("--config is missing; for example --config configs/walkers.py")
    # JAX, TFDS and Orbax report through absl what no user can act on.
    logging.set_verbosity(logging.ERROR)
    from gaitjax.runtime.mesh import check_device, use_compile_cache

    try:
        check_device(DEVICE.value)
        use_compile_cache()
        from gaitjax import train

        run = {
            "train": train.train,
            "evaluate": train.evaluate_run,
            "extract": train.extract_run,
        }[MODE.value]
        run(CONFIG.value.to_dict(), WORKDIR.value or default_workdir())
    except GaitError as error:
        fail(str(error))


def parse(argv: list[str]) -> list[str]:
    """absl's parser, with one line in place of its tracebacks."""
    try:
        return flags.FLAGS(argv)
    except (AttributeError, KeyError) as error:
        fail(unknown_override(argv) or str(error))
    except (flags.Error, OSError, TypeError, ValueError) as error:
        fail(_first_line(error))
    except GaitError as error:
        fail(str(error))


def unknown_override(argv: list[str]) -> str | None:
    """The line for the first --config.key that the config does not have."""
    from gaitjax.runtime.workdir import flat

    known = set(flat(CONFIG.value.to_dict())) if CONFIG.value else set()
    for word in argv:
        name, is_override, key = word.partition("=")[0].partition("--config.")
        if not name and is_override and key not in known:
            return unknown(key, known)
    return None


def default_workdir() -> str:
    """runs/<config name>[-<variant>]."""
    name, _, variant = config_flags.get_config_filename(
        flags.FLAGS["config"]
    ).partition(":")
    stem = pathlib.Path(name).stem
    return f"runs/{stem}-{variant}" if variant else f"runs/{stem}"


def fail(line: str) -> None:
    """One line on stderr, exit code 2."""
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4]) or type(error).__name__


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
