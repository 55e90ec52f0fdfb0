"""Two ways to do the same, timed in turns in one process.

Machines drift while they measure, so a time alone says little and a ratio of times from one run says more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter, process_time

from amrbench.training.numerics import fixed_numerics

ROUNDS = 9
CLOCKS = ((process_time, "processor"), (perf_counter, "wall"))
"""For one thread, and for several."""

Work = Callable[[], object]
Stopwatch = Callable[[], float]
"""Does something once and returns the seconds that it took."""


@dataclass(frozen=True)
class Rounds:
    """The seconds of a fast and of a slow way, round by round, and what the clock counted."""

    fast: tuple[float, ...]
    slow: tuple[float, ...]
    clock: str

    @property
    def ratios(self) -> list[float]:
        """How many times as long the slow way took, round by round."""
        return [slow / fast for fast, slow in zip(self.fast, self.slow, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def ratio_of_best(self) -> float:
        """The ratio of the shortest times, which other work on the machine disturbs least."""
        return min(self.slow) / min(self.fast)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile of the ratios; of one round, its ratio twice."""
        if len(self.ratios) == 1:
            return self.ratio, self.ratio
        low, _, high = quantiles(self.ratios, n=4, method="inclusive")
        return low, high

    def least(self, ratio: float) -> bool:
        """Say whether the slow way takes at least so many times as long, by the median or by the best."""
        return max(self.ratio, self.ratio_of_best) >= ratio

    def extra_info(self) -> dict[str, object]:
        """Return all numbers for the file of pytest-benchmark."""
        return {
            "clock": self.clock,
            "ratio": round(self.ratio, 3),
            "ratio_of_best": round(self.ratio_of_best, 3),
            "quartiles": [round(value, 3) for value in self.quartiles],
            "fast_seconds": list(self.fast),
            "slow_seconds": list(self.slow),
        }

    def text(self) -> str:
        """Return one line with both times and all ratios."""
        low, high = self.quartiles
        return (
            f"{in_milliseconds(median(self.fast))} against {in_milliseconds(median(self.slow))} ms of "
            f"{self.clock} time: ratio {self.ratio:.2f} (quartiles {low:.2f} to {high:.2f}; of the best "
            f"{self.ratio_of_best:.2f}; {len(self.fast)} rounds)"
        )


def in_milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three digits or more."""
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def in_turns(fast: Stopwatch, slow: Stopwatch, rounds: int = ROUNDS, *, clock: str = "processor") -> Rounds:
    """Take turns between two stopwatches; who comes first changes from round to round."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            last = slow()
            pairs.append((fast(), last))
        else:
            pairs.append((fast(), slow()))
    return Rounds(*zip(*pairs, strict=True), clock=clock)


def interleaved(fast: Work, slow: Work, rounds: int = ROUNDS, *, threads: int = 1) -> Rounds:
    """Time two functions in turns after one call of each.

    One thread is timed by the processor time of the process, which other processes disturb little; several
    threads by the clock on the wall.
    """
    clock, name = CLOCKS[threads > 1]
    with numerics_of_training(threads):
        fast(), slow()
        return in_turns(lambda: seconds(fast, clock), lambda: seconds(slow, clock), rounds, clock=name)


def seconds(work: Work, clock: Stopwatch = process_time) -> float:
    """Return the seconds of one call."""
    start = clock()
    work()
    return clock() - start


@contextmanager
def numerics_of_training(threads: int = 1) -> Iterator[None]:
    """Use so many threads, and flush denormal numbers as training does."""
    with fixed_numerics(threads):
        yield
