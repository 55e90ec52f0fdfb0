"""Learning rates over a stage, in closed form; all lengths are fractions of the stage.

The report has a warm-up and a cosine, without numbers. The defaults of `cosine` are those of the team's
public code: a warm-up over 10 of 200 epochs, from 1e-6 to 1e-4, and a cosine down to 1e-6.

In the public baseline the rate would drop to 0.1 of itself after the last epoch, so that it is constant; when
`step` drops is our choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pydantic import Field
from typing_extensions import override

from amrbench.part import budgeted
from amrbench.slots.optimizers import SchedulePart
from amrbench.types import TrainingLength

Factor = Callable[[int], float]


def _warmup(default: float) -> Any:
    return budgeted(
        default, "warmup", ge=0, le=1, description="fraction of the stage in which the rate rises"
    )


def _start() -> Any:
    return Field(0.01, gt=0, le=1, description="factor on the learning rate at the first step of a warm-up")


class Constant(SchedulePart):
    """The same learning rate throughout, after an optional warm-up."""

    use = "constant"
    warmup: float = _warmup(0.0)
    start: float = _start()

    @override
    def build(self, length: TrainingLength) -> Factor:
        return warmed(lambda step: 1.0, steps=warmup_steps(length, self.warmup), start=self.start)


class Step(SchedulePart):
    """A learning rate that drops at given points of the stage."""

    use = "step"
    at: tuple[float, ...] = Field(
        (0.8,), min_length=1, description="fractions of the stage after which it drops"
    )
    factor: float = Field(0.1, gt=0, lt=1, description="factor of each drop")
    warmup: float = _warmup(0.0)
    start: float = _start()

    @override
    def build(self, length: TrainingLength) -> Factor:
        drops = [fraction * length.steps for fraction in self.at]

        def after_warmup(step: int) -> float:
            return float(self.factor ** sum(step >= drop for drop in drops))

        return warmed(after_warmup, steps=warmup_steps(length, self.warmup), start=self.start)


class Cosine(SchedulePart):
    """A linear warm-up to the full learning rate, and half a cosine down to a small one.

    After a warm-up of W of E steps, step e uses floor + (1 - floor) (1 + cos(pi (e - W) / (E - W))) / 2
    (Loshchilov and Hutter 2017, SGDR, eq. 5, without restarts).
    """

    use = "cosine"
    warmup: float = _warmup(0.05)
    start: float = _start()
    floor: float = Field(0.01, ge=0, le=1, description="factor on the learning rate at the end of the stage")

    @override
    def build(self, length: TrainingLength) -> Factor:
        first = warmup_steps(length, self.warmup)
        after = max(1, length.steps - first)

        def after_warmup(step: int) -> float:
            turn = math.pi * min(1.0, (step - first) / after)
            return self.floor + (1 - self.floor) * (1 + math.cos(turn)) / 2

        return warmed(after_warmup, steps=first, start=self.start)


def warmup_steps(length: TrainingLength, fraction: float) -> int:
    """Return the number of steps of a warm-up that takes a fraction of the stage."""
    return round(fraction * length.steps)


def warmed(factor: Factor, *, steps: int, start: float) -> Factor:
    """Return a factor that rises linearly from `start` to 1 in the first steps, and then is the given one."""

    def with_warmup(step: int) -> float:
        return start + (1 - start) * step / steps if step < steps else factor(step)

    return with_warmup
