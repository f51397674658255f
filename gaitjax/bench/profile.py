"""Where the time of a compiled program goes, kernel by kernel.

The profiler of JAX writes a trace (for Perfetto or XProf); here its events are added
up and joined with what the compiled program says of the code that each kernel is of.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator

import jax

from gaitjax.errors import GaitError


@dataclasses.dataclass(frozen=True)
class Kernel:
    """name: in the compiled program. place: the layers it is of, with `<-` in front of
    what is backward; "" where the compiler does not say. calls, ms: per step, over all
    threads, without what it calls."""

    name: str
    place: str
    calls: float
    ms: float


def options() -> dict[str, str]:
    """Of the compiler, for a program that is traced: a GPU launches command buffers as
    a whole, and their kernels would not be known by name. Such a program is not timed
    otherwise."""
    on_gpu = jax.default_backend() == "gpu"
    return {"xla_gpu_enable_command_buffer": ""} if on_gpu else {}


def record(fn: Callable[[], object], times: int, folder: str | os.PathLike) -> None:
    """A trace of `times` calls, after one outside of it. fn waits for its result."""
    fn()
    with jax.profiler.trace(folder):
        for _ in range(times):
            fn()


def kernels(
    folder: str | os.PathLike, program: jax.stages.Compiled, times: int
) -> list[Kernel]:
    """Those of the newest trace in a folder, the longest first.

    program: what was run; times: how often. Raises GaitError where there is no trace.
    """
    files = sorted(pathlib.Path(folder).rglob("*.xplane.pb"), key=os.path.getmtime)
    if not files:
        raise GaitError(f"{folder} holds no trace (*.xplane.pb)")
    trace = jax.profiler.ProfileData.from_file(str(files[-1]))
    seconds: dict[str, float] = collections.defaultdict(float)
    calls: dict[str, int] = collections.Counter()
    for plane in trace.planes:
        for line in plane.lines:
            events = [(e.start_ns, e.duration_ns, _operation(e)) for e in line.events]
            for name, own in own_times(event for event in events if event[2]):
                seconds[name] += own / 1e9
                calls[name] += 1
    of = places(program.as_text())
    found = [
        Kernel(name, of.get(name, ""), calls[name] / times, 1e3 * total / times)
        for name, total in seconds.items()
    ]
    return sorted(found, key=lambda kernel: -kernel.ms)


def of_one_call(
    fn: Callable[[], object], program: jax.stages.Compiled, count: int
) -> list[Kernel]:
    """Kernels of `program`, which one call of fn runs `count` times and waits for."""
    with tempfile.TemporaryDirectory() as folder:
        record(fn, 1, folder)
        return kernels(folder, program, count)


def own_times(
    events: Iterable[tuple[float, float, str]],
) -> Iterator[tuple[str, float]]:
    """(name, duration less that of the events inside) of events (start, duration,
    name) of one thread."""
    open_: list[list] = []  # [end, name, own]
    for start, duration, name in sorted(events, key=lambda e: (e[0], -e[1])):
        while open_ and open_[-1][0] <= start:
            _, ended, own = open_.pop()
            yield ended, own
        if open_:
            open_[-1][2] -= duration
        open_.append([start + duration, name, duration])
    for _, name, own in open_:
        yield name, own


def places(text: str) -> dict[str, str]:
    """{kernel: place} of a compiled program's text."""
    found = {}
    for line in text.splitlines():
        match = re.match(r'\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]*)"', line)
        if match:
            found[match[1]] = place(match[2])
    return found


def place(op_name: str) -> str:
    """The layers and the operation: `jit(step)/transpose(jvp(Net))/conv1/add` ->
    `<- Net/conv1/add`."""
    backward = "transpose(" in op_name
    parts = []
    for part in op_name.split("/"):
        inner = re.sub(r"^(?:\w+\()*([^()]*)\)*$", r"\1", part)
        if inner and not part.startswith("jit(") and inner != "while":
            parts.append(inner)
    return ("<- " if backward else "") + "/".join(parts)


def of_layers(found: Iterable[Kernel], layers: Iterable[str]) -> dict[str, float]:
    """{layer: ms} of kernels forward and backward, each of the layer with the longest
    name that its place begins with; "" is what is of none."""
    names = sorted(layers, key=len, reverse=True)
    total = dict.fromkeys([*layers, ""], 0.0)
    for kernel in found:
        inside = kernel.place.removeprefix("<- ") + "/"
        name = next((x for x in names if inside.startswith(x + "/")), "")
        total[name] += kernel.ms
    return total


def by_layer(found: Iterable[Kernel], depth: int = 3) -> list[tuple[str, float]]:
    """(first parts of the place, ms) added up, the longest first."""
    total: dict[str, float] = collections.defaultdict(float)
    for kernel in found:
        layer = "/".join(kernel.place.split("/")[:depth]) or "(not said)"
        total[layer] += kernel.ms
    return sorted(total.items(), key=lambda item: -item[1])


def _operation(event) -> str:
    for key, value in event.stats:
        if key == "hlo_op":
            return str(value)
    return ""
