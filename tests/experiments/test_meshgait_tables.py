"""The tables of the study of Mesh-Gait: whose figure lands where."""

import json
import sys

import pytest
import studies


@pytest.fixture(scope="module")
def tables():
    return studies.load("meshgait", "tables")


def make_record(tables, row, seed, first, joints=None, **changed):
    """A run of jobs.py: Rank-1 is `first`, Rank-5 ten more, mAP half of it."""
    job = next(x for x in tables.jobs() if (x.row, x.seed) == (row, seed))
    errors = {}
    if joints is not None:
        views = {"all": joints, "000": joints + 10, "090": joints - 10}
        errors = {"joints": views, "vertices": {"all": 2 * joints}}
    training = {"NM/rank-1": [[200, first / 2], [600, first]]}
    if joints is not None:
        training["joints/error_mm"] = [[25, 4 * joints], [600, joints]]
    return {
        "name": job.name,
        "study": job.study,
        "row": row,
        "seed": seed,
        "twin": job.twin,
        "variant": "walkers",
        "changes": json.loads(json.dumps(dict(job.changes))),
        "steps": 600,
        "cpu_seconds": 1800,
        "load": 2.0,
        "machine": {"machine": "x86_64", "devices": "1 x cpu"},
        "scores": scores_of(tables, job.twin, first),
        "views": {"000": first - 5, "090": first + 5, "180": first - 7},
        "errors": errors,
        "training": training,
        "changed": {},
        "elsewhere": {},
        **changed,
    }


def scores_of(tables, twin, first):
    headline = tables.HEADLINE[twin]
    return {
        f"{headline}/rank-1": first,
        f"{headline}/rank-5": first + 10,
        tables.PRECISION[twin]: first / 2,
        # Another protocol, whose condition has the same name.
        "oumvlp_all_views NM/rank-1": 99.0,
    }


@pytest.fixture
def records(tables):
    """Rows of three, two and one seeds, out of order."""
    looks = {
        "noise 0.1": {"NM/rank-1": 20.0, "NM/mAP": 1.0},
        "noise 0.02": {"NM/rank-1": 30.0},
        "occlusion 0.375": {"NM/rank-1": 7.0},
        "frames 5": {"NM/rank-1": 31.0},
    }
    there = scores_of(tables, "gait3d", 16.0)
    extra = {"changed": looks, "elsewhere": there}
    back = {"elsewhere": scores_of(tables, "oumvlp", 21.0)}
    return [
        make_record(tables, "concat", 2, 44.0, 60.0),
        make_record(tables, "concat", 0, 40.0, 50.0, **extra),
        make_record(tables, "concat", 1, 42.0, 40.0),
        make_record(tables, "2d", 1, 45.0),
        make_record(tables, "2d", 0, 38.0),
        make_record(tables, "unsupervised", 0, 36.0),
        make_record(tables, "labelled_05", 0, 39.0, 80.0),
        make_record(tables, "margin_0.4", 0, 43.0, 55.0),
        make_record(tables, "gait3d_concat", 0, 30.0, 70.0, **back),
    ]


def section(tables, records, title):
    """{first cell: {head: cell}} of a section's table."""
    text = "\n".join(tables.everything(records))
    body = text.split(f"### {title}", 1)[1].split("\n### ", 1)[0]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    split = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert len({len(cells) for cells in split}) == 1  # as many cells as heads
    head, *rows = split
    return {cells[0]: dict(zip(head, cells, strict=True)) for cells in rows}


def test_main_rows(tables, records):
    found = section(tables, records, "Main rows")
    assert list(found) == ["`2d`", "`concat`", "`unsupervised`"]
    row = found["`concat`"]
    assert (row["seeds"], row["Rank-1"]) == ("3", "42.0 ± 2.0")
    assert (row["Rank-5"], row["mAP"]) == ("52.0 ± 2.0", "21.0 ± 1.0")
    assert row["joints, mm"] == "50.0 ± 10.0" and row["vertices, mm"] == "100.0 ± 20.0"
    assert found["`2d`"]["joints, mm"] == "n/a"


def test_differences_are_of_one_seed(tables, records):
    found = section(tables, records, "Rank-1 against others")
    assert found["`concat`"]["to `2d`"] == "-0.5 ± 3.5, 1 of 2"
    assert found["`concat`"]["to `unsupervised`"] == "+4.0 (1 seed)"
    assert found["`concat`"]["to `concat`"] == ""
    assert found["`2d`"]["to `concat`"] == "+0.5 ± 3.5, 1 of 2"


def test_curves_over_training_are_means(tables, records):
    assert tables.curve(records, "concat", "joints/error_mm") == [
        (25, 200.0),
        (600, 50.0),
    ]
    assert tables.curve(records, "2d", "joints/error_mm") == []
    text = "\n".join(tables.everything(records))
    assert "| `concat` | joints, mm | 25: 200.0, 600: 50.0 |" in text
    assert "| `2d` | Rank-1 | 200: 20.8, 600: 41.5 |" in text


def test_worst_views(tables, records):
    ranks = section(tables, records, "By the probe's view: Rank-1")
    assert ranks["`concat`"]["180°"] == "35.0" and ranks["`concat`"]["worst"] == "180"
    joints = section(tables, records, "By the probe's view: joints")
    assert joints["`concat`"]["0°"] == "60.0" and joints["`concat`"]["worst"] == "000"
    assert joints["`concat`"]["180°"] == "n/a" and "`2d`" not in joints


def test_one_seed_rows(tables, records):
    found = section(tables, records, "Labels (1 seed)")
    names = ["`concat` (all sequences)", "`unsupervised` (none)", "`labelled_05`"]
    assert list(found) == names
    change = {name: row["to `concat`"] for name, row in found.items()}
    assert list(change.values()) == ["", "-4.0", "-1.0"]
    assert found["`labelled_05`"]["joints, mm"] == "80.0"
    margin = section(tables, records, "Margin (1 seed)")
    assert margin["`margin_0.4`"]["to `concat`"] == "+3.0"
    assert "### Weights" not in "\n".join(tables.everything(records))


def test_twins_do_not_mix(tables, records):
    text = "\n".join(tables.everything(records))
    assert "| `concat` | oumvlp | 40.0 / 20.0 | 16.0 / 8.0 |" in text
    assert "| `concat` | gait3d | 21.0 / 10.5 | 30.0 / 15.0 |" in text


def test_changed_clips_start_with_the_clean_figure(tables, records):
    assert tables.changed_curves(records, "noise") == {
        "concat": [(0.0, 40.0), (0.02, 30.0), (0.1, 20.0)]
    }
    found = section(tables, records, "Rank-1 with occlusion")
    assert found["`concat`"]["0"] == "40.0" and found["`concat`"]["0.375"] == "7.0"
    assert found["`concat`"]["0.125"] == "n/a"
    lengths = section(tables, records, "Rank-1 with as many frames")["`concat`"]
    assert lengths["5"] == "31.0" and lengths["50"] == "n/a" and "0" not in lengths


def test_what_is_missing_is_named(tables, records):
    text = "\n".join(tables.everything(records))
    left = text.split("### Not run yet")[1]
    done = {record["name"] for record in records}
    for job in tables.jobs():
        assert (f"`{job.name}`" in left) == (job.name not in done)
    assert "Not what jobs.py has" not in text
    changed = make_record(tables, "alpha_5", 0, 1.0, changes={"method_args.alpha": 6.0})
    text = "\n".join(tables.everything([*records, changed]))
    assert "**Not what jobs.py has under these names now**: `alpha_5-seed0`." in text


def test_plots_show_what_there_is(tables, records):
    figures = dict(tables.plots(records))
    assert list(figures) == ["main", "training", "views", "changed", "singles"]
    for figure in figures.values():
        figure.draw_without_rendering()
    dots = [x.get_offsets()[:, 0].tolist() for x in figures["main"].axes[0].collections]
    assert dots == [[38.0, 45.0], [40.0, 42.0, 44.0], [36.0]]
    dots = [x.get_offsets().tolist() for x in figures["singles"].axes[0].collections]
    assert dots == [[[-1.0, 0.0]], [[3.0, 1.0]]]
    assert not dict(tables.plots(records[-1:]))


def test_command_line(tables, records, tmp_path, monkeypatch, capsys):
    path = tmp_path / "results_tiny.json"
    monkeypatch.setattr(sys, "argv", ["tables.py", "--results", str(path)])
    with pytest.raises(SystemExit, match=r"no finished run in .*; run .*sweep\.py"):
        tables.main()
    path.write_text(json.dumps(records))
    tables.main()
    assert "42.0 ± 2.0" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*_tiny.png"))) == 5
