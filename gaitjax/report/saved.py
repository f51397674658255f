"""What the workdir of a run holds, read without building anything.

results.json (rows, CMC, and what they are of), config.json, metrics.jsonl and the
names of the checkpoints.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from gaitjax.errors import GaitError
from gaitjax.runtime import metrics_log
from gaitjax.runtime.workdir import flat


@dataclasses.dataclass(frozen=True)
class Saved:
    """What a workdir holds of a run.

    name: short, but unlike the others'. config: flat. rows, curves: of results.json.
    about: its `run`, {} in one without. missing: what the run lacks, or "".
    """

    name: str
    path: pathlib.Path
    config: Mapping[str, Any]
    rows: Sequence[dict]
    curves: Sequence[dict]
    about: Mapping[str, Any]
    metrics: Sequence[Mapping[str, float]]
    missing: str

    @property
    def dataset(self) -> str:
        return str(self.config.get("data.name"))


def read_run(path: pathlib.Path, name: str) -> Saved:
    """Raises GaitError where the folder holds no run or a file is damaged."""
    config = _json(path / "config.json")
    if "steps" not in config.get("train", {}):
        raise GaitError(f"{path} holds no run (no config.json); give a --workdir")
    results = _json(path / "results.json")
    metrics = path / "metrics.jsonl"
    return Saved(
        name=name,
        path=path,
        config=flat(config),
        rows=results.get("rows", ()),
        curves=results.get("cmc", ()),
        about=results.get("run", {}),
        metrics=metrics_log.read(metrics) if metrics.exists() else (),
        missing=missing(path, config, results),
    )


def missing(path: pathlib.Path, config: Mapping, results: Mapping) -> str:
    """What a run still lacks and what to type, in one line; "" for a whole one."""
    steps = config["train"]["steps"]
    saved = max(_steps_saved(path), default=0)
    command = "python -m gaitjax.main --config <its config> --workdir"
    go_on = f"to go on: {command} {path}"
    again = f"to evaluate: {command} {path} --mode evaluate"
    about = results.get("run", {})
    # A results.json without `run` is of an older version: then the mark decides.
    whole = (path / "finished").exists() if not about else about["step"] == steps
    if not results:
        return f"no results yet, saved at step {saved:,} of {steps:,}; {go_on}"
    if about and about["step"] < saved:
        return (
            f"results of step {about['step']:,}, but saved at step {saved:,} of "
            f"{steps:,}; {again if saved >= steps else go_on}"
        )
    if not whole:
        step = about.get("step", saved)
        return f"results of step {step:,} of {steps:,}, unfinished; {go_on}"
    return ""


def short_names(folders: Sequence[pathlib.Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    raise GaitError(f"{folders[0]} and others are given twice; give each run once")


def _steps_saved(path: pathlib.Path) -> list[int]:
    folder = path / "checkpoints"
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    return [int(name) for name in names if name.isdigit()]


def _json(path: pathlib.Path) -> dict:
    """{} where there is no such file."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise GaitError(
            f"cannot read {path}: {error}; type that run's command again, or leave "
            "it out"
        ) from error
