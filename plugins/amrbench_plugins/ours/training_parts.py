"""The parts of the training: sections 3.1 to 3.3 of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, field_validator
from typing_extensions import override

from amrbench.part import problem, unique
from amrbench.slots.data import AugmentPart
from amrbench.slots.losses import LARGEST_WEIGHT, LossPart
from amrbench.slots.optimizers import OptimizerPart, Updater
from amrbench.types import BuildContext, TrainingLength

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from torch import nn

    from amrbench.slots.data import Recordings
    from amrbench_plugins.ours.random_shift import Shifter

Tap = Literal[
    "audio.refined",
    "memory.encoded",
    "memory.temporal-difference",
    "memory.difference-over-time",
    "memory.gated-difference",
    "summary.text",
    "dummies",
]
TAPS: tuple[Tap, ...] = get_args(Tap)
Probability = Annotated[float, Field(ge=0, le=1, description="fraction of visits with a shift")]


# ---------------------------------------------------------------- losses


class Varifocal(LossPart):
    """Varifocal loss of the queries' scores: high only where the span is right (report, section 3.1).

    The target of a matched query is the IoU of its span, that of the others is 0. Form "through" is
    VarifocalNet's: the gradient passes through the weight of negatives, and a match without overlap is a
    negative. Form "detached" is RT-DETR's: that weight is a constant, and a match without overlap has no
    gradient. Reads one logit a query, or two with the moment first.
    """

    use = "varifocal"
    requires = frozenset({"logits", "spans"})
    weight: float = Field(4.0, ge=0, le=LARGEST_WEIGHT, description="factor of this loss in the total")
    alpha: float = Field(0.75, ge=0, le=1000, description="factor of queries whose target is 0")
    gamma: float = Field(2.0, ge=0, le=100, description="power of the score in the weight of such queries")
    form: Literal["through", "detached"] = Field(
        "through", description="whether that weight carries a gradient"
    )

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.ours.varifocal import VarifocalLoss

        return VarifocalLoss(self.weight, alpha=self.alpha, gamma=self.gamma, form=self.form)


class IouL1(LossPart):
    """Distance between predicted and true IoU of matched queries (report, section 3.1)."""

    use = "iou-l1"
    requires = frozenset({"iou_logits", "spans"})

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.ours.iou_l1 import IouL1Loss

        return IouL1Loss(self.weight)


class Sigreg(LossPart):
    """Distance of inner features from an isotropic Gaussian, along random directions (report, section 3.1).

    Of these features a model has at least the audio, the encoded memory and the summary of the text; others
    that it does not provide are left out. Without a part in `audio_refine`, "audio.refined" is
    the projected audio.
    """

    use = "sigreg"
    compares_queries = True  # The rows of a batch are one sample, and which of them count is drawn.
    requires = frozenset({"audio.refined", "memory.encoded", "summary.text"})
    weight: float = Field(
        0.02, ge=0, le=LARGEST_WEIGHT, description="factor of this loss in the total, shared by its features"
    )
    taps: Annotated[tuple[Tap, ...], AfterValidator(unique)] = Field(
        TAPS, min_length=1, description="features that are regularised"
    )
    slices: int = Field(256, ge=1, le=16_384, description="random directions in each step")
    rows: int = Field(1024, ge=2, le=65_536, description="most rows of a feature that count in a step")
    knots: int = Field(
        17, ge=3, le=1001, description="points at which characteristic functions are compared; an odd number"
    )
    reach: float = Field(3.0, ge=0.01, le=100, description="largest of these points")

    @field_validator("knots")
    @classmethod
    def _are_odd(cls, knots: int) -> int:
        if knots % 2 == 0:
            raise problem(f"{knots} is even; give an odd number, as the public code of this loss demands.")
        return knots

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.ours.sigreg import SigregLoss

        return SigregLoss(
            self.weight,
            taps=self.taps,
            slices=self.slices,
            rows=self.rows,
            knots=self.knots,
            reach=self.reach,
        )


# ---------------------------------------------------------------- augmentation


class RandomShift(AugmentPart):
    """Move features and true windows by one random offset (report, section 3.2).

    It adds silent rows at the start, and cuts the end to the largest length, or drops rows at the start. The
    offset is normal; a window never comes closer than `margin` to the edge that moves towards it.
    """

    use = "random-shift"
    version = 2
    probability: Probability = 0.8
    margin: int = Field(3, ge=0, le=10_000, description="rows kept between a window and the edge")
    growth: float = Field(1.0, ge=1, le=10, description="times its own length that a recording may grow to")
    longest: int = Field(
        300,
        ge=1,
        le=100_000,
        description="rows that it may grow to at most; give the recipe's limit of frames",
    )

    @override
    def build(self, recordings: Recordings) -> Shifter:
        from amrbench_plugins.ours.random_shift import Shifter, ShiftLimits

        limits = ShiftLimits(self.margin, self.growth, self.longest)
        return Shifter(limits.draw, limits.pad_or_crop, probability=self.probability)


class CyclicShift(AugmentPart):
    """`random-shift` that keeps all rows: those that leave at the end come back at the start.

    Every offset that cuts no window is equally likely.
    """

    use = "cyclic-shift"
    probability: Probability = 0.8

    @override
    def build(self, recordings: Recordings) -> Shifter:
        from amrbench_plugins.ours.random_shift import Shifter, draw_cyclic, roll

        return Shifter(draw_cyclic, roll, probability=self.probability)


# ---------------------------------------------------------------- optimizer


class _Asam(OptimizerPart):
    """The options of both forms of ASAM."""

    updates_arrays = True
    example: ClassVar[Mapping[str, Any]] = {"around": "adamw"}
    rho: float = Field(0.5, ge=0, le=100, description="radius of the ball, in weights divided by their size")
    eta: float = Field(0.01, ge=0, le=100, description="added to the size of each weight")
    period: int = Field(5, ge=1, le=1_000_000, description="steps from one such step to the next; 1 for each")
    start: float = Field(0.0, ge=0, le=1, description="fraction of the stage before the first such step")
    scaled: Literal["weights", "matrices", "all", "none"] = Field(
        "weights", description="tensors that are divided by their size"
    )
    around: OptimizerPart = Field(description="the optimizer that moves the weights")

    def _updater(
        self,
        module: nn.Module,
        length: TrainingLength,
        first_pass: Callable[[torch.device], AbstractContextManager[None]],
    ) -> Updater:
        from amrbench_plugins.ours.asam import RULES, AsamUpdater, Ascent

        trained = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        rule = RULES[self.scaled]
        ascent = Ascent(trained, rho=self.rho, eta=self.eta, rule=rule, array=length.array)
        around = self.around.build(module, length)
        skipped = round(self.start * length.steps)
        return AsamUpdater(ascent, around, period=self.period, skipped=skipped, first_pass=first_pass)


class PeriodicAsam(_Asam):
    """Take the gradient at the worst point nearby, once every few steps (report, section 3.3).

    The worst point is where the loss is largest, to first order, in a ball around the weights. The wrapped
    optimizer gets the gradient there, which it may clip, and the weights as they were. Both passes of such a
    step see the same dropout masks.

    In the tensors that are `scaled`, the radius is relative to the size of each number: "weights" are those
    whose name contains that word (norms too), "matrices" those with more than one axis (tokens too); "none"
    is plain SAM.
    """

    use = "periodic-asam"

    @override
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        from amrbench_plugins.ours.asam import forked_random_state

        return self._updater(module, length, forked_random_state)


class PeriodicAsamFreshDropout(_Asam):
    """`periodic-asam` whose second pass draws new dropout masks, as the code of its paper does."""

    use = "periodic-asam-fresh-dropout"

    @override
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        return self._updater(module, length, lambda _: nullcontext())
