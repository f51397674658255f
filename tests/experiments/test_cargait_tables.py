"""The tables of the study of CarGait: whose figure lands where."""

import json
import sys

import pytest
import studies

RIVALS = ("kreciprocal", "lbr", "gcr")


@pytest.fixture(scope="module")
def tables():
    return studies.load("cargait", "tables")


def make_record(tables, name, rows, strips=None, **changed):
    """A job of jobs.py. rows: {run: {stage: Rank-1}}; Rank-5 is 10 more."""
    job = next(job for job in tables.jobs() if job.name == name)
    changes, steps, args = tables.asked(job)

    def scores(stages):
        found = {}
        for stage, value in stages.items():
            found[tables.key(job.twin, stage, "rank-1")] = value
            found[tables.key(job.twin, stage, "rank-5")] = value + 10
            # Another protocol, whose condition has the same name.
            found[f"oumvlp_all_views {stage} NM/rank-1"] = 99.0
        return found

    return {
        "name": name,
        "twin": job.twin,
        "backbone": job.backbone,
        "seed": job.seed,
        "ablation": job.ablation,
        "variant": "walkers",
        "changes": changes,
        "steps": steps,
        "args": args,
        "cpu_seconds": 1800,
        "load": 2.0,
        "machine": {"machine": "x86_64", "devices": "1 x cpu"},
        "scores": {row: scores(stages) for row, stages in rows.items()},
        "strips": strips or {},
        **changed,
    }


def main_rows(initial, cargait, extra=None, **depths):
    """The runs of a main job; rivals lose 1, 2 and 3 points."""
    lost = {name: initial - 1 - i for i, name in enumerate(RIVALS)}
    rows = {"cargait": {"initial": initial, "cargait": cargait, **lost}}
    rows["extra"] = {"initial": extra or initial}
    return rows | {"depths": depths}


def made_up_strips(tables, equal, size=2):
    """Matrices with `equal` on the diagonal and zero beside it."""
    matrix = [[equal * (i == j) for j in range(size)] for i in range(size)]
    one = {"equal": equal, "unlike": 0.0, "matrix": matrix}
    return {name: one for name in tables.MATRICES} | {
        "genuine_pairs": 4,
        "impostor_pairs": 6,
    }


@pytest.fixture
def records(tables):
    """Three seeds of one base (out of order), one of another, and its ablation."""
    base = "gaitbase-oumvlp-seed"
    rows = {
        2: main_rows(64.0, 68.0),
        0: main_rows(60.0, 61.0, 60.5, K_3=60.25, K_40=59.0),
        1: main_rows(62.0, 61.0),
    }
    ablated = {"binary": {"cargait": 50.0}, "v_10": {"cargait": 61.5}}
    return [
        *(
            make_record(tables, f"{base}{seed}", one, made_up_strips(tables, 0.5))
            for seed, one in rows.items()
        ),
        make_record(tables, "gaitset-gait3d-seed0", main_rows(30.0, 33.0)),
        make_record(tables, f"{base}0-ablation", ablated),
    ]


def section(tables, records, title):
    """The rows of a section's table, cells by their heads."""
    text = "\n".join(tables.everything(records))
    body = text.split(f"### {title}", 1)[1].split("\n### ", 1)[0]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    split = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert len({len(cells) for cells in split}) == 1  # as many cells as heads
    head, *rows = split
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_main_table_has_every_method_under_its_name(tables, records):
    rank_1, rank_5 = section(tables, records, "Twin of OU-MVLP")
    assert (rank_1["base"], rank_1["seeds"]) == ("GaitBase", "3")
    assert rank_1["initial"] == "62.0 ± 2.0"
    assert rank_1["CarGait"] == "63.3 ± 4.0"
    assert rank_1["k-reciprocal"] == "61.0 ± 2.0"
    assert rank_1["LBR"] == "60.0 ± 2.0"
    assert rank_1["GCR"] == "59.0 ± 2.0"
    assert rank_1["extra training"] == "62.2 ± 1.8"
    assert rank_5["metric"] == "Rank-5" and rank_5["initial"] == "72.0 ± 2.0"


def test_twins_do_not_mix(tables, records):
    rows = section(tables, records, "Twin of Gait3D")
    assert [row["metric"] for row in rows] == ["Rank-1", "Rank-5", "mAP"]
    assert [row["CarGait"] for row in rows] == ["33.0", "43.0", "n/a"]
    assert rows[0]["base"] == "GaitSet"
    assert list(rows[0].values())[-1] == "36.7 / 41.5 / 34.8 / 33.0 / 35.7"


def test_gains_are_of_one_base(tables, records):
    oumvlp, gait3d = section(tables, records, "Rank-1 against the initial list")
    assert oumvlp["CarGait"] == "+1.3 ± 2.5, 2 of 3"
    assert oumvlp["LBR"] == "-2.0 ± 0.0, 0 of 3"
    assert oumvlp["extra training"] == "+0.2 ± 0.3, 1 of 3"
    assert gait3d["CarGait"] == "+3.0 (1 seed)"


def test_bases_outside_the_range_are_counted(tables, records):
    oumvlp, gait3d = section(tables, records, "Bases")
    fits = "Rank-1 in 40 to 90, Rank-5 5 above"
    assert oumvlp[fits] == "3 of 3" and gait3d[fits] == "0 of 1"
    assert oumvlp["Rank-5 less Rank-1"] == "+10.0 ± 0.0, 3 of 3"


def test_ablation_is_of_seed_0(tables, records):
    text = "\n".join(tables.everything(records))
    assert "### Ablation on the twin `oumvlp`, GaitBase (one seed)" in text
    assert "### Ablation on the twin `gait3d`" not in text
    rows = section(tables, records, "Ablation on the twin `oumvlp`")
    found = {row["row, seed 0"]: row for row in rows}
    names = ["initial", "cargait", "extra", "binary", "v_10", "K_3", "K_40"]
    assert list(found) == [f"`{name}`" for name in names]
    assert found["`cargait`"]["Rank-1"] == "61.0"
    change = {name: row["Rank-1 to `cargait`"] for name, row in found.items()}
    assert change["`initial`"] == "-1.0" and change["`cargait`"] == ""
    assert change["`binary`"] == "-11.0" and change["`v_10`"] == "+0.5"
    assert change["`K_3`"] == "-0.8" and change["`K_40`"] == "-2.0"
    assert list(found["`binary`"].values())[-1] == "71.6 / 87.8 / 65.47"


def test_k_curve_ends_and_middle(tables, records):
    assert tables.by_depth(records, "oumvlp", "gaitbase") == {
        1: [60.0, 62.0, 64.0],
        3: [60.25],
        10: [61.0, 61.0, 68.0],
        40: [59.0],
    }


def test_strips(tables, records):
    equal, unlike = section(tables, records, "Parts of the probe")[:2]
    assert equal["genuine, before"] == "0.500 ± 0.000"
    assert unlike["impostor, after"] == "0.000 ± 0.000"


def test_what_is_missing_is_named(tables, records):
    text = "\n".join(tables.everything(records))
    left = text.split("### Not run yet")[1]
    done = {record["name"] for record in records}
    everything = {job.name for job in tables.jobs()}
    assert len(everything) == 20 and done < everything
    assert all((f"`{name}`" in left) == (name not in done) for name in everything)
    assert "Not what jobs.py has" not in text and "mean nothing" not in text


def test_a_job_of_other_steps_is_marked(tables, records):
    other = make_record(
        tables, "gaitset-oumvlp-seed0", main_rows(50.0, 51.0), steps=1, variant="tiny"
    )
    text = "\n".join(tables.everything([*records, other]))
    marked = "**Not what jobs.py has under these names now**: `gaitset-oumvlp-seed0`."
    assert marked in text and "mean nothing" in text


def test_seed_0_of_all_bases_comes_first(tables):
    names = [job.name for job in tables.jobs()]
    assert len(set(names)) == len(names)
    assert all(name.endswith("-seed0") for name in names[:6])
    assert [name for name in names if "ablation" in name] == names[6:8]


def test_plots(tables, records):
    figures = dict(tables.plots(records))
    assert list(figures) == ["depths", "lists", "strips"]
    for figure in figures.values():
        figure.draw_without_rendering()
    left, right = figures["depths"].axes
    assert left.lines[0].get_xydata().tolist() == [
        [1, 62.0],
        [3, 60.25],
        [10, pytest.approx(190 / 3)],
        [40, 59.0],
    ]
    assert right.lines[0].get_xydata().tolist() == [[1, 30.0], [10, 33.0]]
    curve, initial = figures["lists"].axes[0].lines
    assert curve.get_xydata().tolist() == [[10, 61.5], [30, 61.0]]
    assert set(initial.get_ydata()) == {60.0}
    drawn = figures["strips"].axes[0].images[0]
    assert drawn.get_array().tolist() == [[0.5, 0.0], [0.0, 0.5]]
    assert not dict(tables.plots(records[-1:])).keys() & {"depths", "strips"}


def test_command_line(tables, records, tmp_path, monkeypatch, capsys):
    path, runs = tmp_path / "results_x.json", tmp_path / "runs"
    command = ["tables.py", "--results", str(path), "--runs", str(runs)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=r"no finished job in .*; run .*sweep\.py"):
        tables.main()
    path.write_text(json.dumps(records))
    tables.main()
    out = capsys.readouterr().out
    assert "63.3 ± 4.0" in out and "No ranks.png: " in out
    drawn = runs / "gaitbase-gait3d-seed0" / "cargait" / "ranks.png"
    drawn.parent.mkdir(parents=True)
    drawn.write_bytes(b"a picture")
    tables.main()
    assert "No ranks.png" not in capsys.readouterr().out
    pictures = {picture.name for picture in tmp_path.glob("*.png")}
    assert pictures == {"depths_x.png", "lists_x.png", "strips_x.png", "ranks_x.png"}
    assert (tmp_path / "ranks_x.png").read_bytes() == b"a picture"
