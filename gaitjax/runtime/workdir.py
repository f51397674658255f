"""The folder of one run: made, checked, and kept from being another run's."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from gaitjax.errors import GaitError

MIN_FREE_BYTES = 64 << 20


def open_workdir(path: str | os.PathLike, *, create: bool = True) -> pathlib.Path:
    """The run's folder as a Path, made where it is missing.

    Raises GaitError where it is not a folder, not writable, or full; without
    `create`, where it holds no run.
    """
    path = pathlib.Path(path).absolute()
    if path.exists() and not path.is_dir():
        raise GaitError(f"--workdir {path} is not a directory; choose another")
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


def claim_workdir(
    path: pathlib.Path, config: Mapping, *, write: bool, fixed: Sequence[str] = ()
) -> None:
    """Compares `config` with the folder's config.json, then writes it there.

    Raises GaitError where the folder holds checkpoints of another config, naming
    the differing keys. What only says how a run is looked at (`eval`, `log`,
    `ckpt`, where data lie, how many workers) may differ, but for the keys in `fixed`.
    """
    config = json.loads(json.dumps(config))
    file = path / "config.json"
    saved = [p for p in (path / "checkpoints").glob("*") if p.name.isdigit()]
    if file.exists() and saved:
        try:
            theirs = json.loads(file.read_text())
        except json.JSONDecodeError as error:
            raise GaitError(
                f"{file} is not readable JSON ({error}); choose another --workdir"
            ) from error
        _refuse_other_run(path, flat(theirs), flat(config), fixed)
    if write:
        write_atomically(file, json.dumps(config, indent=2, sort_keys=True) + "\n")


def _refuse_other_run(
    path: pathlib.Path, theirs: dict, ours: dict, fixed: Sequence[str]
) -> None:
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


def flat(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    leaves = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def write_atomically(path: str | os.PathLike, text: str) -> None:
    """Writes a file that is either the old one or the new one, never half."""
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _is_free(key: str) -> bool:
    looking = ("eval.", "log.", "ckpt.")
    places = ("data.dir", "data.workers", "data.prefetch", "data.args.processes")
    return key.startswith(looking) or key in places
