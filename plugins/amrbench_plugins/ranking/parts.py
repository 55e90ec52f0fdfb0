"""The steps: clipping, rounding, suppression, and new scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from amrbench.slots.ranking import RankingPart
from amrbench.types import Candidates, Plain, Query, Ranking

Keep = Annotated[int, Field(ge=1, le=10_000, description="largest number of moments that are kept")]


class Clip(RankingPart):
    """Clip starts and ends to the recording."""

    use = "clip"

    to: Literal["recording"] | Annotated[float, Field(gt=0, le=1e6)] = Field(
        "recording", description="last second: the annotated duration, or a number for all recordings"
    )

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        from amrbench_plugins.ranking.bounds import clip

        return partial(clip, last=None if self.to == "recording" else float(self.to))


class Round(RankingPart):
    """Round starts and ends to the grid of the annotations, halves to the even neighbour.

    As in the reference, every number is first rounded to four decimals, then seconds to whole steps. A moment
    shorter than a step may become empty. On CASTELLA, whose windows are whole seconds, this raises R1@0.7.
    """

    use = "round"

    to: float = Field(1.0, ge=1e-3, le=3600, description="step in seconds")

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        from amrbench_plugins.ranking.bounds import round_

        return partial(round_, step=self.to)


class Nms(RankingPart):
    """Leave out moments that overlap a better one (non-maximum suppression)."""

    use = "nms"

    overlap: float = Field(
        0.7, ge=0, le=1, description="largest intersection over union of two moments that are kept"
    )
    keep: Keep = 10

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        from amrbench_plugins.ranking.suppression import nms

        return partial(nms, overlap=self.overlap, keep=self.keep)


class SoftNms(RankingPart):
    """Lower the scores of moments that overlap a better one (Bodla et al. 2017, eq. 3).

    The best moment is taken, the score s of the others falls by |s| (1 - exp(-IoU^2 / sigma)), and so on. For
    s >= 0 this is the paper's rule; a negative score falls as well.
    """

    use = "soft-nms"

    sigma: float = Field(0.5, ge=1e-3, le=1e3, description="the smaller, the lower the scores become")
    keep: Keep = 10

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        from amrbench_plugins.ranking.suppression import soft_nms

        return partial(soft_nms, sigma=self.sigma, keep=self.keep)


class ClassIou(RankingPart):
    """Score moments by class^(1 - share) * iou^share, where iou is the overlap that the model expects.

    Negative evidence counts as 0.
    """

    use = "class-iou"
    requires = frozenset({"class", "iou"})

    share: Literal["fitted"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "fitted",
        description="weight of the expected overlap, or 'fitted': the best of 0, 0.1, ..., 1 by R1@0.7 on "
        "the selection split",
    )

    @property
    @override
    def learns(self) -> bool:  # type: ignore[override]
        return self.share == "fitted"

    @override
    def fit(self, examples: Sequence[tuple[Candidates, Query]]) -> Mapping[str, Plain]:
        from amrbench_plugins.ranking.choice import best_value
        from amrbench_plugins.ranking.rescoring import SHARES, class_iou

        return {"share": best_value(self.use, SHARES, class_iou, examples)}

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        from amrbench_plugins.ranking.choice import fitted_number
        from amrbench_plugins.ranking.rescoring import class_iou, rescoring

        share = fitted_number(self.use, fitted, "share") if self.share == "fitted" else self.share
        return rescoring(class_iou, share)


class SaliencyContrast(RankingPart):
    """Add weight * (mean saliency inside the moment - mean saliency outside) to the score."""

    use = "saliency-contrast"
    requires = frozenset({"saliency.inside", "saliency.outside"})

    weight: Literal["fitted"] | Annotated[float, Field(ge=0, le=1e3)] = Field(
        "fitted",
        description="weight of the contrast, or 'fitted': the best of 0, 0.01, 0.02, 0.05, ..., 10 by R1@0.7 "
        "on the selection split",
    )

    @property
    @override
    def learns(self) -> bool:  # type: ignore[override]
        return self.weight == "fitted"

    @override
    def fit(self, examples: Sequence[tuple[Candidates, Query]]) -> Mapping[str, Plain]:
        from amrbench_plugins.ranking.choice import best_value
        from amrbench_plugins.ranking.rescoring import WEIGHTS, saliency_contrast

        return {"weight": best_value(self.use, WEIGHTS, saliency_contrast, examples)}

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        from amrbench_plugins.ranking.choice import fitted_number
        from amrbench_plugins.ranking.rescoring import rescoring, saliency_contrast

        weight = fitted_number(self.use, fitted, "weight") if self.weight == "fitted" else self.weight
        return rescoring(saliency_contrast, weight)


class Calibrated(RankingPart):
    """Score moments by the overlap with the truth that a small network expects.

    The network is fitted on the selection split. It reads the evidence that all moments there have, and the
    score, rank, width and agreement of a moment with others (`proposal_features.py`). Its target is IoU
    stretched so that 0.3 becomes 0 and 0.9 becomes 1.
    """

    use = "calibrated"
    learns = True

    hidden: int = Field(32, ge=1, le=256, description="width of the hidden layer")
    steps: int = Field(400, ge=1, le=2000, description="steps of AdamW, with 1024 moments each")
    decay: float = Field(0.05, ge=0, le=10, description="weight decay of AdamW")

    @override
    def fit(self, examples: Sequence[tuple[Candidates, Query]]) -> Mapping[str, Plain]:
        from amrbench_plugins.ranking.calibrator_training import Training, fit_calibrator

        return fit_calibrator(examples, Training(self.hidden, self.steps, self.decay))

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        from amrbench_plugins.ranking.calibrator import calibrate, calibrator_of

        return partial(calibrate, calibrator=calibrator_of(fitted))
