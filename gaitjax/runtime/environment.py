"""What a run ran on."""

from __future__ import annotations

import importlib.metadata
import platform

import jax

from gaitjax import machine


def environment() -> dict[str, str]:
    """What the run ran on, for the report and the checkpoints."""
    device, processes = jax.devices()[0], jax.process_count()
    several = f", {processes} processes" if processes > 1 else ""
    packages = (
        "gaitjax",
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "orbax-checkpoint",
        "grain",
    )
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return {
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "cpu": f"{machine.cpu()}, {machine.cores()} cores",
        "python": platform.python_version(),
        "devices": f"{jax.device_count()} x {device.device_kind} ({device.platform})"
        + several,
        **versions,
    }
