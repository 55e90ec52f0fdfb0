import json

import pytest

from amrbench.errors import RunError
from amrbench.evaluation.metrics_file import Results, Row, Slice, read_results, write_results
from tests.folders import DATA

LAYOUT_1 = DATA / "results" / "metrics-1.json"


def results(**options) -> Results:
    row = Row(
        member="seed 0",
        kind="seed",
        split="test",
        queries=3,
        metrics={"R1@0.5": 100 / 3},
        slices={"kind": (Slice(value="late", queries=1, metrics={"R1@0.5": 0.1 + 0.2}),)},
        predictions="predictions/seed-0.test.jsonl",
    )
    plain = {"recipe": "toy", "protocol": "tiny", "hash": "a" * 24, "conditions": "b", "versions": {}}
    return Results(**plain | {"rows": (row,)} | options)


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    write_results(tmp_path, results())
    assert read_results(tmp_path) == read_results(tmp_path / "metrics.json") == results()


def test_files_of_every_layout_can_still_be_read():
    read = read_results(LAYOUT_1)
    assert read.layout == 1
    assert read.row("mean").metrics["R1@0.7"] == 37.5


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"there is no finished run \(metrics.json is missing\)"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("{", "the file: Invalid JSON"),
        ('{"layout": 2}', "layout: "),
        (json.dumps({"recipe": "x", "surprise": 1}), "protocol: "),
        (
            results().model_copy(update={"rows": ()}).model_dump_json(),
            "rows: Tuple should have at least 1 item",
        ),
    ],
)
def test_a_file_that_no_run_wrote_is_refused_by_key(tmp_path, content, key):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(RunError, match=rf"not the results of a run \({key}.*Move the folder away"):
        read_results(tmp_path)


def test_a_run_without_metrics_is_refused_where_they_are_needed():
    unscored = results(rows=(results().rows[0].model_copy(update={"metrics": {}}),))
    assert not unscored.scored
    assert results().scored
    with pytest.raises(RunError) as error:
        unscored.refuse_unscored("compared")
    assert str(error.value) == (
        "the run of 'toy' under 'tiny' has predictions only, so it cannot be compared: the ground truth of "
        "split 'test' is not public. Use a protocol that reports another split."
    )
    results().refuse_unscored("compared")
