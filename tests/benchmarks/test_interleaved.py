"""Two functions timed in turns."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from benchmarks.interleaved import Rounds, in_turns, interleaved


def test_who_comes_first_changes_from_round_to_round() -> None:
    calls: list[str] = []
    interleaved(lambda: calls.append("fast"), lambda: calls.append("slow"), 3)
    assert calls == ["fast", "slow", "fast", "slow", "slow", "fast", "fast", "slow"]  # after one call of each


def test_times_stay_with_their_side() -> None:
    numbers = count(1)
    rounds = in_turns(lambda: next(numbers), lambda: 10 * next(numbers), 4)
    assert rounds == Rounds((1, 4, 5, 8), (20, 30, 60, 70), "processor")


def test_ratios() -> None:
    rounds = Rounds((1.0, 2.0, 1.0, 1.0, 4.0), (2.0, 6.0, 4.0, 5.0, 24.0), "wall")
    assert rounds.ratio == 4
    assert rounds.ratio_of_best == 2
    assert rounds.quartiles == (3, 5)
    assert rounds.least(4)
    assert not rounds.least(4.1)
    assert Rounds((2.0,), (3.0,), "wall").quartiles == (1.5, 1.5)


def test_every_round_is_kept() -> None:
    info = Rounds((1.0, 2.0), (2.0, 8.0), "wall").extra_info()
    assert info["fast_seconds"] == [1, 2]
    assert info["slow_seconds"] == [2, 8]
    assert (info["ratio"], info["ratio_of_best"], info["clock"]) == (3, 2, "wall")


def test_the_line_that_is_printed() -> None:
    assert Rounds((0.001, 0.002), (2.0, 8.0), "wall").text() == (
        "1.5 against 5,000 ms of wall time: ratio 3000.00 (quartiles 2500.00 to 3500.00; "
        "of the best 2000.00; 2 rounds)"
    )


@pytest.mark.parametrize(("threads", "clock"), [(1, "processor"), (2, "wall")])
def test_one_thread_is_timed_by_the_processor_and_more_by_the_wall(threads: int, clock: str) -> None:
    before, seen = torch.get_num_threads(), []
    rounds = interleaved(lambda: seen.append(torch.get_num_threads()), lambda: None, 2, threads=threads)
    assert rounds.clock == clock
    assert set(seen) == {threads}
    assert torch.get_num_threads() == before
