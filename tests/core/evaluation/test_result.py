import json
import os
from pathlib import Path

import pytest

from amrbench.errors import RunError
from amrbench.evaluation.result import Result, Row, Slice, StageRecord, read_record, read_result, write_result
from tests.small_world.runs import seal
from tests.small_world.written_runs import made_up_result, stage_record


def result(rows=None, **options) -> Result:
    row = Row(
        member="seed 0",
        kind="seed",
        split="test",
        queries=3,
        metrics={"R1@0.5": 100 / 3},
        slices={"kind": (Slice(value="late", queries=1, metrics={"R1@0.5": 0.1 + 0.2}),)},
        predictions="predictions/seed-0.test.jsonl",
    )
    return made_up_result("toy", rows or (row,), features={"use": "mini"}, **options)


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    write_result(tmp_path, result())
    assert read_result(tmp_path) == read_result(tmp_path / "result.json") == result()


def refused(path):
    with pytest.raises(RunError) as error:
        read_result(path)
    return str(error.value)


RUN_FIRST = "There is none in 'runs' either: run a recipe first ('amrbench run recipes/ours3.yaml')."


def test_what_is_no_finished_run_is_refused_with_the_way_to_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").touch()
    Path("folder").mkdir()
    assert refused(Path("a.yaml")) == f"a.yaml: is a file. Name the folder of a run. {RUN_FIRST}"
    assert refused(Path("cgdetr")) == (
        f"cgdetr: there is no finished run (no such file or folder). {RUN_FIRST}"
    )
    assert (
        refused(Path("folder")) == f"folder: there is no finished run (result.json is missing). {RUN_FIRST}"
    )
    for age, name in enumerate(["new", "old"]):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write_result(tmp_path / "runs" / name, result())
        os.utime(tmp_path / "runs" / name / "result.json", (1e9 - age, 1e9 - age))
    known = "Finished runs: 'runs/new', 'runs/old'."
    assert refused(Path("a.yaml")) == f"a.yaml: is a file. Name the folder of a run. {known}"
    assert refused(Path("cgdetr")) == f"cgdetr: there is no finished run (no such file or folder). {known}"


def test_a_folder_without_checksums_is_no_finished_run(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    assert refused(tmp_path) == (
        f"{tmp_path}: is no finished run: SHA256SUMS is missing, which a run writes last. Run the recipe "
        "again; finished stages are kept."
    )


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("{", "the file: Invalid JSON"),
        ('{"version": 2}', "version: "),
        (json.dumps({"recipe": "x", "surprise": 1}), "recipe: "),
        (
            result().model_copy(update={"rows": ()}).model_dump_json(),
            "rows: Tuple should have at least 1 item",
        ),
    ],
)
def test_a_file_that_no_run_wrote_is_refused_by_key(tmp_path, content, key):
    (tmp_path / "result.json").write_text(content)
    seal(tmp_path)
    with pytest.raises(RunError, match=rf"not the result of a run \({key}.*Move the folder away"):
        read_result(tmp_path)


def test_a_run_without_metrics_is_refused_where_they_are_needed():
    unscored = result(rows=(result().rows[0].model_copy(update={"metrics": {}}),))
    assert not unscored.scored
    assert result().scored
    with pytest.raises(RunError) as error:
        unscored.refuse_unscored("compared")
    assert str(error.value) == (
        "the run of 'toy' under 'tiny' has predictions only, so it cannot be compared: the ground truth of "
        "split 'test' is not public. Use a protocol that reports another split."
    )
    result().refuse_unscored("compared")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(RunError) as error:
        read_record(tmp_path, StageRecord, what="the record of a trained stage", remedy="run it again")
    assert str(error.value) == f"{tmp_path}: cannot be read (Is a directory). Check the file."


def test_a_chain_is_all_stages_of_a_seed():
    parents = {"pre": "", "mid": "pre", "fine-0": "mid", "fine-1": "mid", "other": ""}
    stages = tuple(stage_record(key, parent) for key, parent in parents.items())
    models = {"seed 0": "fine-0", "seed 1": "fine-1", "seed 2": "not recorded"}
    row = Row(member="seed 0", kind="seed", split="test", queries=1, metrics={})
    result = made_up_result("toy", [row], features={"use": "mini"}, stages=stages, models=models)
    assert result.chains() == {
        "seed 0": {"fine-0", "mid", "pre"},
        "seed 1": {"fine-1", "mid", "pre"},
        "seed 2": frozenset(),
    }
