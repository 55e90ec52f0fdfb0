"""The moments of a decoder, moments found in the saliency, and several read-outs together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import Field, field_validator
from typing_extensions import override

from amrbench.part import problem, unique
from amrbench.slots.readout import ReadoutPart

if TYPE_CHECKING:
    from amrbench.slots.readout import Readout
    from amrbench.types import Plain


class Decoder(ReadoutPart):
    """The spans of the decoder's last layer, each with its score: the moments of a DETR."""

    use = "decoder"
    requires = frozenset({"spans", "scores"})
    evidence = {"class": "scores", "iou": "iou_logits"}  # noqa: RUF012

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Readout:
        from amrbench_plugins.readouts.decoder import read_decoder

        return read_decoder


class WindowSearch(ReadoutPart):
    """Slide windows over the saliency and keep those with the highest contrast to the rest of the recording.

    The lengths are quantiles of the training windows. The contrast is the statistic of circular binary
    segmentation (Olshen et al. 2004).
    """

    use = "window-search"
    requires = frozenset({"saliency"})
    count: int = Field(10, ge=1, le=300, description="windows that are proposed for a query")
    lengths: int = Field(
        12, ge=1, le=100, description="number of window lengths: quantiles of the training windows"
    )
    overlap: float = Field(0.5, ge=0, le=1, description="largest intersection over union of two proposals")

    @override
    def fit(self, widths: tuple[float, ...]) -> Mapping[str, Plain]:
        from amrbench_plugins.readouts.window_search import quantiles

        return {"widths": cast("list[Plain]", quantiles(widths, self.lengths))}

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Readout:
        from amrbench_plugins.readouts.window_search import WindowSearch as Search

        return Search(cast("list[float]", fitted["widths"]), count=self.count, overlap=self.overlap)


class Runs(ReadoutPart):
    """Runs of frames whose saliency is a large share of its maximum (arXiv 2610.05737).

    The share is sigmoid(saliency), divided by its maximum over the recording; a run is scored by its mean.
    """

    use = "runs"
    requires = frozenset({"saliency"})

    threshold: float = Field(0.5, gt=0, le=1, description="smallest share of the maximum in a run")
    count: int = Field(10, ge=1, le=10_000, description="largest number of moments of a query")

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Readout:
        from amrbench_plugins.readouts.runs import read_runs

        return partial(read_runs, threshold=self.threshold, count=self.count)


class ChangePoints(ReadoutPart):
    """Segments between changes of the saliency, after sound event bounding boxes (Ebbers et al. 2024).

    A step filter over the shares of the maximum (see `runs`) rises at the start of a segment and falls at
    its end. Segments are joined unless the gap between them is clearly lower than the higher of the two. The
    score is the mean share. The defaults are ours: the shortest filter, for feature rows of one second.
    """

    use = "change-points"
    requires = frozenset({"saliency"})

    filter: int = Field(2, ge=2, le=1000, multiple_of=2, description="frames that the step filter covers")
    absolute: float = Field(0.2, ge=0, le=1, description="a gap that stays is lower by more than this share")
    relative: float = Field(2.0, ge=1, le=100, description="and by more than this factor")
    count: int = Field(10, ge=1, le=10_000, description="largest number of moments of a query")

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Readout:
        from amrbench_plugins.readouts.change_points import read_change_points

        return partial(
            read_change_points,
            filter_=self.filter,
            absolute=self.absolute,
            relative=self.relative,
            count=self.count,
        )


class Pooled(ReadoutPart):
    """The moments of several read-outs together, with the scores of each.

    The scores of different read-outs are not comparable as they are; `calibrated` in `ranking` makes them so,
    and `nms` leaves out moments that are found twice. The evidence "source" is the index of the read-out;
    other evidence is 0 where a read-out does not give it.
    """

    use = "pooled"
    example: ClassVar[Mapping[str, Any]] = {"of": ["runs", "change-points"]}

    of: tuple[ReadoutPart, ...] = Field(min_length=2, description="the read-outs")

    @field_validator("of")
    @classmethod
    def _differ(cls, parts: tuple[ReadoutPart, ...]) -> tuple[ReadoutPart, ...]:
        if any(isinstance(part, Pooled) for part in parts):
            raise problem("'pooled' cannot be inside of 'pooled'; list its read-outs here.")
        return unique(parts)

    @property
    @override
    def readouts(self) -> tuple[ReadoutPart, ...]:
        return self.of

    @property
    @override
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset[str]().union(*(part.requires for part in self.of))

    @property
    @override
    def evidence(self) -> Mapping[str, str]:  # type: ignore[override]
        """Return the evidence that all read-outs give, and "source", which needs no tensor."""
        first, *others = (part.evidence for part in self.of)
        common = {name: tensor for name, tensor in first.items() if all(name in other for other in others)}
        return {**common, "source": ""}

    @override
    def fit(self, widths: tuple[float, ...]) -> Mapping[str, Plain]:
        return {part.use: dict(part.fit(widths)) for part in self.of}

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Readout:
        from amrbench_plugins.readouts.pooled import read_all

        own = cast("Mapping[str, Mapping[str, Plain]]", fitted)
        return partial(read_all, readouts=[part.build(own.get(part.use, {})) for part in self.of])
