"""What this machine has, and what is wrong with it.

python -m gaitjax.main --mode doctor

Facts are gathered in `runtime.facts`; what may be wrong with them is the table of
`runtime.traps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gaitjax import __version__
from gaitjax.runtime.facts import Facts, gather, normal_name
from gaitjax.runtime.traps import diagnose, gib, line, plugins


def examine(
    device: str | None = None, data_dir: str | None = None, runs: str = "runs"
) -> int:
    """Prints facts and findings; the exit code, 1 where something is an error."""
    facts = gather(device, data_dir, runs)
    findings = diagnose(facts)
    for section, values in describe(facts).items():
        print("\n".join([section, *rows(values), ""]))
    print("\n".join(["checks", *map(line, findings), ""]))
    levels = [finding.level for finding in findings]
    print(f"{levels.count('error')} errors, {levels.count('warning')} warnings")
    return 1 if "error" in levels else 0


def describe(facts: Facts) -> dict[str, dict[str, str]]:
    """The sections before the findings: {section: {name: value}}."""
    units = {"matrix": "GFLOP/s", "copy": "GB/s"}
    return {
        f"gaitjax {__version__}": machine(facts),
        "versions": versions(facts),
        "rates": {
            name: f"{rate:,.1f} {units[name.split()[0]]}" if rate else "out of memory"
            for name, rate in facts.rates.items()
        },
        "places": {
            name: f"{place.path}, {gib(place.free)} free"
            + (f", holds {gib(place.used)}" if place.used else "")
            for name, place in facts.places.items()
        },
        "prepared data sets": {
            found.name: (
                f"{found.sequences:,} sequences" if found.sequences else "damaged"
            )
            + f", {gib(found.size)}"
            for found in facts.sets
        }
        or {"none": "the walkers are made by the first run"},
    }


def machine(facts: Facts) -> dict[str, str]:
    """System, memory, devices."""
    memory = "unknown"
    if facts.memory is not None:
        memory = "{1} free of {0}".format(*map(gib, facts.memory))
    gpus = {
        f"gpu {i}": f"{gpu.name}, {gib(gpu.free)} free of {gib(gpu.total)}"
        for i, gpu in enumerate(facts.gpus)
    }
    return {
        "system": f"{facts.machine}, {facts.cores} cores",
        "memory": memory,
        "backend": facts.backend or "none",
        "devices": ", ".join(facts.devices) or "none",
        "driver": facts.gpus[0].driver if facts.gpus else "none",
        **gpus,
    }


def versions(facts: Facts) -> dict[str, str]:
    """Python, what gaitjax requires, and JAX's binaries."""
    names = [normal_name(text) for text in facts.requires or ("jax",)]
    names[1:1] = ["jaxlib", *plugins(facts)]
    return {
        "python": facts.python,
        **{name: facts.versions.get(name, "missing") for name in names},
    }


def rows(values: Mapping[str, str]) -> Iterator[str]:
    """Indented lines, names padded to one width."""
    width = max([22, *map(len, values)])
    return (f"  {name:<{width}} {value}" for name, value in values.items())
