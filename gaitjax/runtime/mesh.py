"""Devices and processes: which there are, the mesh over them, how batches get there.

One process per host (or per GPU) sees its own devices; the mesh is over all of them.
"""

from __future__ import annotations

import collections
import contextlib
import glob
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
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


def join_processes(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Makes this process one of several that train together (docs/scaling.md).

    coordinator: HOST:PORT where process 0 listens. All three None: as SLURM, a TPU pod
    or Open MPI says. Waits for the others, at most five minutes. Call it before
    anything else touches JAX.
    """
    given = [coordinator, num_processes, process_id]
    if None in given and given != [None] * 3:
        raise GaitError(
            "--coordinator HOST:PORT, --num_processes N, --process_id I go together: "
            "give all, or --distributed alone on SLURM, a TPU pod or Open MPI"
        )
    try:
        jax.distributed.initialize(*given)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        line = " ".join(str(error).split())[:200]
        raise GaitError(
            f"cannot join the other processes: {line}; without SLURM, a TPU pod or "
            "Open MPI give each --coordinator HOST:PORT, --num_processes N and "
            "--process_id I"
        ) from error


def meet() -> None:
    """The first exchanges between devices, and between processes, while all are here.

    To be set up, they wait half a minute for the others on CPUs, and compiling a step
    or making data may take longer; once set up, they wait for as long as it takes.
    """
    mesh = make_mesh()
    ones = to_devices({"": np.ones(len(mesh.local_devices), np.int32)}, mesh)[""]
    total = jax.jit(jnp.sum, out_shardings=replicated(mesh))(ones)
    assert int(total) == mesh.size
    wait_for_all("meet")


def is_first() -> bool:
    """Whether this is the process that writes files and talks."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Until every process has come here; they must agree on the name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def in_turn(name: str) -> Iterator[None]:
    """Process 0 goes through the block first, then all others.

    For what is made where it is missing. Where hosts have disks of their own, the
    others find nothing and make theirs.
    """
    if not is_first():
        wait_for_all(name)
    try:
        yield
    finally:  # an error here is one there, too: the others must come to it
        if is_first():
            wait_for_all(name)


def make_mesh(num_devices: int | None = None) -> Mesh:
    """All devices (or the first few) along one axis, `data`.

    Those of process 0 come first, then those of process 1: `process_rows` counts on it.
    """
    devices = sorted(jax.devices(), key=lambda one: (one.process_index, one.id))
    counts = collections.Counter(one.process_index for one in devices)
    if len(set(counts.values())) > 1:
        raise GaitError(
            f"processes see different numbers of devices: {sorted(counts.values())}; "
            "give each the same number (JAX_LOCAL_DEVICE_IDS, CUDA_VISIBLE_DEVICES)"
        )
    # Auto: the compiler places everything; Linen's dropout fails under Explicit.
    return Mesh(np.array(devices[:num_devices]), ("data",), axis_types=(AxisType.Auto,))


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


def on_one_device(tree: Any) -> Any:
    """A replicated pytree for what one process does without the others; leaves that
    are no arrays stay."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(
        lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, tree
    )


def use_compile_cache() -> None:
    """Keeps compiled programs between runs, where the user has not chosen a place."""
    if not jax.config.jax_compilation_cache_dir:
        cache = pathlib.Path("~/.cache/gaitjax/xla").expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache))
