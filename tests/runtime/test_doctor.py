"""Every trap fires on made-up facts and is silent on healthy ones."""

import dataclasses
import logging
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest

from gaitjax.runtime import doctor, facts, traps

GIB = 2**30
PLUGINS = {"jax-cuda12-plugin": "0.10.2", "jax-cuda12-pjrt": "0.10.2"}
CPU = facts.Facts(
    system="Linux",
    machine="Linux 6.1, x86_64",
    cores=2,
    python="3.11.7",
    versions={
        "pip": "24.0",
        "jax": "0.10.2",
        "jaxlib": "0.10.2",
        "orbax-checkpoint": "0.12.8",
        "array-record": "0.8.6",
    },
    requires=("jax>=0.10.2", "orbax_checkpoint>=0.12.8", "tf; sys_platform == 'nix'"),
    jax_requires=("jaxlib<=0.10.2,>=0.10.1", "numpy>=9"),
    env={},
    backend="cpu",
    devices=("cpu (cpu)",),
    memory=(16 * GIB, 12 * GIB),
    places={"data": facts.Place(pathlib.Path("/data"), 90 * GIB)},
    rates={"matrix product float32": 60.5, "copy float32": None},
)
GPU = dataclasses.replace(
    CPU,
    versions={**CPU.versions, **PLUGINS},
    backend="gpu",
    devices=("NVIDIA H200 (gpu)",),
    nvidia=1,
    gpus=(facts.Gpu("NVIDIA H200", "570.12.01", 140 * GIB, 139 * GIB),),
)
FELL_BACK = dict(backend="cpu", devices=("cpu (cpu)",))


def versions(**changes):
    """Those of GPU with others; None takes one away."""
    changed = {**GPU.versions, **{k.replace("_", "-"): v for k, v in changes.items()}}
    return {"versions": {k: v for k, v in changed.items() if v}}


def env(**values):
    return {"env": values}


# What differs from healthy GPU facts, the trap, its level, and words of its line.
TRAPS = [
    ({"system": "Windows"}, "operating system", "error", "WSL2"),
    ({"python": "3.10.14"}, "Python", "error", "3.11 or newer"),
    (versions(pip="21.2.4"), "pip", "warning", "pip install -U pip"),
    ({"requires": None}, "libraries", "warning", "pip install -e ."),
    (
        versions(orbax_checkpoint="0.11.36"),
        "libraries",
        "error",
        "orbax-checkpoint 0.11.36, want >=0.12.8",
    ),
    (
        versions(orbax_checkpoint=None),
        "libraries",
        "error",
        "orbax-checkpoint missing",
    ),
    (
        versions(jaxlib="0.11.0", jax_cuda12_plugin="0.11.0", jax_cuda12_pjrt="0.11.0"),
        "jax, jaxlib, plugins",
        "error",
        "jaxlib 0.11.0, want <=0.10.2,>=0.10.1",
    ),
    (
        versions(jax_cuda12_plugin="0.10.1"),
        "jax, jaxlib, plugins",
        "error",
        "jax-cuda12-plugin 0.10.1 beside jaxlib 0.10.2 -> pip install -U 'jax[cuda12]'",
    ),
    (
        versions(jax_cuda13_plugin="0.10.2"),
        "CUDA builds of JAX",
        "error",
        "and 13 at once -> keep one: pip uninstall jax-cuda12-plugin jax-cuda12-pjrt",
    ),
    (
        {"gpus": (facts.Gpu("GTX", "520.61", GIB, GIB),)},
        "NVIDIA driver",
        "error",
        "520.61, CUDA 12 wants 525.60.13",
    ),
    (
        versions(
            jax_cuda12_plugin=None, jax_cuda12_pjrt=None, jax_cuda13_plugin="0.10.2"
        ),
        "NVIDIA driver",
        "error",
        "570.12.01, CUDA 13 wants 580.65.06 -> update it, or pip install 'jax[cuda12]'",
    ),
    (
        FELL_BACK | {"jax_said": ("Unable to load cuSPARSE.",)},
        "backend",
        "error",
        "an NVIDIA device, but JAX runs on the CPU (Unable to load cuSPARSE.)",
    ),
    (
        FELL_BACK | {"versions": CPU.versions},
        "backend",
        "error",
        "pip install -e '.[cuda12]' in gaitjax's folder; or run with --device cpu",
    ),
    (
        FELL_BACK | env(CUDA_VISIBLE_DEVICES=""),
        "backend",
        "error",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    (
        {"backend": None, "devices": (), "jax_said": ("jaxlib is broken",)},
        "backend",
        "error",
        "JAX does not start (jaxlib is broken)",
    ),
    (FELL_BACK | env(JAX_PLATFORMS="cpu"), "JAX_PLATFORMS", "warning", "unset it"),
    (
        {"cuda_libraries": ("/cuda/libcudart.so",)},
        "LD_LIBRARY_PATH",
        "warning",
        "puts /cuda/libcudart.so before pip's libraries -> unset LD_LIBRARY_PATH",
    ),
    (
        {"gpus": (facts.Gpu("NVIDIA H200", "570.1", 140 * GIB, 60 * GIB),)},
        "GPU memory",
        "warning",
        "JAX wants 75% at once, 60.0 GiB are free -> wait",
    ),
    (
        env(XLA_PYTHON_CLIENT_ALLOCATOR="platform"),
        "GPU memory",
        "warning",
        "very slow -> unset XLA_PYTHON_CLIENT_ALLOCATOR",
    ),
    (env(XLA_CLIENT_MEM_FRACTION="75"), "GPU memory", "error", "between 0 and 1"),
    (env(XLA_PYTHON_CLIENT_MEM_FRACTION="x"), "GPU memory", "error", "between 0 and 1"),
    (
        env(XLA_CLIENT_MEM_FRACTION=".5", XLA_PYTHON_CLIENT_MEM_FRACTION=".5"),
        "GPU memory",
        "error",
        "are both set",
    ),
    ({"x64": True}, "jax_enable_x64", "warning", "unset JAX_ENABLE_X64"),
    ({"start_method": "fork"}, "worker processes", "warning", '("spawn")'),
    (
        {"notebook": True, "flags_parsed": False},
        "notebook",
        "warning",
        "flags.FLAGS.mark_as_parsed()",
    ),
    (versions(array_record=None), "array_record", "error", "missing"),
    (versions(tensorflow="2.20.0"), "TensorFlow", "warning", "not needed"),
    ({"memory": (16 * GIB, 2 * GIB)}, "memory", "warning", "2.0 GiB free"),
    ({"memory": (16 * GIB, GIB // 2)}, "memory", "error", "lower data.workers"),
    (
        {"places": CPU.places | {"runs": facts.Place(pathlib.Path("/r"), 2 * GIB)}},
        "disk",
        "warning",
        "2.0 GiB free for runs (/r) -> make room",
    ),
    ({"places": {"data": facts.Place(pathlib.Path("/d"), 2**20)}}, "disk", "error", ""),
]


@pytest.mark.parametrize("healthy", [CPU, GPU], ids=["cpu", "gpu"])
def test_healthy_facts_have_no_complaint(healthy):
    findings = traps.diagnose(healthy)
    assert {finding.level for finding in findings} == {"ok"}
    assert all(finding.found and not finding.todo for finding in findings)


@pytest.mark.parametrize("changes, trap, level, words", TRAPS)
def test_trap_fires_alone(changes, trap, level, words):
    findings = traps.diagnose(dataclasses.replace(GPU, **changes))
    (found,) = [finding for finding in findings if finding.level != "ok"]
    assert (found.trap, found.level) == (trap, level)
    assert found.todo
    line = traps.line(found)
    assert words in line
    assert "\n" not in line


def test_every_trap_is_tested():
    names = {finding.trap for finding in traps.diagnose(CPU)}
    assert names == {trap for _, trap, _, _ in TRAPS}


@pytest.mark.parametrize(
    "changes",
    [
        FELL_BACK | {"device": "cpu"},  # asked for
        env(XLA_PYTHON_CLIENT_PREALLOCATE="false") | {"gpus": (GPU.gpus[0],)},
        {"cuda_libraries": ("/cuda/libcudart.so",), "versions": CPU.versions},
        versions(jax_cuda12_plugin="0.10.2.post1", orbax_checkpoint="0.13.0rc1"),
        {"gpus": ()},  # no nvidia-smi in the container, yet JAX has its GPU
        {"memory": None},
        {"notebook": True},
    ],
)
def test_what_is_no_trap(changes):
    findings = traps.diagnose(dataclasses.replace(GPU, **changes))
    assert [finding for finding in findings if finding.level != "ok"] == []


def test_device_without_driver():
    changed = dataclasses.replace(GPU, gpus=(), **FELL_BACK)
    bad = {x.trap: x.level for x in traps.diagnose(changed) if x.level != "ok"}
    assert bad == {"NVIDIA driver": "warning", "backend": "error"}


def test_sections_say_what_is_there():
    sets = (
        facts.PreparedSet("walkers/a", pathlib.Path("/data"), 1100, 3 * 2**20),
        facts.PreparedSet("casia_b", pathlib.Path("/data"), 0, GIB),
    )
    described = doctor.describe(dataclasses.replace(GPU, sets=sets))
    assert described["rates"] == {
        "matrix product float32": "60.5 GFLOP/s",
        "copy float32": "out of memory",
    }
    assert described["prepared data sets"] == {
        "walkers/a": "1,100 sequences, 3.0 MiB",
        "casia_b": "damaged, 1.0 GiB",
    }
    (machine, *_) = described.values()
    assert machine["gpu 0"] == "NVIDIA H200, 139.0 GiB free of 140.0 GiB"
    assert described["versions"]["jax-cuda12-plugin"] == "0.10.2"
    assert described["versions"]["tf"] == "missing"


@pytest.mark.parametrize("broken, code", [(True, 1), (False, 0)])
def test_exit_code(broken, code, monkeypatch, capsys):
    found = dataclasses.replace(GPU, x64=True, system="Windows" if broken else "Linux")
    monkeypatch.setattr(doctor, "gather", lambda *args: found)
    assert doctor.examine() == code
    assert capsys.readouterr().out.endswith(f"{code} errors, 1 warnings\n")


def test_gpus_of_nvidia_smi():
    text = "NVIDIA H200, 570.12.01, 143771, 143000\nTesla, Inc, 1.2, [N/A], 5\n"
    assert facts.parse_gpus(text) == (
        facts.Gpu("NVIDIA H200", "570.12.01", 143771 << 20, 143000 << 20),
        facts.Gpu("Tesla, Inc", "1.2", 0, 5 << 20),
    )


def test_cuda_libraries_on_the_path(tmp_path):
    for name in ("libcudart.so.12", "libcudnn.so", "libcudnn.so.9", "libfoo.so"):
        (tmp_path / name).touch()
    search = os.pathsep.join(["", str(tmp_path / "nowhere"), str(tmp_path)])
    names = [pathlib.Path(path).name for path in facts.cuda_libraries(search)]
    assert names == ["libcudart.so.12", "libcudnn.so"]


def test_prepared_sets_and_their_sizes(tmp_path):
    for folder, lengths in (("casia_b/1.0.0", (3, 4)), ("walkers/w-2/1.1.0", (1, 2))):
        path = tmp_path / folder
        path.mkdir(parents=True)
        for split, n in zip(("train", "test"), lengths, strict=True):
            np.savez(path / f"index_{split}.npz", num_frames=np.ones(n, np.int32))
        (path / "shard").write_bytes(b"x" * 5000)
    (tmp_path / "walkers/w-2/1.1.0/index_test.npz").write_bytes(b"half a file")
    one, two = facts.prepared_sets(tmp_path)
    assert (one.name, one.sequences) == ("casia_b", 7)
    assert one.size == sum(x.stat().st_size for x in one.path.iterdir()) > 5000
    assert (two.name, two.sequences) == ("walkers/w-2", 0)


def test_what_jax_says_is_heard():
    said = []
    with facts.listening(said):
        logging.getLogger("jax._src.xla_bridge").warning("Falling back to %s.", "cpu")
        logging.getLogger("jax._src.xla_bridge").info("starts")
        warnings.warn("plugin of another version\nmore", RuntimeWarning, stacklevel=1)
    assert said == ["Falling back to cpu.", "plugin of another version"]


def test_looking_changes_no_environment(monkeypatch):
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    for before in (None, "true"):
        if before:
            monkeypatch.setenv(name, before)
        with facts.preallocating_nothing():
            assert os.environ[name] == "false"
        assert os.environ.get(name) == before


def test_places_need_not_exist(tmp_path):
    found = facts.place(tmp_path / "a" / "b", with_size=True)
    assert found.free > 0 == found.used
    assert not (tmp_path / "a").exists()


def test_own_bounds_are_those_of_setup_cfg():
    """What the installed package carries, read as the doctor reads it."""
    text = (pathlib.Path(__file__).parents[2] / "setup.cfg").read_text()
    requires = facts.requirements("gaitjax")
    assert any(x.startswith("grain>=") for x in requires)
    assert not any("pytest" in x for x in requires)  # an extra's
    assert all(facts.normal_name(x) in text.lower() for x in requires)
    assert facts.requirements("no-such-package") is None


def test_it_starts_where_windows_lacks_modules():
    code = (
        "import sys; sys.modules.update(fcntl=None, resource=None); "
        "import gaitjax.main, gaitjax.runtime.doctor"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_jax_that_does_not_start(tmp_path):
    """No traceback, and a line with JAX's own reason."""
    done = subprocess.run(
        [sys.executable, "-m", "gaitjax.main", "--mode", "doctor"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "JAX_PLATFORMS": "nowhere",
            "GAITJAX_DATA": str(tmp_path / "data"),
        },
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("  error ")]
    assert "backend: JAX does not start (" in line
    assert "nowhere" in line
    assert "none" in done.stdout.split("prepared data sets")[1].splitlines()[1]
