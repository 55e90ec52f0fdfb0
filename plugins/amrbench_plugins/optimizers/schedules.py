"""Learning rates over a stage, in closed form; all lengths are shares of the stage.

The report says that it warms up and follows a cosine, and no number. Sources of the defaults: those of
`cosine` are in the team's public code (10 of 200 epochs from 0.01 of the rate, down to 0.01 of it: from 1e-6
over 1e-4 to 1e-6).

The public baseline has a drop to 0.1 that comes after its last epoch, so that its rate is constant in effect;
when `step` drops is our choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pydantic import Field

from amrbench.part import budgeted
from amrbench.slots.optimizers import SchedulePart
from amrbench.types import TrainingLength

Factor = Callable[[int], float]


def _warmup(share: float) -> Any:
    return budgeted(share, "warmup", ge=0, le=1, description="share of the stage in which the rate rises")


def _start() -> Any:
    return Field(0.01, gt=0, le=1, description="factor on the learning rate at the first step of a warm-up")


class Constant(SchedulePart):
    """The same learning rate throughout, after an optional warm-up."""

    use = "constant"
    warmup: float = _warmup(0.0)
    start: float = _start()

    def build(self, length: TrainingLength) -> Factor:
        """Return the factor of each step."""
        return warmed(lambda step: 1.0, steps=warmup_steps(length, self.warmup), start=self.start)


class Step(SchedulePart):
    """A learning rate that drops at given shares of the stage."""

    use = "step"
    at: tuple[float, ...] = Field((0.8,), min_length=1, description="shares of the stage where it drops")
    factor: float = Field(0.1, gt=0, lt=1, description="what each drop multiplies the rate with")
    warmup: float = _warmup(0.0)
    start: float = _start()

    def build(self, length: TrainingLength) -> Factor:
        """Return the factor of each step."""
        drops = [share * length.steps for share in self.at]

        def after_warmup(step: int) -> float:
            return float(self.factor ** sum(step >= drop for drop in drops))

        return warmed(after_warmup, steps=warmup_steps(length, self.warmup), start=self.start)


class Cosine(SchedulePart):
    """Half a cosine from the full learning rate, reached by a linear warm-up, to a small one.

    With W of E steps of warm-up, step e uses floor + (1 - floor) (1 + cos(pi (e - W) / (E - W))) / 2
    (Loshchilov and Hutter 2017, SGDR, eq. 5, without restarts).
    """

    use = "cosine"
    warmup: float = _warmup(0.05)
    start: float = _start()
    floor: float = Field(0.01, ge=0, le=1, description="factor on the learning rate at the end of the stage")

    def build(self, length: TrainingLength) -> Factor:
        """Return the factor of each step."""
        first = warmup_steps(length, self.warmup)
        after = max(1, length.steps - first)

        def after_warmup(step: int) -> float:
            turn = math.pi * min(1.0, (step - first) / after)
            return self.floor + (1 - self.floor) * (1 + math.cos(turn)) / 2

        return warmed(after_warmup, steps=first, start=self.start)


def warmup_steps(length: TrainingLength, share: float) -> int:
    """Return the number of steps of a warm-up that takes a share of the stage."""
    return round(share * length.steps)


def warmed(factor: Factor, *, steps: int, start: float) -> Factor:
    """Return the factor with a straight line from `start` to 1 over the first steps put before it."""

    def with_warmup(step: int) -> float:
        return start + (1 - start) * step / steps if step < steps else factor(step)

    return with_warmup
