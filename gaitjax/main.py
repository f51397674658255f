"""The command line: flags and mode, nothing else.

python -m gaitjax.main --config configs/walkers.py [--config.optim.lr=1e-3]
    [--mode train|evaluate|extract|export] [--workdir DIR] [--device cpu|gpu|tpu]
    [--distributed | --coordinator HOST:PORT --num_processes N --process_id I]
python -m gaitjax.main --mode doctor
"""

from __future__ import annotations

import functools
import os
import pathlib
import runpy
import signal
import sys
import traceback
from collections.abc import Iterable

from absl import app, flags, logging
from ml_collections import config_flags
from tqdm import tqdm

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
    "mode",
    "train",
    ["train", "evaluate", "extract", "export", "doctor"],
    "What to do; doctor looks at the environment and needs no config.",
)
DEVICE = flags.DEFINE_enum(
    "device", None, ["cpu", "gpu", "tpu"], "Where to run; default: what JAX finds."
)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "One of several processes, as SLURM, a TPU pod or Open MPI starts them.",
)
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0, where nobody else says so."
)
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many there are.")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which one this is, from 0 on.")


def main(argv: list[str]) -> int | None:
    """Runs the mode; what is wrong with the input is one line and exit code 2."""
    if len(argv) > 1:
        fail(f"unexpected argument {argv[1]}; flags begin with --")
    if MODE.value == "doctor":
        return examine()
    if CONFIG.value is None:
        fail("--config is missing; for example --config configs/walkers.py")
    # JAX, TFDS and Orbax report through absl what no user can act on.
    logging.set_verbosity(logging.ERROR)
    # Outside the train loop (which saves first) a SIGTERM ends like any error, so
    # that the processes that make data end, too. Of several processes JAX takes it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    several = DISTRIBUTED.value or any(one is not None for one in others())
    try:
        start(several)
        run_mode()
    except GaitError as error:
        fail(str(error), at_once=True)
    except KeyboardInterrupt:
        fail(
            "stopped by Ctrl-C; what was saved is still there, type it again to go on",
            at_once=several,
        )
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        fail(
            f"{error.strerror or error}{where}; make room or mend the permissions, "
            "then type the same line again: what was saved is still there",
            at_once=True,
        )
    except Exception:
        if not several:
            raise
        traceback.print_exc()
        os._exit(1)  # not five minutes of waiting for the others, who wait for this one


def others() -> list:
    """What was said of the other processes, as arguments of `join_processes`."""
    return [COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value]


def start(several: bool) -> None:
    """The devices, and with them the other processes, of which the first one talks."""
    from gaitjax.runtime import mesh

    mesh.choose_device(DEVICE.value)
    if several:
        mesh.join_processes(*others())
    mesh.check_device(DEVICE.value)
    mesh.use_compile_cache()
    if several:
        mesh.meet()
    if not mesh.is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 it stays open
        tqdm.__init__ = functools.partialmethod(tqdm.__init__, disable=True)


def run_mode() -> None:
    """What --mode says; comes back when all processes have."""
    from gaitjax import evaluate, train
    from gaitjax.runtime import mesh

    modes = {
        "train": train.train,
        "evaluate": evaluate.evaluate_run,
        "extract": evaluate.extract_run,
        "export": evaluate.export_run,
    }
    modes[MODE.value](CONFIG.value.to_dict(), WORKDIR.value or default_workdir())
    mesh.wait_for_all("end")


def examine() -> int:
    """`--mode doctor`; exit code 1 where something of the environment is broken."""
    from gaitjax.runtime import doctor

    data_dir = None if CONFIG.value is None else CONFIG.value.data.dir
    return doctor.examine(DEVICE.value, data_dir, WORKDIR.value or "runs")


def parse(argv: list[str]) -> list[str]:
    """absl's parser, with one line in place of its tracebacks."""
    logging.set_verbosity(logging.ERROR)
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is not None or _config_word(argv):
            CONFIG.value.to_dict()  # config_flags keeps a failure to load until here
        return rest
    except GaitError as error:
        fail(str(error))
    except flags.Error as error:
        fail(_last_line(error))
    except Exception as error:  # whatever a config file may do
        fail(explain(argv, error))


def explain(argv: list[str], error: Exception) -> str:
    """The line for what config_flags said with a traceback."""
    path, _, variant = _config_word(argv).partition(":")
    try:
        get_config = runpy.run_path(path)["get_config"]
        known = flat(get_config(variant).to_dict())
    except FileNotFoundError:
        return missing_config(pathlib.Path(path))
    except GaitError as own:
        return str(own)
    except Exception as own:
        kind = type(own).__name__
        return (
            f"config file {path} does not work: {kind}: {_last_line(own)}; it needs a "
            "get_config(variant) that returns a ConfigDict"
        )
    return unknown_override(argv, known) or _last_line(error)


def unknown_override(argv: list[str], known: Iterable[str]) -> str | None:
    """The line for the first --config.key that the config does not have."""
    for word in argv:
        name, is_override, key = word.partition("=")[0].partition("-config.")
        if not name.strip("-") and is_override and key not in known:
            return unknown(key, known)
    return None


def missing_config(path: pathlib.Path) -> str:
    """The line for a --config that is not a file."""
    there = sorted(p.name for p in path.parent.glob("*.py") if p.stem[0] != "_")
    there = ", ".join(there) or "none"
    return f"there is no config file {path}; {path.parent} has {there}"


def _config_word(argv: list[str]) -> str:
    """The value of --config, from `--config X` or `--config=X`."""
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in ("--config", "-config"):
            return value if equals else after
    return ""


def default_workdir() -> str:
    """runs/<config name>[-<variant>]."""
    name, _, variant = config_flags.get_config_filename(
        flags.FLAGS["config"]
    ).partition(":")
    stem = pathlib.Path(name).stem
    return f"runs/{stem}-{variant}" if variant else f"runs/{stem}"


def fail(line: str, at_once: bool = False) -> None:
    """One line on stderr, exit code 2.

    at_once: do not wait for threads, of which a checkpoint writer that has failed
    leaves some that never end.
    """
    print(f"error: {line}", file=sys.stderr, flush=True)
    if at_once:
        sys.stdout.flush()
        os._exit(2)
    raise SystemExit(2)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
