from pathlib import Path

import pytest

from amrbench.errors import RunError
from amrbench.training.log import Epoch, StageProgress, begin, read_epochs, write_epoch


def epoch(number: int, seconds: float = 2.0, memory: float = 300.0) -> Epoch:
    return Epoch(number, {"span-l1": 1.25, "giou": 0.5}, {"span": {"R1@0.7": 12.5}}, seconds, memory)


def test_a_log_is_read_back_without_its_unfinished_line(tmp_path):
    file = tmp_path / "log.jsonl"
    assert read_epochs(file) == []
    write_epoch(file, epoch(1))
    write_epoch(file, epoch(2))
    with file.open("a") as out:
        out.write('{"epoch": 3')
    assert read_epochs(file) == [epoch(1), epoch(2)]


def test_the_total_is_the_sum_of_the_terms():
    assert epoch(1).total == pytest.approx(1.75)
    assert Epoch(1, {"a": 2.0, "b": -2.0}, {}, 0.0, 0.0).size == 4


def test_a_log_begins_anew(tmp_path):
    file = tmp_path / "log.jsonl"
    write_epoch(file, epoch(1))
    begin(file)
    assert read_epochs(file) == []


def test_a_full_disk_is_named():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no full device")
    with pytest.raises(RunError) as error:
        write_epoch(full, epoch(1))
    assert str(error.value) == (
        "/dev/full: cannot be written (No space left on device). Check the folder and the disk, and give the "
        "same command again; finished stages are kept."
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
