"""AdamW, learning-rate schedules and an average of weights.

The report names AdamW with a warm-up and a cosine, and no number. Sources of the defaults: learning rate,
weight decay and the decay of all weights are those of the public baseline; the team's public code has the
same two numbers. `decays: matrices` is our choice after the team's public code. `cosine` is the schedule of
that code: a warm-up over 10 of 200 epochs, from 1e-6 to 1e-4, and a cosine down to 1e-6. In the public
baseline the rate would drop to 0.1 of itself after the last epoch, so that it is constant; when `step` drops
is our choice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from amrbench.part import budgeted
from amrbench.slots.optimizers import OptimizerPart, SchedulePart, Updater
from amrbench_plugins.optimizers.schedules import Factor, cosine, steps_down, warmed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from amrbench.types import TrainingLength

Fraction = Annotated[float, Field(ge=0, le=1)]


def _warmup(default: float) -> Any:
    return budgeted(
        default, "warmup", ge=0, le=1, description="fraction of the stage in which the rate rises"
    )


class Constant(SchedulePart):
    """The same learning rate throughout, after an optional warm-up."""

    use = "constant"
    warmup: float = _warmup(0.0)

    @override
    def build(self, length: TrainingLength) -> Factor:
        return warmed(lambda step: 1.0, round(self.warmup * length.steps))


class Step(SchedulePart):
    """A learning rate that drops at given points of the stage."""

    use = "step"
    at: tuple[Fraction, ...] = Field(
        (0.8,), min_length=1, max_length=100, description="fractions of the stage after which it drops"
    )
    factor: float = Field(0.1, gt=0, lt=1, description="factor of each drop")
    warmup: float = _warmup(0.0)

    @override
    def build(self, length: TrainingLength) -> Factor:
        drops = [fraction * length.steps for fraction in self.at]
        return warmed(steps_down(drops, self.factor), round(self.warmup * length.steps))


class Cosine(SchedulePart):
    """A linear warm-up to the full learning rate, and half a cosine down to a small one."""

    use = "cosine"
    warmup: float = _warmup(0.05)
    floor: float = Field(0.01, ge=0, le=1, description="factor on the learning rate at the end of the stage")

    @override
    def build(self, length: TrainingLength) -> Factor:
        warmup = round(self.warmup * length.steps)
        return warmed(cosine(warmup, length.steps, self.floor), warmup)


class AdamW(OptimizerPart):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    In the public baseline all weights decay: biases, norms and learned tokens too. In the team's public code
    biases, norms and tensors of one axis do not decay; with "matrices", learned tokens do not decay either. A
    tensor without a gradient in a step neither moves nor decays.
    """

    use = "adamw"
    updates_arrays = True
    lr: float = budgeted(1e-4, "lr", gt=0, le=10, description="learning rate")
    weight_decay: float = Field(1e-4, ge=0, le=10, description="decay of the weights at learning rate 1")
    decays: Literal["everything", "matrices"] = Field(
        "everything", description="weights that decay: all, or those of linear maps and convolutions only"
    )
    schedule: SchedulePart = Field(default=Constant(), description="learning rate over the stage")

    @override
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        from amrbench_plugins.optimizers.adamw import DECAYS, AdamWUpdater, clipping, parameter_groups

        groups = parameter_groups(module, self.weight_decay, decays=DECAYS[self.decays], array=length.array)
        clip = clipping(length.clip, array=length.array)
        return AdamWUpdater(groups, rate=self.lr, schedule=self.schedule.build(length), clip=clip)


class Ema(OptimizerPart):
    """Score and save a moving average of the weights instead of the last weights.

    It is updated after an epoch or after a step, with a decay that is relative to the length of the stage: a
    horizon of 0.5 of 200 epochs is a decay of 0.99. Only trainable weights are averaged; buffers, e.g.
    counters, are those of the model itself.
    """

    use = "ema"
    updates_arrays = True
    example: ClassVar[Mapping[str, Any]] = {"around": "adamw"}
    horizon: float = Field(
        0.5, ge=1e-6, le=1000, description="fraction of the stage after which weights count 1/e as much"
    )
    every: Literal["epoch", "step"] = Field("epoch", description="when the average is updated")
    start: float = Field(0.125, ge=0, le=1, description="fraction of the stage before the averaging")
    around: OptimizerPart = Field(description="the optimizer that moves the weights")

    @override
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        from amrbench_plugins.optimizers.ema import EpochAverage, StepAverage

        inner = self.around.build(module, length)
        kind, updates = (StepAverage, length.steps) if self.every == "step" else (EpochAverage, length.epochs)
        decay = math.exp(-1 / (self.horizon * max(1, updates)))
        return kind(module, inner, decay=decay, copies=round(self.start * updates))
