"""The command line: bad input is one clear line, and loses nothing."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from orbax.checkpoint import CheckpointManager

from configs import casia_b
from configs import walkers as walkers_config
from gaitjax import arguments, main
from gaitjax.errors import GaitError
from gaitjax.evaluate import evaluate_run, extract_run
from gaitjax.run import check_config, open_run, restore_or_init
from gaitjax.runtime import mesh, workdir
from gaitjax.train import train


def type_in(*words, **env):
    """Runs the command line; (exit code, what it says on stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "gaitjax.main", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    return done.returncode, done.stderr


TINY = ("--config", "configs/walkers.py:tiny")
MISTAKES = {
    "unknown key": (
        (*TINY, "--config.optim.lrr=1"),
        "unknown key optim.lrr; did you mean optim.lr?",
    ),
    "unknown section": (
        (*TINY, "--config.optm.lr=1"),
        "unknown key optm.lr; did you mean optim.lr?",
    ),
    "wrong type": ((*TINY, "--config.optim.lr=fast"), "could not convert string"),
    "no such file": (
        ("--config", "configs/walker.py"),
        "there is no config file configs/walker.py; configs has casia_b.py",
    ),
    "no such device": ((*TINY, "--device", "gpu"), "no gpu device: "),
    "no such variant": (
        ("--config", "configs/walkers.py:tinny"),
        "unknown variant of walkers tinny; did you mean tiny?",
    ),
    "no config": ((), "--config is missing"),
    "unknown flag": ((*TINY, "--wrkdir=x"), "'wrkdir'"),
    "no such mode": ((*TINY, "--mode", "trian"), "trian"),
    "not a folder": ((*TINY, "--workdir", "setup.cfg"), "is not a directory"),
    "set not prepared": (
        ("--config", "configs/casia_b.py"),
        "casia_b is not prepared in",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_line_and_no_traceback(mistake, tmp_path):
    words, expected = MISTAKES[mistake]
    code, said = type_in(*words)
    assert code not in (0, None)
    assert "Traceback" not in said
    (line,) = [x for x in said.splitlines() if x.startswith("error: ")]
    assert expected in line, said


def test_doctor_prints_its_sections_and_needs_no_config(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gaitjax.main", "--mode", "doctor", "--device", "cpu"],
        capture_output=True,
        text=True,
        env={**os.environ, "GAITJAX_DATA": str(tmp_path)},
    )
    said = done.stdout.splitlines()
    for section in ("versions", "rates", "places", "prepared data sets", "checks"):
        assert section in said
    assert f"  data                   {tmp_path}, " in done.stdout
    for words in ("backend: cpu", "matrix product bf16", "GFLOP/s", "GB/s", "jaxlib"):
        assert words in done.stdout
    levels = [line.split()[0] for line in said[said.index("checks") + 1 : -2]]
    assert len(levels) == 18
    assert set(levels) <= {"ok", "warning", "error"}
    assert done.returncode == ("error" in levels)
    assert not list(tmp_path.iterdir())  # looking leaves nothing


def refused(config, tmp_path, **kwargs):
    with pytest.raises(GaitError) as refusal:
        open_run(config, tmp_path / "run", num_devices=1, **kwargs)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_wrong_values_in_a_config(tiny_config, tmp_path):
    def with_value(section, key, value):
        config = {**tiny_config, section: {**tiny_config[section], key: value}}
        return refused(config, tmp_path)

    assert "unknown key data.frame; did you mean data.frames?" in with_value(
        "data", "frame", 3
    )
    assert "optim.lr: expected float, got 'x' (str)" in with_value("optim", "lr", "x")
    assert "expected 'sgd' or 'adam' or 'adamw'" in with_value("optim", "name", "lion")
    assert "expected 1 <= frames <= frames_max" in with_value("data", "frames", 0)
    assert "data.val is a share" in with_value("data", "val", 1.5)
    for section, key, value in (
        ("data", "k", 0),
        ("data", "workers", -1),
        ("eval", "batch", 0),
        ("eval", "buckets", 0),
        ("ckpt", "keep", 0),
        ("ckpt", "every", 0),
        ("log", "every", 0),
        ("train", "steps", 0),
        ("optim", "hold", 0),
    ):
        message = with_value(section, key, value)
        assert message.startswith(f"{section}.{key}: expected at least ")
    message = with_value("data", "p", 7)
    assert "wants 7 identities, the training set has 6" in message
    assert "lower data.p to at most 6" in message
    assert "unknown walkers set" not in message
    assert "no parameter matches ['encoder']" in with_value(
        "optim", "groups", (("encoder", 0.1, 1.0),)
    )


def test_unknown_names_list_what_exists(tiny_config, tmp_path):
    config = {**tiny_config, "method": "supervisd"}
    assert "did you mean supervised?" in refused(config, tmp_path)
    config = {**tiny_config, "method": "xyz"}
    assert "there are: cargait, crossmodal, diffcrossgait" in refused(config, tmp_path)
    config = {**tiny_config, "method": "nowhere.at_all"}
    assert "no module nowhere" in refused(config, tmp_path)
    args = {**tiny_config["method_args"], "backbone": "gaitbas"}
    config = {**tiny_config, "method_args": args}
    assert "did you mean gaitbase?" in refused(config, tmp_path)
    args = {**tiny_config["method_args"], "inputs": ("ranges",)}
    config = {**tiny_config, "method_args": args}
    assert "method_args.inputs=ranges, but the data has sils" in refused(
        config, tmp_path
    )
    args = {**tiny_config["method_args"], "downsample": 3}
    config = {**tiny_config, "method_args": args}
    assert "does not divide sils of 64 x 44" in refused(config, tmp_path)
    backbone = {**tiny_config["method_args"]["backbone_args"], "bins": (15,)}
    args = {**tiny_config["method_args"], "backbone_args": backbone}
    config = {**tiny_config, "method_args": args}
    assert "cannot be cut into 15 equal strips" in refused(config, tmp_path)
    backbone = {**backbone, "channels": (4, 8)}
    args = {**tiny_config["method_args"], "backbone_args": backbone}
    config = {**tiny_config, "method_args": args}
    assert "2 channels and 3 strides" in refused(config, tmp_path)
    config = {**tiny_config, "optimizer": {}}
    assert "unknown config section optimizer; did you mean optim?" in refused(
        config, tmp_path
    )


def test_batch_that_does_not_split(tiny_config, tmp_path):
    tiny_config["data"].update(p=3, k=2)
    with pytest.raises(GaitError, match="6 sequences do not split over 4 devices; set"):
        open_run(tiny_config, tmp_path, num_devices=4)


@pytest.fixture(scope="module")
def done(_tiny_config, tmp_path_factory):
    """A finished run that the tests below must leave as it is."""
    folder = tmp_path_factory.mktemp("run")
    train(_tiny_config, folder, num_devices=1)
    return folder


def snapshot(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_workdir_of_another_config_is_refused_and_kept(done, tiny_config):
    before = snapshot(done)
    tiny_config["optim"]["lr"] = 0.5
    tiny_config["data"]["p"] = 2
    with pytest.raises(GaitError) as refusal:
        train(tiny_config, done, num_devices=1)
    assert "data.p (4 there, 2 here), optim.lr (0.003 there, 0.5 here)" in str(
        refusal.value
    )
    assert snapshot(done) == before


def test_what_is_said_about_looking_may_differ(done, tiny_config):
    tiny_config["eval"]["batch"] = 5
    tiny_config["data"]["workers"] = 3
    state, _ = restore_or_init(open_run(tiny_config, done, num_devices=1))
    assert int(state.step) == 8


def test_config_is_known_without_its_file(done, tiny_config, tmp_path):
    """A lost config.json neither opens the run to others nor is replaced by theirs."""
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    tiny_config["train"]["seed"] = 9
    with pytest.raises(GaitError, match=r"train\.seed \(0 there, 9 here\)"):
        train(tiny_config, tmp_path / "run", num_devices=1)
    assert not (tmp_path / "run" / "config.json").exists()


def test_checkpoint_of_another_network(done, tiny_config, tmp_path):
    saved = open_run(tiny_config, done, num_devices=1).checkpoints
    other = json.loads(json.dumps(tiny_config))
    other["method_args"]["backbone_args"]["features"] = 12
    like = open_run(other, tmp_path / "a", num_devices=1).like
    with pytest.raises(GaitError, match="checkpoint of another network: .*fcs/kernel"):
        saved.restore(8, like)
    tiny_config["data"]["val"] = 0.17
    like = open_run(tiny_config, tmp_path / "b", num_devices=1).like
    with pytest.raises(GaitError, match="another number of classes: .*16x8x6 there"):
        saved.restore_model(8, like)


def test_two_runs_on_one_workdir(tiny_config, tmp_path):
    with (
        workdir.lock_workdir(tmp_path),
        pytest.raises(GaitError, match="another run is training in"),
    ):
        train(tiny_config, tmp_path, num_devices=1)


def test_results_that_are_gone_or_of_other_options_are_made_again(
    done, tiny_config, tmp_path
):
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    train(tiny_config, tmp_path / "run", num_devices=1)
    assert (tmp_path / "run" / "results.json").exists()
    tiny_config["eval"]["distances"] = ("cosine",)
    train(tiny_config, tmp_path / "run", num_devices=1)
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert {row["distance"] for row in rows} == {"cosine"}


def test_config_files_that_do_not_work(tmp_path):
    for text, expected in (
        ("def get_config(:", "SyntaxError"),
        ("x = 1", "KeyError: 'get_config'"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("def get_config(v=None): return None", "AttributeError"),
    ):
        path = tmp_path / "with space" / "broken.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        words = ["gaitjax", "--config", str(path)]
        line = main.explain(words, OSError("what config_flags says"))
        assert line.startswith(f"config file {path} does not work: ")
        assert expected in line


def test_modes_that_need_a_run(done, tiny_config, tmp_path, capsys):
    for mode in (evaluate_run, extract_run):
        with pytest.raises(GaitError, match="holds no run; train one there first"):
            mode(tiny_config, tmp_path / "empty", num_devices=1)
    results = (done / "results.json").read_bytes()
    evaluate_run(tiny_config, done, num_devices=1)
    assert (done / "results.json").read_bytes() == results
    extract_run(tiny_config, done, num_devices=1)
    assert "sils [220, 16, 8]" in capsys.readouterr().out
    tiny_config["eval"]["split"] = "val"
    with pytest.raises(GaitError, match="data.val is 0"):
        open_run(tiny_config, done, num_devices=1)


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write all
    with pytest.raises(GaitError, match="is not writable; choose another"):
        workdir.open_workdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(GaitError, match="cannot make --workdir .*: Not a directory"):
        workdir.open_workdir(tmp_path / "file" / "run")


def test_full_disk(tmp_path, monkeypatch):
    full = shutil._ntuple_diskusage(100 << 30, 100 << 30, 1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(GaitError, match="has 1 MiB left"):
        workdir.open_workdir(tmp_path)


def test_disk_that_fills_up_while_saving_keeps_the_last_checkpoint(
    tiny_config, tmp_path, monkeypatch
):
    """The save of step 6 fails; that of step 3 is there, and the run goes on."""
    original = CheckpointManager.save

    def save(self, step, *args, **kwargs):
        if step == 6:
            self.wait_until_finished()
            raise OSError(28, "No space left on device")
        return original(self, step, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointManager, "save", save)
        with pytest.raises(GaitError, match="No space left on device; step 3 is safe"):
            train(tiny_config, tmp_path, num_devices=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["3"]
    assert int(train(tiny_config, tmp_path, num_devices=1).step) == 8


def test_gpu_that_jax_cannot_use(monkeypatch):
    mesh.make_mesh()  # JAX itself looks for devices with glob when it starts
    monkeypatch.setattr(mesh.glob, "glob", lambda pattern: ["/dev/nvidia0"])
    with pytest.raises(GaitError, match="or run with --device cpu"):
        mesh.check_device(None)
    mesh.check_device("cpu")


def test_published_recipe_is_complete():
    config = casia_b.get_config().to_dict()
    check_config(config)
    assert config["data"]["p"] * config["data"]["k"] == 128
    assert config["optim"]["milestones"] == (20_000, 40_000, 50_000)
    for variant in (None, "tiny"):
        check_config(walkers_config.get_config(variant).to_dict())


def test_check_explains_types():
    def fn(*, a: int, b: float | None = None, c: tuple[int, ...] = (), d: bool = True):
        del a, b, c, d

    arguments.check(fn, {"a": 1, "b": 2, "c": [1, 2], "d": False}, "x")
    for given, message in (
        ({}, "x.a is missing"),
        ({"a": True}, "x.a: expected int, got True"),
        ({"a": 1, "b": "2"}, "x.b: expected float or None, got '2'"),
        ({"a": 1, "c": (1.5,)}, "x.c: expected tuple"),
        ({"a": 1, "d": 1}, "x.d: expected bool"),
        ({"a": 1, "zz": 1}, "unknown key x.zz; there are: x.a, x.b, x.c, x.d"),
    ):
        with pytest.raises(GaitError) as refusal:
            arguments.check(fn, given, "x")
        assert message in str(refusal.value)
