import json
from dataclasses import replace
from pathlib import Path

import pytest

from amrbench.errors import RunError
from amrbench.training.log import (
    Epoch,
    ProgressFile,
    StageProgress,
    begin,
    hardware_of,
    read_copy,
    read_epochs,
    read_progress,
    remove_progress,
    write_epoch,
)


def epoch(number: int, seconds: float = 2.0, memory: float = 300.0) -> Epoch:
    return Epoch(number, {"span-l1": 1.25, "giou": 0.5}, {"span": {"R1@0.7": 12.5}}, seconds, memory)


def test_a_log_is_read_back_without_its_unfinished_line(tmp_path):
    assert read_epochs(tmp_path) == []
    write_epoch(tmp_path, "toy", epoch(1))
    write_epoch(tmp_path, "toy", epoch(2))
    with (tmp_path / "log.jsonl").open("a") as out:
        out.write('{"epoch": 3')
    assert read_epochs(tmp_path) == [epoch(1), epoch(2)]


def test_what_differs_between_two_trainings_is_in_a_file_of_its_own(tmp_path):
    for name, seconds in (("one", 2.0), ("two", 3.0)):
        (tmp_path / name).mkdir()
        computed = replace(epoch(1, seconds), host=f"{name}-pc", hardware="a CPU")
        write_epoch(tmp_path / name, name, computed)
        assert read_epochs(tmp_path / name) == [computed]
    one, two = ((tmp_path / name / "log.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two
    times = json.loads((tmp_path / "two" / "times.jsonl").read_text())
    about = {"stage": "two", "epoch": 1, "host": "two-pc", "hardware": "a CPU"}
    assert times == about | {"seconds": 3.0, "memory_mib": 300.0}
    (tmp_path / "two" / "times.jsonl").write_text("damaged")
    assert read_epochs(tmp_path / "two") == [epoch(1, 0.0, 0.0)]


def test_a_copy_of_a_log_has_all_but_the_costs(tmp_path):
    write_epoch(tmp_path, "toy", epoch(1))
    copied = (tmp_path / "log.jsonl").rename(tmp_path / "1-toy.jsonl")
    assert read_copy(copied) == [epoch(1, 0.0, 0.0)]


def test_the_hardware_of_all_epochs_is_named_once(tmp_path):
    assert hardware_of(tmp_path) == ""
    for number, hardware in enumerate(["a CPU", "a GPU", "a CPU"], 1):
        write_epoch(tmp_path, "toy", replace(epoch(number), hardware=hardware))
    assert hardware_of(tmp_path) == "a CPU; a GPU"
    (tmp_path / "times.jsonl").write_text('{"epoch": 1}\n')
    assert hardware_of(tmp_path) == ""


def test_the_total_is_the_sum_of_the_terms():
    assert epoch(1).total == pytest.approx(1.75)
    assert Epoch(1, {"a": 2.0, "b": -2.0}, {}, 0.0, 0.0).size == 4


def test_a_log_begins_anew(tmp_path):
    write_epoch(tmp_path, "toy", epoch(1))
    begin(tmp_path)
    assert read_epochs(tmp_path) == []


def test_a_full_disk_is_named(tmp_path):
    full = tmp_path / "times.jsonl"
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    full.symlink_to("/dev/full")
    with pytest.raises(RunError) as error:
        write_epoch(tmp_path, "toy", epoch(1))
    assert str(error.value) == (
        f"{full}: cannot be written (No space left on device). Check the folder and the disk, and give the "
        "same command again; what is finished is kept."
    )


@pytest.mark.parametrize(
    ("progress", "text", "share"),
    [
        (StageProgress(1, 0, 0, "reading features"), "reading features", 0),
        (StageProgress(2, 5, 10), "epoch 2 of 4, step 5 of 10", 1.5 / 4),
        (StageProgress(4, 10, 10, "validation"), "epoch 4 of 4, validation", 1),
    ],
)
def test_progress_is_a_text_and_a_share(progress, text, share):
    assert progress.text(4) == text
    assert progress.share(4) == share


def test_a_stage_without_epochs_has_no_share():
    assert StageProgress(1, 0, 10).share(0) == 0


# ---------------------------------------------------------------- progress


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (StageProgress(1, 0, 0, "reading features"), "reading features"),
        (StageProgress(2, 5, 69), "epoch 2, after step 5 of 69"),
        (StageProgress(2, 69, 69, "validation"), "epoch 2, validation"),
    ],
)
def test_where_a_stage_is_is_a_short_text(progress, text):
    assert progress.where() == text


def test_progress_is_passed_on_and_written_for_others(tmp_path):
    reported = []
    report = ProgressFile(tmp_path, reported.append)
    steps = [StageProgress(1, 1, 3), StageProgress(1, 2, 3), StageProgress(1, 3, 3, "validation")]
    written = [report(progress) or read_progress(tmp_path) for progress in steps]
    assert written == [steps[0], steps[0], steps[2]], "numbers alone not at once"
    assert reported == steps, "all of them"
    (tmp_path / "progress.part").touch()
    remove_progress(tmp_path)
    remove_progress(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"epoch": 1}', '{"other": 1}'])
def test_damaged_progress_is_not_known(tmp_path, text):
    assert read_progress(tmp_path) is None
    (tmp_path / "progress.json").write_text(text)
    assert read_progress(tmp_path) is None
