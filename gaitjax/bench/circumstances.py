"""What figures were taken on, and by which line: what a JSON has beside its rows."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import jax

from gaitjax.runtime.environment import environment

# Of a wheel's name: what decides how fast kernels are.
LIBRARIES = ("jax-cuda", "nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cudnn")


def machine() -> dict[str, str | int]:
    """What does not change while a benchmark runs. Imports no torch."""
    wheels = {
        one.name: one.version
        for one in importlib.metadata.distributions()
        if one.name.startswith((*LIBRARIES, "torch", "triton"))
    }
    device = jax.devices()[0]
    return {
        **environment(),
        **dict(sorted(wheels.items())),
        "backend": " ".join(str(device.client.platform_version).split()),
        "cores": os.cpu_count(),
    }


def torch_build() -> dict[str, str]:
    """The CUDA and cuDNN that torch brings, once a subject has imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    found = {"torch's CUDA": torch.version.cuda, "torch's cuDNN": None}
    if torch.version.cuda:
        found["torch's cuDNN"] = torch.backends.cudnn.version()
    return {key: str(value) for key, value in found.items() if value is not None}


def call(arguments: Sequence[str], quick: bool) -> dict[str, str | bool | None]:
    """Which line was run, when, and of which state of the code."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "date": now.isoformat(timespec="seconds"),
        "command": " ".join(("python", *arguments)),
        "commit": commit(),
        "quick": quick,
    }


def commit() -> str | None:
    """The commit of this code, with -dirty where files differ; None outside of git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def load() -> float:
    """Busy processes in the last minute."""
    return round(os.getloadavg()[0], 2)
