"""Where the numbers of a run go: metrics.jsonl and TensorBoard events."""

from __future__ import annotations

import json
import math
import pathlib
import resource
import sys
from collections.abc import Mapping
from typing import Any

import jax
from tensorboardX import SummaryWriter

from gaitjax.files import write_atomically


class MetricsLog:
    """Appends a line per call; after a resume, lines of undone steps are dropped.

    Of several processes the first one writes.
    """

    def __init__(self, workdir: pathlib.Path, *, start: int, tensorboard: bool = True):
        self.path, self._board = workdir / "metrics.jsonl", None
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        if self.path.exists():
            done = [line for line in read(self.path) if line["step"] <= start]
            text = "".join(json.dumps(line) + "\n" for line in done)
            write_atomically(self.path, text)
        if tensorboard:
            self._board = SummaryWriter(str(workdir), purge_step=start + 1)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """One line {"step": ..., name: value}; flushed, so a crash loses nothing."""
        if not self._writes:
            return
        values = {key: float(value) for key, value in values.items()}
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(key, value, step)
            self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def read(path: pathlib.Path) -> list[dict[str, float]]:
    """The lines of a metrics.jsonl; what a crash or an editor spoilt is left out."""
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


class Meter:
    """Frames per second and the share of time that went into waiting for data.

    Only steps count: evaluating, refreshing and saving lie between them.
    """

    def __init__(self):
        self._start()

    def _start(self) -> None:
        self._frames = self._steps = 0
        self._waited = self._wall = 0.0

    def step(self, frames: int, waited: float, seconds: float) -> None:
        """Notes a step: its real frames, how long it waited, how long it took."""
        self._frames += frames
        self._steps += 1
        self._waited += waited
        self._wall += seconds

    def read(self) -> dict[str, float]:
        """The rates since the last call."""
        wall = max(self._wall, 1e-9)
        rates = {
            "frames_per_s": self._frames / wall,
            "steps_per_s": self._steps / wall,
            "data_wait": self._waited / wall,
        }
        self._start()
        return rates


def peak_memory_gib() -> float:
    """The most memory held so far: on the device, or by this process on a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def non_finite(metrics: Mapping[str, Any]) -> list[str]:
    """Names of loss terms that are not finite; the terms before their sum."""
    bad = [key for key, value in metrics.items() if not math.isfinite(float(value))]
    terms = [key for key in bad if key.endswith("/loss")]
    return terms or bad


class CollapseWatch:
    """Notices a triplet loss that sits at its margin because all embeddings agree."""

    def __init__(self, patience: int = 3, epsilon: float = 1e-3):
        self._patience, self._epsilon, self._seen = patience, epsilon, 0

    def warning(self, metrics: Mapping[str, Any]) -> str | None:
        """The line to print, once, after `patience` logs with no distances left."""
        distance = metrics.get("triplet/mean_dist")
        if distance is None or float(distance) > self._epsilon:
            self._seen = 0
            return None
        self._seen += 1
        if self._seen != self._patience:
            return None
        return (
            f"collapsed triplet: the mean distance between embeddings is "
            f"{float(distance):.1e}, so the loss stays at its margin; lower optim.lr, "
            "add optim.warmup, or raise the cross-entropy's weight"
        )
