"""Devices: which there are, the mesh over them, and how batches get there."""

from __future__ import annotations

import glob
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gaitjax.errors import GaitError


def check_device(device: str | None) -> None:
    """Selects "cpu" or "gpu" where asked for; refuses a GPU that JAX cannot use.

    JAX falls back to the CPU with a warning that nobody reads; a day later the run
    is at step 200. Call it before anything else touches JAX.
    """
    choose_device(device)
    try:
        backend = jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        line = (str(error).splitlines() or ["JAX was built without it"])[0]
        raise GaitError(
            f"no {device or 'usable'} device: {line}; run with --device cpu, or "
            "install JAX for your accelerator (pip install -e '.[cuda12]')"
        ) from error
    chosen = device or jax.config.jax_platforms  # the flag, or $JAX_PLATFORMS
    if not chosen and backend == "cpu" and glob.glob("/dev/nvidia[0-9]*"):
        raise GaitError(
            "this machine has an NVIDIA device, but JAX runs on the CPU: install the "
            "GPU build (pip install -e '.[cuda12]'), or run with --device cpu"
        )


def choose_device(device: str | None) -> None:
    """Tells JAX what --device says; nothing is tried yet."""
    if device:
        jax.config.update("jax_platforms", {"gpu": "cuda"}.get(device, device))


def make_mesh(num_devices: int | None = None) -> Mesh:
    """All devices (or the first few) along one axis, `data`."""
    devices = jax.devices()[:num_devices]
    # Auto: the compiler places everything; Linen's dropout fails under Explicit.
    return jax.make_mesh(
        (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis cut over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_batch(p: int, k: int, mesh: Mesh) -> None:
    """A batch must split evenly over the devices."""
    if p * k % mesh.size:
        raise GaitError(
            f"data.p x data.k = {p} x {k} = {p * k} sequences do not split over "
            f"{mesh.size} devices; set data.p to a multiple of {mesh.size}"
        )


def process_rows(batch_size: int) -> slice:
    """Which rows of a global batch this process loads."""
    share = batch_size // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)


def to_devices(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows as global arrays; scalars go everywhere."""
    rows, everywhere = split(mesh), replicated(mesh)
    return {
        key: jax.make_array_from_process_local_data(
            rows if np.ndim(value) else everywhere, np.asarray(value)
        )
        for key, value in batch.items()
    }


def to_all(tree: Any, mesh: Mesh) -> Any:
    """A pytree of arrays, the same on every device."""
    return jax.device_put(tree, replicated(mesh))


def use_compile_cache() -> None:
    """Keeps compiled programs between runs, where the user has not chosen a place."""
    if not jax.config.jax_compilation_cache_dir:
        cache = pathlib.Path("~/.cache/gaitjax/xla").expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache))
