"""What this computer lets a process have."""

from __future__ import annotations

import functools
import os
import pathlib
import platform


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def cpu() -> str:
    """The model of the processor, as far as the system says."""
    told = pathlib.Path("/proc/cpuinfo")  # Linux only
    lines = told.read_text(errors="replace").splitlines() if told.exists() else []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return (names or [platform.processor()])[0].strip() or platform.machine()
