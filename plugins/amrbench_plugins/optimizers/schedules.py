"""Learning rates over a stage, in closed form: functions of the step to a factor on the rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Factor = Callable[[int], float]
WARMUP_START = 0.01
"""The factor at the first step of a warm-up, as in the team's public code."""


def warmed(factor: Factor, steps: int) -> Factor:
    """Return a factor that rises linearly to 1 in the first steps, and then is the given one."""

    def with_warmup(step: int) -> float:
        return WARMUP_START + (1 - WARMUP_START) * step / steps if step < steps else factor(step)

    return with_warmup


def cosine(first: int, steps: int, floor: float) -> Factor:
    """Return half a cosine from 1 at step W to a floor after E steps.

    It is floor + (1 - floor) (1 + cos(pi (e - W) / (E - W))) / 2 at step e (Loshchilov and Hutter 2017, SGDR,
    eq. 5, without restarts).
    """
    length = max(1, steps - first)

    def falling(step: int) -> float:
        turn = math.pi * min(1.0, (step - first) / length)
        return floor + (1 - floor) * (1 + math.cos(turn)) / 2

    return falling


def steps_down(drops: Sequence[float], factor: float) -> Factor:
    """Return 1 times a factor for each drop that is reached."""
    return lambda step: float(factor ** sum(step >= drop for drop in drops))
