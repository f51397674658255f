"""Every golden file is loaded by some test, and says where it comes from."""

import golden
import pytest

FILES = sorted(
    path.relative_to(golden.ROOT).with_suffix("").as_posix()
    for path in golden.ROOT.rglob("*")
    if path.suffix in (".npz", ".json")
)


@pytest.fixture(scope="module")
def sources():
    tests = golden.ROOT.parent.rglob("test_*.py")
    return "\n".join(path.read_text() for path in tests if path.name != __file__)


@pytest.mark.parametrize("name", sorted(set(FILES)))
def test_golden_is_loaded_by_a_test(name, sources):
    # A test that loads a file names it; nothing lists the folder.
    assert f'"{name}"' in sources


def test_provenance_note():
    note = (golden.ROOT / "README.md").read_text()
    assert "0efafd4" in note and "OpenGait" in note


def test_weight_rule_gives_the_recorded_numbers():
    """`state_dict` compares check sums; here the first two values, by eye."""
    spec = golden.load_json("inputs")
    assert spec["seed"] == 20240
    entry = golden.load_json("gaitbase")["state_dict"]["FCs.fc_bin"]
    values = golden.weight("FCs.fc_bin", tuple(entry["shape"])).reshape(-1)[:2]
    assert values.tolist() == entry["first"]
