"""What this machine has and how its Python is set up, as plain values.

`gather` only looks: it makes no folder, keeps no memory, and survives a JAX that
does not start. What the values mean is said in `runtime.traps`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import importlib.metadata
import logging
import multiprocessing
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from gaitjax.data.records import data_root
from gaitjax.machine import cores


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A line of nvidia-smi; bytes."""

    name: str
    driver: str
    total: int
    free: int


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder that may not exist yet, the bytes in it, and those left on its disk."""

    path: pathlib.Path
    free: int
    used: int = 0


@dataclasses.dataclass(frozen=True)
class PreparedSet:
    """A data set on disk; no sequences: its index cannot be read."""

    name: str
    path: pathlib.Path
    sequences: int
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that the doctor looks at.

    versions: of every installed distribution. requires, jax_requires: what gaitjax
    and JAX want of others; None where they are not installed as packages. device:
    what --device says. backend: of JAX, None where it does not start; jax_said: its
    warnings and errors. nvidia: number of device files. cuda_libraries: files on
    LD_LIBRARY_PATH that JAX would load in place of its own. memory: (total,
    available) bytes or None. rates: see `measure`; None where memory did not suffice.
    """

    system: str
    machine: str
    cores: int
    python: str
    versions: Mapping[str, str]
    requires: tuple[str, ...] | None
    jax_requires: tuple[str, ...] | None
    env: Mapping[str, str]
    device: str | None = None
    backend: str | None
    devices: tuple[str, ...]
    jax_said: tuple[str, ...] = ()
    x64: bool = False
    nvidia: int = 0
    gpus: tuple[Gpu, ...] = ()
    cuda_libraries: tuple[str, ...] = ()
    start_method: str | None = None
    notebook: bool = False
    flags_parsed: bool = True
    memory: tuple[int, int] | None
    places: Mapping[str, Place]
    sets: tuple[PreparedSet, ...] = ()
    rates: Mapping[str, float | None] = dataclasses.field(default_factory=dict)


def gather(
    device: str | None = None, data_dir: str | None = None, runs: str = "runs"
) -> Facts:
    """Looks at this machine. data_dir: as `data.dir` of a config."""
    env = dict(os.environ)  # as it was, JAX and the rates below change nothing of it
    gpus = nvidia_smi()  # before JAX, which takes memory
    jax = look_at_jax(device)
    places = {"data": place(data_root(data_dir)), "runs": place(pathlib.Path(runs))}
    cache = jax.pop("cache", None)
    if cache:
        places["compile cache"] = place(pathlib.Path(cache), with_size=True)
    return Facts(
        system=platform.system(),
        machine=f"{platform.system()} {platform.release()}, {platform.machine()}",
        cores=cores(),
        python=platform.python_version(),
        versions=installed(),
        requires=requirements("gaitjax"),
        jax_requires=requirements("jax"),
        env=env,
        device=device,
        nvidia=len(glob.glob("/dev/nvidia[0-9]*")),
        gpus=gpus,
        cuda_libraries=cuda_libraries(env.get("LD_LIBRARY_PATH", "")),
        start_method=multiprocessing.get_start_method(allow_none=True),
        notebook="ipykernel" in sys.modules,
        flags_parsed=flags_parsed(),
        memory=host_memory(),
        places=places,
        sets=tuple(prepared_sets(data_root(data_dir))),
        **jax,
    )


def look_at_jax(device: str | None) -> dict:
    """The fields of Facts that JAX fills, and `cache`; it may fail at any point."""
    said: list[str] = []
    with listening(said), preallocating_nothing():
        try:
            import jax

            from gaitjax.runtime import mesh

            mesh.choose_device(device)
            mesh.use_compile_cache()
            devices = tuple(f"{d.device_kind} ({d.platform})" for d in jax.devices())
        except Exception as error:  # ImportError, RuntimeError, a plugin's own
            said += (str(error).splitlines() or [type(error).__name__])[:1]
            return {"backend": None, "devices": (), "jax_said": tuple(said)}
        backend = jax.default_backend()
        return {
            "backend": backend,
            "devices": devices,
            "cache": jax.config.jax_compilation_cache_dir,
            "x64": bool(jax.config.jax_enable_x64),
            "rates": measure(large=backend != "cpu"),
            "jax_said": tuple(said),
        }


@contextlib.contextmanager
def listening(said: list[str]) -> Iterator[None]:
    """Collects what JAX warns of: why it falls back, which main silences."""
    logger, handler = logging.getLogger("jax"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage().splitlines()[0])
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            yield
    finally:
        said += [str(warning.message).splitlines()[0] for warning in caught]
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


@contextlib.contextmanager
def preallocating_nothing() -> Iterator[None]:
    """Leaves the GPU's memory to those who train on it while the doctor looks."""
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def measure(*, large: bool) -> dict[str, float | None]:
    """Matrix products in GFLOP/s and a copy in GB/s; large: on an accelerator."""
    import jax
    import jax.numpy as jnp

    n, size = (8192, 2**28) if large else (1024, 2**25)

    def matrix(dtype: jnp.dtype) -> jax.Array:
        # Random: a chip clocks higher on constants, which flip few bits.
        return jax.random.normal(jax.random.key(0), (n, n), dtype)

    @jax.jit
    def product(x: jax.Array) -> jax.Array:
        return jnp.matmul(x, x, precision="highest")  # float32 means float32

    # Into the same memory: fresh pages would cost a CPU more than the copy itself.
    @functools.partial(jax.jit, donate_argnums=0)
    def copy(x: jax.Array) -> jax.Array:
        return x + 1

    found: dict[str, float | None] = {}
    for name, dtype in (("float32", jnp.float32), ("bf16", jnp.bfloat16)):
        seconds = median_seconds(product, functools.partial(matrix, dtype))
        found[f"matrix product {name}"] = seconds and 2e-9 * n**3 / seconds
    seconds = median_seconds(copy, lambda: jnp.ones(size, jnp.float32), chain=True)
    found["copy float32"] = seconds and 8e-9 * size / seconds  # read and written
    return found


def median_seconds(
    fn: Callable, make: Callable, *, chain: bool = False, budget: float = 0.25
) -> float | None:
    """Of at least three calls of fn(make()); None where memory does not suffice.

    chain: the next call takes what the last one gave.
    """
    try:
        x = make()
        y = fn(x).block_until_ready()  # compiles
        times: list[float] = []
        while len(times) < 3 or sum(times) < budget:
            x = y if chain else x
            began = time.perf_counter()
            y = fn(x).block_until_ready()
            times.append(time.perf_counter() - began)
    except RuntimeError:  # XLA's, out of memory
        return None
    return statistics.median(times)


def nvidia_smi() -> tuple[Gpu, ...]:
    """The GPUs that the driver reports; none where it is not there or broken."""
    query = "--query-gpu=name,driver_version,memory.total,memory.free"
    try:
        done = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(done.stdout) if done.returncode == 0 else ()


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Lines `name, driver, MiB, MiB`; numbers that a device does not give are 0."""
    gpus = []
    for line in text.strip().splitlines():
        name, driver, *sizes = [part.strip() for part in line.rsplit(",", 3)]
        total, free = (int(x) << 20 if x.isdigit() else 0 for x in sizes)
        gpus.append(Gpu(name, driver, total, free))
    return tuple(gpus)


def installed() -> dict[str, str]:
    """Version by name of every distribution, names as `pip` normalises them."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # what an interrupted installation leaves has none
            found.setdefault(normal_name(name), distribution.version)
    return found


def normal_name(requirement: str) -> str:
    """A distribution's name as `pip` compares it: `ml-dtypes` of `ml_dtypes>=0.5`."""
    name = re.match(r"[\w.-]*", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(name: str) -> tuple[str, ...] | None:
    """What a distribution requires without its extras."""
    try:
        lines = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    return tuple(line for line in lines if "extra ==" not in line)


def cuda_libraries(search_path: str) -> tuple[str, ...]:
    """Libraries on LD_LIBRARY_PATH that JAX's own wheels bring, too."""
    names = ("cudart", "cublas", "cudnn", "cusparse", "cusolver", "cufft", "nccl")
    return tuple(
        path
        for folder in filter(None, search_path.split(os.pathsep))
        for name in names
        for path in sorted(glob.glob(f"{glob.escape(folder)}/lib{name}.so*"))[:1]
    )


def host_memory() -> tuple[int, int] | None:
    """(total, available) bytes, within the container's limit; Linux only."""
    try:
        text = pathlib.Path("/proc/meminfo").read_text()
    except OSError:
        return None
    values = dict(re.findall(r"(\w+):\s+(\d+) kB", text))
    total, available = (int(values[key]) << 10 for key in ("MemTotal", "MemAvailable"))
    group = pathlib.Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            most, now = (int((group / name).read_text()) for name in (limit, used))
            total, available = min(total, most), min(available, max(most - now, 0))
    return total, available


def place(path: pathlib.Path, with_size: bool = False) -> Place:
    """Free space where a folder is or would be made."""
    path = path.expanduser().absolute()
    there = next(p for p in (path, *path.parents) if p.exists())
    used = folder_size(path) if with_size else 0
    return Place(path, shutil.disk_usage(there).free, used)


def folder_size(path: pathlib.Path) -> int:
    """Bytes of all files below; some may vanish meanwhile."""
    total = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def prepared_sets(root: pathlib.Path) -> Iterator[PreparedSet]:
    """What lies under <root>/<set>/[<variant>/]<version>/."""
    for depth in ("*/*", "*/*/*"):
        for sidecar in sorted(root.glob(f"{depth}/index_train.npz")):
            folder = sidecar.parent
            name = str(folder.parent.relative_to(root))
            yield PreparedSet(name, folder, sequences(folder), folder_size(folder))


def sequences(folder: pathlib.Path) -> int:
    """Of training and test together; 0 where an index is damaged."""
    total = 0
    try:
        for split in ("train", "test"):
            with np.load(folder / f"index_{split}.npz") as arrays:
                total += len(arrays["num_frames"])
    except Exception:  # numpy and zipfile raise all sorts
        return 0
    return total


def flags_parsed() -> bool:
    """Whether absl's flags are, which Grain's worker processes look at."""
    from absl import flags

    return flags.FLAGS.is_parsed()
