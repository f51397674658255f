"""The known traps of an environment: one function each, from `Facts` to a finding.

They are those that users of gait and JAX code report; behind some stands the thread
of their repository. Every function returns (level, what was found, what to do).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

from packaging.requirements import Requirement

from gaitjax.runtime.facts import Facts, normal_name

Level = Literal["ok", "warning", "error"]
Result = tuple[Level, str, str]

GIB = 2**30
# A run refuses to start with less than the latter; the rest is chosen: the default
# run takes just under 1 GiB of memory, and far less of the disk.
LITTLE_DISK, NO_DISK = 5 * GIB, 2**26
LITTLE_MEMORY, NO_MEMORY = 3 * GIB, GIB


@dataclasses.dataclass(frozen=True)
class Finding:
    """A line of the diagnosis; `todo` is empty where all is well."""

    trap: str
    level: Level
    found: str
    todo: str


def diagnose(facts: Facts) -> list[Finding]:
    """One finding per trap, in an order in which they are best mended."""
    traps = {
        "operating system": operating_system,
        "Python": python,
        "pip": pip,
        "libraries": libraries,
        "jax, jaxlib, plugins": jax_versions,
        "CUDA builds of JAX": cuda_builds,
        "NVIDIA driver": driver,
        "backend": backend,
        "JAX_PLATFORMS": jax_platforms,
        "LD_LIBRARY_PATH": library_path,
        "GPU memory": gpu_memory,
        "jax_enable_x64": float64,
        "worker processes": workers,
        "notebook": notebook,
        "array_record": array_record,
        "TensorFlow": tensorflow,
        "memory": memory,
        "disk": disk,
    }
    return [Finding(name, *trap(facts)) for name, trap in traps.items()]


def line(finding: Finding) -> str:
    """Level, trap, what was found, and behind an arrow what to do."""
    todo = f" -> {finding.todo}" if finding.todo else ""
    return f"  {finding.level:<7} {finding.trap}: {finding.found}{todo}"


def operating_system(facts: Facts) -> Result:
    if facts.system == "Windows":
        todo = "use WSL2: neither JAX's GPU builds nor array_record are for Windows"
        return "error", "native Windows", todo
    return _ok(facts.system)


def python(facts: Facts) -> Result:
    if _release(facts.python) < (3, 11):
        todo = "make an environment with Python 3.11 or newer"
        return "error", f"{facts.python} is too old", todo
    return _ok(facts.python)


def pip(facts: Facts) -> Result:
    version = facts.versions.get("pip")
    # 21.3 is the first that takes -e for a project without a setup.py (PEP 660).
    if version and _release(version) < (21, 3):
        return (
            "warning",
            f"{version} is too old for pip install -e",
            "pip install -U pip",
        )
    return _ok(version or "not in this environment")


def libraries(facts: Facts) -> Result:
    """The lower bounds of setup.cfg, as the installed package carries them."""
    if facts.requires is None:
        return "warning", "gaitjax is not installed", "pip install -e . in its folder"
    bad = _unmet(facts.requires, facts.versions)
    if bad:
        return "error", "; ".join(bad), "pip install -U -e . in gaitjax's folder"
    return _ok(f"{len(facts.requires)} within their bounds")


def jax_versions(facts: Facts) -> Result:
    """jaxlib within JAX's bounds; JAX uses no plugin of another version than it."""
    jaxlib = [x for x in facts.jax_requires or () if normal_name(x) == "jaxlib"]
    bad = _unmet(jaxlib, facts.versions)
    library = facts.versions.get("jaxlib", "")
    bad += [
        f"{name} {version} beside jaxlib {library or 'missing'}"
        for name, version in plugins(facts).items()
        if _release(version) != _release(library)
    ]
    if bad:
        extra = "".join(f"[cuda{major}]" for major in _majors(facts)[-1:])
        todo = f"pip install -U 'jax{extra}', which takes all of one version"
        return "error", "; ".join(bad), todo
    return _ok("fit each other")


def cuda_builds(facts: Facts) -> Result:
    majors = _majors(facts)
    if len(majors) > 1:
        names = [x for x in plugins(facts) if f"cuda{majors[-1]}" not in x]
        todo = f"keep one: pip uninstall {' '.join(names)}"
        return "error", f"for CUDA {' and '.join(map(str, majors))} at once", todo
    return _ok(f"CUDA {majors[0]}" if majors else "none, CPU only")


def driver(facts: Facts) -> Result:
    if not facts.gpus and facts.nvidia and facts.backend != "gpu":
        todo = "install the driver; start a container with --gpus all"
        return "warning", "an NVIDIA device, but nvidia-smi does not answer", todo
    if not facts.gpus:
        return _ok("none reported")
    version = facts.gpus[0].driver
    # The least driver of a CUDA: JAX's installation page; NVIDIA's notes on CUDA 13.
    for major, least in ((12, "525.60.13"), (13, "580.65.06")):
        if _majors(facts) == [major] and _release(version) < _release(least):
            todo = "update it" + (", or pip install 'jax[cuda12]'" * (major > 12))
            return "error", f"{version}, CUDA {major} wants {least}", todo
    return _ok(version)


def backend(facts: Facts) -> Result:
    """JAX falls back to the CPU with a warning nobody reads (jax#29068, #30050)."""
    said = f" ({facts.jax_said[-1]})" if facts.jax_said else ""
    if facts.backend is None:
        todo = "mend the errors above, or pip install -U -e . again"
        if facts.device or facts.env.get("JAX_PLATFORMS"):
            todo = "ask for another --device or JAX_PLATFORMS, or mend the errors above"
        return "error", f"JAX does not start{said}", todo
    if facts.backend != "cpu" or not facts.nvidia:
        return _ok(facts.backend)
    if facts.device or facts.env.get("JAX_PLATFORMS"):
        return _ok("cpu, as asked for")
    if facts.env.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        todo = "unset CUDA_VISIBLE_DEVICES, which hides it"
    elif not plugins(facts):
        todo = "pip install -e '.[cuda12]' in gaitjax's folder"
    else:
        extra = f"'jax[cuda{_majors(facts)[-1]}]'"
        todo = (
            "mend what the lines on versions, driver and LD_LIBRARY_PATH say, or "
            f"pip install -U --force-reinstall {extra}"
        )
    found = f"an NVIDIA device, but JAX runs on the CPU{said}"
    return "error", found, f"{todo}; or run with --device cpu"


def jax_platforms(facts: Facts) -> Result:
    value = facts.env.get("JAX_PLATFORMS")
    if value == "cpu" and facts.nvidia:
        todo = "unset it to run on the GPU"
        return "warning", "cpu, and an NVIDIA device idles", todo
    return _ok(value or "not set")


def library_path(facts: Facts) -> Result:
    """What it leads to is loaded in place of what pip installed (jax#28929)."""
    if facts.cuda_libraries and plugins(facts):
        found = f"puts {', '.join(facts.cuda_libraries[:3])} before pip's libraries"
        return "warning", found, "unset LD_LIBRARY_PATH"
    return _ok("no CUDA there" if facts.env.get("LD_LIBRARY_PATH") else "not set")


def gpu_memory(facts: Facts) -> Result:
    """JAX takes 75 % of every GPU at its start unless told otherwise."""
    env, old, new = (
        facts.env,
        "XLA_PYTHON_CLIENT_MEM_FRACTION",
        "XLA_CLIENT_MEM_FRACTION",
    )
    if env.get(old) and env.get(new):
        return "error", f"{old} and {new} are both set", f"unset {old}"
    name = new if env.get(new) else old
    share = _number(env.get(name) or "0.75")
    if not 0 < share <= 1:
        return "error", f"{name}={env[name]}", "set it between 0 and 1, such as 0.5"
    if env.get("XLA_PYTHON_CLIENT_ALLOCATOR") == "platform":
        name = "XLA_PYTHON_CLIENT_ALLOCATOR"
        return "warning", f"{name}=platform, which is very slow", f"unset {name}"
    if env.get("XLA_PYTHON_CLIENT_PREALLOCATE", "").lower() in ("0", "false"):
        return _ok("taken as needed (XLA_PYTHON_CLIENT_PREALLOCATE)")
    full = [gpu for gpu in facts.gpus if gpu.free < share * gpu.total]
    if full:
        found = f"JAX wants {share:.0%} at once, {gib(full[0].free)} are free"
        todo = f"XLA_PYTHON_CLIENT_PREALLOCATE=false, or a smaller {new}"
        return "warning", found, f"wait for the other process, or set {todo}"
    return _ok(f"JAX takes {share:.0%} at its start" if facts.gpus else "no GPU")


def float64(facts: Facts) -> Result:
    if facts.x64:
        todo = "unset JAX_ENABLE_X64: float64 is slow, and figures are of float32"
        return "warning", "on", todo
    return _ok("off")


def workers(facts: Facts) -> Result:
    """A fork of a process in which JAX runs threads may hang (jax#18989)."""
    if facts.start_method == "fork":
        todo = 'multiprocessing.set_start_method("spawn")'
        return "warning", "forked, which may hang beside JAX's threads", todo
    return _ok('spawned; your own scripts need `if __name__ == "__main__":`')


def notebook(facts: Facts) -> Result:
    """Grain's worker processes look at absl's flags (abseil-py#170)."""
    if facts.notebook and not facts.flags_parsed:
        todo = "from absl import flags; flags.FLAGS.mark_as_parsed()"
        return "warning", "absl's flags are not parsed, data.workers > 0 fails", todo
    return _ok("flags are parsed" if facts.notebook else "none")


def array_record(facts: Facts) -> Result:
    """What TFDS reads without TensorFlow; not on every platform (datasets#4805)."""
    version = facts.versions.get("array-record")
    if version is None:
        todo = "pip install array_record; where it has no wheel, WSL2 or a container"
        return "error", "missing, prepared sets cannot be read", todo
    return _ok(version)


def tensorflow(facts: Facts) -> Result:
    names = ("tensorflow", "tensorflow-cpu", "tf-nightly")
    there = [f"{x} {facts.versions[x]}" for x in names if x in facts.versions]
    if there:
        todo = "pip uninstall it: not needed, slows the start, may take the GPU"
        return "warning", ", ".join(there), todo
    return _ok("not there, not needed")


def memory(facts: Facts) -> Result:
    if facts.memory is None:
        return _ok("unknown on this system")
    free = facts.memory[1]
    todo = "close other programs, or lower data.workers, data.p and eval.batch"
    return _scarce(free, NO_MEMORY, LITTLE_MEMORY, f"{gib(free)} free", todo)


def disk(facts: Facts) -> Result:
    name, place = min(facts.places.items(), key=lambda item: item[1].free)
    found = f"{gib(place.free)} free for {name} ({place.path})"
    todo = "make room, or point --workdir and $GAITJAX_DATA to another disk"
    return _scarce(place.free, NO_DISK, LITTLE_DISK, found, todo)


def plugins(facts: Facts) -> dict[str, str]:
    """Version by name of JAX's CUDA plugins (each CUDA has two)."""
    return {
        name: version
        for name, version in facts.versions.items()
        if re.fullmatch(r"jax-cuda\d+-(plugin|pjrt)", name)
    }


def gib(size: float) -> str:
    """Bytes for people."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:,.1f} MiB"


def _ok(found: str) -> Result:
    return "ok", found, ""


def _scarce(free: int, none: int, little: int, found: str, todo: str) -> Result:
    if free >= little:
        return _ok(found)
    return "error" if free < none else "warning", found, todo


def _majors(facts: Facts) -> list[int]:
    """The CUDA versions that JAX's plugins are for."""
    return sorted({int(re.findall(r"\d+", name)[0]) for name in plugins(facts)})


def _release(version: str) -> tuple[int, ...]:
    """(0, 10, 2) of "0.10.2.dev1", as JAX compares its plugins; () of nonsense."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _unmet(
    requires: list[str] | tuple[str, ...], there: Mapping[str, str]
) -> list[str]:
    """`name version, want bounds` of each that is missing or outside its bounds."""
    bad = []
    for requirement in map(Requirement, requires):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        name, bounds = normal_name(requirement.name), requirement.specifier
        version = there.get(name)
        if not version or not bounds.contains(version, prereleases=True):
            bad.append(f"{name} {version or 'missing'}, want {bounds or 'any'}")
    return bad
