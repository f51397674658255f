"""The command line: flags and mode, nothing else.

python -m gaitjax.main --config configs/walkers.py [--config.optim.lr=1e-3]
    [--mode train|evaluate|extract] [--workdir DIR] [--device cpu|gpu|tpu]
"""

from __future__ import annotations

import pathlib
import runpy
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from gaitjax.arguments import unknown
from gaitjax.errors import GaitError
from gaitjax.runtime.workdir import flat

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
    from gaitjax import evaluate, train
    from gaitjax.runtime.mesh import check_device, use_compile_cache

    modes = {
        "train": train.train,
        "evaluate": evaluate.evaluate_run,
        "extract": evaluate.extract_run,
    }
    try:
        check_device(DEVICE.value)
        use_compile_cache()
        modes[MODE.value](CONFIG.value.to_dict(), WORKDIR.value or default_workdir())
    except GaitError as error:
        fail(str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        fail(
            f"{error.strerror or error}{where}; make room or mend the permissions, "
            "then type the same line again: what was saved is still there"
        )


def parse(argv: list[str]) -> list[str]:
    """absl's parser, with one line in place of its tracebacks."""
    logging.set_verbosity(logging.ERROR)
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is not None:
            CONFIG.value.to_dict()  # config_flags keeps a failure to load until here
        return rest
    except (AttributeError, KeyError) as error:
        fail(unknown_override(argv) or _one_line(error))
    except OSError as error:
        fail(missing_config(argv) or _one_line(error))
    except (flags.Error, TypeError, ValueError, GaitError) as error:
        fail(_one_line(error))


def unknown_override(argv: list[str]) -> str | None:
    """The line for the first --config.key that the config does not have."""
    path, _, variant = _config_word(argv).partition(":")
    # config_flags looks for overrides in sys.argv itself, so ask the file directly.
    known = flat(runpy.run_path(path)["get_config"](variant).to_dict())
    for word in argv:
        name, is_override, key = word.partition("=")[0].partition("--config.")
        if not name and is_override and key not in known:
            return unknown(key, known)
    return None


def missing_config(argv: list[str]) -> str | None:
    """The line for a --config that is not a file."""
    path = pathlib.Path(_config_word(argv).partition(":")[0])
    if path.is_file():
        return None
    there = sorted(p.name for p in path.parent.glob("*.py") if p.stem[0] != "_")
    there = ", ".join(there) or "none"
    return f"there is no config file {path}; {path.parent} has {there}"


def _config_word(argv: list[str]) -> str:
    """The value of --config, from `--config X` or `--config=X`."""
    words = " ".join(argv).replace("--config=", "--config ").split()
    return words[words.index("--config") + 1]


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
