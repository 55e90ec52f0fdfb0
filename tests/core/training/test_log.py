import pytest

from amrbench.training.log import Epoch, read_epochs, write_epoch


def epoch(number: int, seconds: float = 2.0, memory: float = 300.0) -> Epoch:
    return Epoch(number, {"span-l1": 1.25, "giou": 0.5}, {"R1@0.7": 12.5}, seconds, memory)


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
