"""The study's tables: their arithmetic, and that no figure lands in another's place."""

import json
import sys

import pytest
import studies


@pytest.fixture(scope="module")
def tables():
    return studies.load("diffcrossgait", "tables")


def make_record(tables, row, seed, there, back, *, elevations=(), **changed):
    """A run of jobs.py with these Rank-1 in the two directions, Overall."""
    job = next(x for x in tables.jobs("narrow") if (x.row, x.seed) == (row, seed))
    changes = json.loads(json.dumps(dict(job.changes)))
    lidar = changes.get("method_args.inputs", ["sils", "ranges"])[1]

    def scores(lower):
        return {
            f"euclidean sils>{lidar}/Overall/rank-1": there - lower,
            f"euclidean {lidar}>sils/Overall/rank-1": back - lower,
        }

    return {
        "name": job.name,
        "study": job.study,
        "row": row,
        "seed": seed,
        "scale": "narrow",
        "changes": changes,
        "steps": 500,
        "seconds": 60,
        "load": 2.0,
        "machine": {"machine": "x86_64", "devices": "1 x cpu"},
        "scores": scores(0),
        "elevations": {str(at): scores(at) for at in elevations},
        **changed,
    }


def section(tables, records, title):
    """{first cell: the others} of a section's table."""
    text = "\n".join(tables.everything(records))
    body = text.split(f"### {title}", 1)[1].split("\n### ", 1)[0]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    split = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert len({len(cells) for cells in split}) == 1  # as many cells as heads
    return {cells[0]: cells[1:] for cells in split}


@pytest.fixture
def records(tables):
    """Two rows of three and two seeds (out of order), and rows of one."""
    full = {2: (24.0, 33.0), 0: (20.0, 30.0), 1: (22.0, 30.0)}
    return [
        *(make_record(tables, "full", seed, *pair) for seed, pair in full.items()),
        make_record(tables, "endpoint", 1, 23.0, 20.0),
        make_record(tables, "endpoint", 0, 17.0, 20.0, elevations=(15, 0)),
        make_record(tables, "no_token", 0, 18.5, 31.0),
        make_record(tables, "points", 0, 7.0, 8.0),
    ]


def test_mean_and_deviation(tables):
    assert tables.shown([1.0, 2.0, 6.0]) == "3.0 ± 2.6"  # the root of 14 / 2
    assert tables.shown([4.25]) == "4.2"
    assert tables.shown([]) == "n/a"


def test_gain_counts_what_is_higher(tables):
    assert tables.gain([2.0, 0.0, -1.0]) == "+0.3 ± 1.5, 1 of 3"
    assert tables.gain([-2.0]) == "-2.0 (1 seed)"
    assert tables.gain([]) == "n/a"


def test_pairs_are_of_one_seed(tables, records):
    values = tables.by_seed(records, "full", "sils>ranges")
    assert values == {0: 20.0, 1: 22.0, 2: 24.0}
    assert tables.paired(values, {1: 23.0, 0: 17.0, 5: 0.0}) == [3.0, -1.0]
    assert tables.against(records, "full", "endpoint", "ranges>sils") == [10.0, 10.0]


def test_directions_do_not_mix(tables, records):
    there = section(tables, records, "Rank-1, camera probes, LiDAR gallery")
    back = section(tables, records, "Rank-1, LiDAR probes, camera gallery")
    overall = there["row"].index("Overall")
    assert there["`full`"][0] == "3"
    assert there["`full`"][overall] == "22.0 ± 2.0"
    assert back["`full`"][overall] == "31.0 ± 1.7"
    assert back["`endpoint`"][overall] == "20.0 ± 0.0"
    assert back["`endpoint`"][-1] == "54.7 / 76.5"
    assert there["`endpoint`"][-1] == ""


def test_differences_to_endpoint(tables, records):
    found = section(tables, records, "Rank-1 against `endpoint`")
    assert found["`full`"][:2] == ["+1.0 ± 2.8, 1 of 2", "+10.0 ± 0.0, 2 of 2"]
    assert found["`no_token`"][:2] == ["+1.5 (1 seed)", "+11.0 (1 seed)"]
    assert found["`points`"][:2] == ["-10.0 (1 seed)", "-12.0 (1 seed)"]
    assert "`endpoint`" not in found


def test_one_seed_rows_have_their_own_reference(tables, records):
    found = section(tables, records, "Table 5")
    assert found["`full`"][0] == "20.0 / n/a"
    assert found["`no_token`"][:2] == ["18.5 / n/a", "-1.5"]
    assert found["`no_token`"][4] == "+1.0"
    assert section(tables, records, "Inputs")["`points`"][1] == "-10.0"


def test_elevations_outlive_other_seeds(tables, records):
    assert tables.elevated(records, "sils>ranges") == {
        "endpoint": [(0, 17.0), (15, 2.0)]
    }
    reordered = sorted(records, key=lambda record: record["seed"])
    assert tables.elevated(reordered, "ranges>sils") == {
        "endpoint": [(0, 20.0), (15, 5.0)]
    }


def test_what_is_missing_is_named(tables, records):
    text = "\n".join(tables.everything(records))
    left = text.split("### Not run yet")[1]
    assert "`endpoint-seed2`" in left and "`full-seed2`" not in left
    assert "### Table 7" not in text and "`heavy-seed0`" in left
    assert "Not what jobs.py has" not in text
    everything = {job.name for job in tables.jobs("narrow")}
    done = {record["name"] for record in records}
    assert all((f"`{name}`" in left) == (name not in done) for name in everything)


def test_a_run_of_other_changes_is_marked(tables, records):
    changed = make_record(tables, "heavy", 0, 1.0, 1.0, changes={"method_args.x": 1})
    text = "\n".join(tables.everything([*records, changed]))
    assert "**Not what jobs.py has under these names now**: `heavy-seed0`." in text


def test_plots_show_every_row_there_is(tables, records):
    figures = dict(tables.plots(records))
    assert list(figures) == ["phases", "singles", "elevation"]
    for figure in figures.values():
        figure.draw_without_rendering()
    names = [label.get_text() for label in figures["phases"].axes[0].get_yticklabels()]
    assert names == ["endpoint", "full"]
    dots = [
        x.get_offsets()[:, 0].tolist() for x in figures["phases"].axes[0].collections
    ]
    assert dots == [[17.0, 23.0], [20.0, 22.0, 24.0]]
    (dot,) = figures["singles"].axes[1].collections
    assert dot.get_offsets().tolist() == [[1.0, 0.0]]
    assert not dict(tables.plots(records[-1:]))


def test_command_line(tables, records, tmp_path, monkeypatch, capsys):
    path = tmp_path / "results_full.json"
    monkeypatch.setattr(sys, "argv", ["tables.py", "--results", str(path)])
    with pytest.raises(SystemExit, match=r"no finished run in .*; run .*sweep\.py"):
        tables.main()
    path.write_text(json.dumps(records))
    tables.main()
    assert "22.0 ± 2.0" in capsys.readouterr().out
    pictures = {picture.name for picture in tmp_path.glob("*.png")}
    assert pictures == {"phases_full.png", "singles_full.png", "elevation_full.png"}
