import json

import pytest

from amrbench.errors import RunError
from amrbench.evaluation.analysis import analyze
from amrbench.evaluation.analysis_tables import analysis_text
from amrbench.files.annotations import write_annotations
from amrbench.files.predictions import write_predictions
from amrbench.types import Query
from tests.core.functional.samples import moments
from tests.small_world.written_runs import poor_and_good


def tables_of(text):
    """Return rows of cells of each table of a Markdown text, by the sentence above it."""
    blocks = text.split("\n\n")
    return {
        heading.splitlines()[-1]: [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in table.splitlines()
            if not line.startswith("|-")
        ]
        for heading, table in zip(blocks[::2], blocks[1::2], strict=True)
    }


@pytest.fixture
def text(tmp_path):
    """Return the tables of two small prediction files."""
    truth = [
        Query("a", "x", "v", 60.0, ((10, 20),), {"kind": "dog"}),
        Query("b", "y", "w", 90.0, ((0, 4), (50, 58)), {"kind": "cat"}),
    ]
    write_annotations(tmp_path / "truth.jsonl", truth)
    one = [moments("a", [(12, 22), (30, 31)], [0.9, 0.5]), moments("b", [(20, 30), (0, 4)], [0.8, 0.2])]
    two = [moments("a", [(10, 20), (10, 20)]), moments("b", [(51, 58)])]
    for name, rows in (("one", one), ("two", two)):
        for row in rows:
            object.__setattr__(row, "vid", {"a": "v", "b": "w"}[row.qid])
        write_predictions(tmp_path / f"{name}.jsonl", rows)
    analysis = analyze([tmp_path / "one.jsonl", tmp_path / "two.jsonl"], truth=tmp_path / "truth.jsonl")
    return analysis_text(analysis)


def test_the_tables_say_what_was_computed(text):
    tables = tables_of(text)
    assert [title.partition(":")[0] for title in tables] == [
        "Oracle",
        "Ceiling",
        "Errors of the best of the first k moments, where it overlaps a window; positive",
        "Duplicates among the first 5 moments",
        "Calibration",
        "Metrics of groups of queries, percent.",
        "Queries that one system answers and another does not; difference of first and second in points.",
    ]
    oracle, ceiling, errors, duplicates, calibration, groups, disagreements = tables.values()
    assert oracle[0] == ["recipe", "member", "k", "mean IoU", "IoU 0.5", "IoU 0.7"]
    assert oracle[1:3] == [
        ["one.jsonl", "predictions", "1", "33.33", "50.00", "0.00"],
        ["one.jsonl", "predictions", "2", "83.33", "100.00", "50.00"],
    ]
    assert ceiling[1] == ["1", "100.00", "100.00", "100.00", "two.jsonl, predictions"]
    assert ceiling[2] == ["2", "100.00", "100.00", "100.00", "one.jsonl, predictions"]
    assert errors[1] == [
        "one.jsonl",
        "predictions",
        "1",
        "50.00",
        "centre, s",
        "2.00",
        "2.00",
        "2.00",
        "2.00",
    ]
    assert errors[3][4:] == ["centre, % of the window", "20.00", "20.00", "20.00", "20.00"]
    assert duplicates[1:] == [
        ["one.jsonl", "predictions", "2.00", "2.00", "0.00", "0.00"],
        ["two.jsonl", "predictions", "1.50", "1.00", "0.50", "50.00"],
    ]
    assert calibration[1:] == [
        ["one.jsonl", "predictions", "0.5", "85.00", "50.00", "45.00"],
        ["one.jsonl", "predictions", "0.7", "85.00", "0.00", "85.00"],
    ]
    assert groups[0][:6] == ["by", "value", "queries", "recordings", "recipe", "member"]
    assert groups[0][6:] == ["R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP"]
    assert [
        "kind",
        "cat",
        "1",
        "1",
        "one.jsonl",
        "predictions",
        "0.00",
        "0.00",
        "100.00",
        "100.00",
        "25.00",
    ] in groups
    assert disagreements[1][:7] == [
        "two.jsonl, predictions",
        "one.jsonl, predictions",
        "R1@0.5",
        "1",
        "1",
        "0",
        "0",
    ]
    assert disagreements[1][7:9] == ["+50.00", "[+0.00, +100.00]"]


def test_the_notes_stand_above_the_first_table(text):
    assert text.splitlines()[:3] == [
        "2 queries, 2 recordings.",
        "Recordings: only 2, so the interval is too narrow (docs/comparing.md).",
        "Oracle: percent of the queries with a hit if the best of the first k moments were known.",
    ]


def test_errors_of_moments_that_never_overlap_are_left_blank(tmp_path):
    write_annotations(tmp_path / "truth.jsonl", [Query("a", "x", "v", 60.0, ((10, 20),))])
    write_predictions(tmp_path / "one.jsonl", [moments("a", [(30, 40)])])
    tables = tables_of(analysis_text(analyze([tmp_path / "one.jsonl"], truth=tmp_path / "truth.jsonl")))
    rows = next(rows for title, rows in tables.items() if title.startswith("Errors"))
    assert rows[1] == ["one.jsonl", "predictions", "1", "0.00", "centre, s", "", "", "", ""]
    assert not any(title.startswith(("Calibration", "Queries")) for title in tables)


def test_systems_whose_annotations_make_other_groups_share_a_table(tmp_path):
    run, _ = poor_and_good(tmp_path)
    rows = [json.loads(line) for line in (run / "annotations.test.jsonl").read_text().splitlines()]
    truth = tmp_path / "truth.jsonl"
    truth.write_text("".join(json.dumps(row | {"kind": row["vid"][-1]}) + "\n" for row in rows))
    (tmp_path / "file.jsonl").write_bytes((run / "predictions/seed-0.test.jsonl").read_bytes())
    tables = tables_of(analysis_text(analyze([run, tmp_path / "file.jsonl"], truth=truth)))
    groups = tables["Metrics of groups of queries, percent."]
    assert [row[0] for row in groups[1:]] == ["mean window, s"] * 2 + ["windows"] * 2 + ["recording, s"] * 2
    assert [row[4] for row in groups[1:]] == ["poor", "file.jsonl"] * 3


def test_other_formats_have_the_same_tables(tmp_path):
    analysis = analyze(poor_and_good(tmp_path))
    lines = analysis_text(analysis, "tsv").splitlines()
    assert lines[0] == "# Protocol tiny: For tests."
    assert sum(line.startswith("# ") for line in lines) == 3 + 7
    assert "\\hline" in analysis_text(analysis, "latex")
    with pytest.raises(RunError, match="there is no table format 'html'"):
        analysis_text(analysis, "html")
