"""The folder of one run: made, checked, and kept from being another run's."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import IO, Any

from gaitjax.errors import GaitError
from gaitjax.files import write_atomically

MIN_FREE_BYTES = 64 << 20


def open_workdir(path: str | os.PathLike, *, create: bool = True) -> pathlib.Path:
    """The run's folder as a Path, made where it is missing.

    Raises GaitError where it is not a folder, not writable, or full; without
    `create`, where it holds no run.
    """
    path = pathlib.Path(path).expanduser().absolute()
    for folder in (path, path / "checkpoints"):
        if folder.exists() and not folder.is_dir():
            raise GaitError(f"--workdir: {folder} is not a directory; choose another")
    if not create and not (path / "config.json").exists():
        raise GaitError(f"{path} holds no run; train one there first (--mode train)")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GaitError(
            f"cannot make --workdir {path}: {error.strerror}; choose another"
        ) from error
    if not os.access(path, os.W_OK):
        raise GaitError(
            f"--workdir {path} is not writable; choose another, or mend its permissions"
        )
    free = shutil.disk_usage(path).free
    if free < MIN_FREE_BYTES:
        raise GaitError(
            f"--workdir {path} has {free >> 20} MiB left, expected at least "
            f"{MIN_FREE_BYTES >> 20}; free some space or choose another disk"
        )
    return path


def lock_workdir(path: pathlib.Path) -> IO:
    """Keeps other runs from training in the folder while the result is open.

    Of several processes of one run the first one holds the lock.
    """
    import fcntl  # Windows has none, and the doctor must be able to say so

    if not _is_first():
        return open(os.devnull, "w")
    lock = (path / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise GaitError(
            f"another run is training in {path}; wait for it, or choose another "
            "--workdir"
        ) from error
    return lock


def check_same_run(
    path: pathlib.Path,
    saved: Mapping,
    config: Mapping,
    fixed: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Raises GaitError where `saved`, a checkpoint's config, is another run's.

    The differing keys are named. What only says how a run is looked at (`eval`,
    `log`, `ckpt`, where data lie, how many workers) may differ, but for `fixed`.
    defaults: by dotted key; what the code has learnt since then counts as left alone.
    """
    # Through JSON tuples become lists, as they are in what was saved.
    parts = [defaults or {}, saved, config]
    known, theirs, ours = (flat(json.loads(json.dumps(dict(part)))) for part in parts)
    theirs, ours = known | theirs, known | ours
    keys = sorted(theirs.keys() | ours.keys())
    keys = [key for key in keys if key in fixed or not _is_free(key)]
    differing = [key for key in keys if theirs.get(key) != ours.get(key)]
    if differing:
        listed = ", ".join(
            f"{key} ({theirs.get(key)} there, {ours.get(key)} here)"
            for key in differing[:6]
        )
        more = f" and {len(differing) - 6} more" if len(differing) > 6 else ""
        raise GaitError(
            f"{path} holds the run of another config: {listed}{more}; choose another "
            "--workdir, or run it with its own config"
        )


def write_config(path: pathlib.Path, config: Mapping) -> None:
    """Writes config.json, for people: what counts is the config in a checkpoint."""
    if not _is_first():
        return
    text = json.dumps(config, indent=2, sort_keys=True)
    write_atomically(path / "config.json", text + "\n")


def flat(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    leaves = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def _is_first() -> bool:
    # Here, so that the doctor can say that JAX is broken.
    from gaitjax.runtime import mesh

    return mesh.is_first()


def _is_free(key: str) -> bool:
    looking = ("eval.", "log.", "ckpt.")
    reading = ("dir", "workers", "prefetch", "resident", "args.processes")
    places = {f"data.{name}" for name in reading}
    # A base's arrays are in the checkpoint; where they came from may move.
    return key.startswith(looking) or key in places or key.endswith("base.workdir")
