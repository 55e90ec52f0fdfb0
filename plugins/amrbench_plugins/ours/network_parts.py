"""The parts of the network: sections 2 and 3.4 of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from amrbench.errors import RecipeError
from amrbench.part import budgeted, problem, unique
from amrbench.slots.blocks import (
    Activation,
    ActivationPart,
    AnchorsPart,
    BlockContext,
    EncoderPart,
    NormPart,
    PriorPart,
    QueryPart,
    RefinePart,
    TemporalEmbeddingPart,
    build_at,
    heads_fault,
)

if TYPE_CHECKING:
    from torch import nn

Side = Literal["audio", "text"]
Percentile = Annotated[float, Field(ge=0, le=100)]
Sigma = Annotated[float, Field(gt=0, le=10_000, description="first standard deviation of a peak, relative")]
Unit = Annotated[Literal["span", "recording"], Field(description="what sigma is relative to")]
Sigmas = Annotated[
    Literal["shared", "per-head"],
    Field(description="whether attention heads share a standard deviation or learn their own, as in SMCA"),
]


# ---------------------------------------------------------------- audio


class Fourier(TemporalEmbeddingPart):
    """Start, end and duration of each frame as Fourier features, through a perceptron, added to the audio.

    The random map is the same in all runs: models with different maps cannot be averaged. With two
    coordinates it is the map of three without its last column.
    """

    use = "fourier"
    frequencies: int = Field(
        64, ge=1, le=4096, description="random frequencies; each gives a sine and a cosine"
    )
    sigma: float = Field(
        10.0, gt=0, le=1000, description="standard deviation of the frequencies, in cycles per recording"
    )
    coordinates: Literal[2, 3] = Field(
        3, description="coordinates of a frame; 2 for start and end without the duration"
    )

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.layers import Perceptron
        from amrbench_plugins.ours.fourier import FourierEmbedding, gaussian_map

        frequencies = gaussian_map(self.frequencies, self.sigma)[:, : self.coordinates].contiguous()
        perceptron = Perceptron((2 * self.frequencies, context.width, context.width), context.activation.mlp)
        return FourierEmbedding(frequencies, perceptron)


class Coordinates(TemporalEmbeddingPart):
    """Start, end and duration of each frame as they are, through a perceptron, added to the audio."""

    use = "coordinates"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.layers import Perceptron
        from amrbench_plugins.ours.fourier import COORDINATES, CoordinateEmbedding

        return CoordinateEmbedding(
            Perceptron((COORDINATES, context.width, context.width), context.activation.mlp)
        )


class TemporalDifference(RefinePart):
    """Fuse each frame with its differences from its neighbours, by attention and a gated linear unit."""

    use = "temporal-difference"
    version = 2
    attention_heads: int = budgeted(
        4, "attention_heads", ge=1, le=64, description="heads of the attention to the three sources"
    )

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.temporal_difference import DifferenceFusion, SourceAttention

        width = context.width
        if fault := heads_fault(self.attention_heads, width):
            raise RecipeError(f"{context.build.path}: {fault}")
        attention = SourceAttention(width, self.attention_heads)
        return DifferenceFusion(attention, width, sources_width=width, p=context.dropout)


class DifferenceOverTime(RefinePart):
    """`temporal-difference` whose attention goes over the frames and differences of the whole recording."""

    use = "difference-over-time"
    attention_heads: int = budgeted(4, "attention_heads", ge=1, le=64, description="heads of this attention")

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.temporal_difference import DifferenceFusion, TimeAttention

        width = context.width
        if fault := heads_fault(self.attention_heads, width):
            raise RecipeError(f"{context.build.path}: {fault}")
        attention = TimeAttention(width, self.attention_heads)
        return DifferenceFusion(attention, width, sources_width=width, p=context.dropout)


class GatedDifference(RefinePart):
    """`temporal-difference` without attention: the gated linear unit reads both differences itself."""

    use = "gated-difference"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.temporal_difference import BothDifferences, DifferenceFusion

        width = context.width
        return DifferenceFusion(BothDifferences(width), width, sources_width=2 * width, p=context.dropout)


# ---------------------------------------------------------------- encoders


class Registers(EncoderPart):
    """Learned rows that take up spare attention inside another encoder and are dropped after it."""

    use = "registers"
    example: ClassVar[Mapping[str, Any]] = {"count": 3, "around": {"use": "transformer", "layers": 2}}
    count: int = Field(4, ge=1, le=256, description="number of registers")
    around: EncoderPart = Field(description="the encoder that sees them")

    @property
    @override
    def summarises(self) -> bool:
        return self.around.summarises

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.registers import RegisteredEncoder

        # First and at the same path, so that its first weights are those it has without registers.
        around = self.around.build(context)
        return RegisteredEncoder(around, self.count, context.width)


class Modality(NormPart):
    """One layer norm for the audio and one for the text, so that neither outweighs the other by its scale."""

    use = "modality"
    sides: Annotated[tuple[Side, ...], AfterValidator(unique)] = Field(
        ("audio", "text"), min_length=1, description="what is normalised"
    )

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.modality_norm import ModalityNorm

        return ModalityNorm(context.width, self.sides)


class Swish(ActivationPart):
    """x sigmoid(beta x) everywhere, with a learned beta for each activation."""

    use = "swish"

    @override
    def build(self) -> Activation:
        from amrbench_plugins.ours.swish import Swishes

        return Swishes()


# ---------------------------------------------------------------- queries and decoder


class Learned(QueryPart):
    """Learned content, the same for every text."""

    use = "learned"
    requires = frozenset({"audio"})
    anchors: AnchorsPart = Field(
        "random", validate_default=True, description="the first spans of the queries"
    )

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.film import LearnedQueries, initial_content

        anchors = build_at(self.anchors, "anchors", context)
        return LearnedQueries(anchors, initial_content(anchors, context.width))


class Film(QueryPart):
    """Learned content, scaled and shifted by the summary of the text (FiLM)."""

    use = "film"
    requires = frozenset({"summary.text"})
    content: Literal["learned", "zeros"] = Field(
        "learned", description="what the text modulates; of zeros, only the shift is left"
    )
    anchors: AnchorsPart = Field(
        "random", validate_default=True, description="the first spans of the queries"
    )

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.film import TextQueries, initial_content

        anchors = build_at(self.anchors, "anchors", context)
        content = initial_content(anchors, context.width)
        if self.content == "zeros":
            content.requires_grad_(False).zero_()
        return TextQueries(anchors, content)


class Percentiles(AnchorsPart):
    """Evenly spaced anchors as wide as short, usual and long windows of the training data.

    They depend on the data alone, so that they are the same in all runs on it.
    """

    use = "percentiles"
    count: int = Field(
        30, ge=1, le=300, description="queries; as many at each location as there are percentiles"
    )
    percentiles: tuple[Percentile, ...] = Field(
        (15, 50, 85),
        min_length=1,
        max_length=100,
        description="percentiles of the widths of the training windows",
    )

    @model_validator(mode="after")
    def _fills_locations(self) -> Percentiles:
        if self.count % len(self.percentiles):
            raise problem(
                f"count is {self.count}, which is no whole number of locations with {len(self.percentiles)} "
                f"queries each; give a multiple of {len(self.percentiles)}."
            )
        return self

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.percentile_anchors import TrainedAnchors, grid, window_percentiles

        widths = window_percentiles(context.build.window_widths, self.percentiles)
        return TrainedAnchors(grid(self.count // len(self.percentiles), widths), context.eps)


class BimodalGaussian(PriorPart):
    """Gaussian peaks at both ends of each query's span, with a width that depends on its content.

    No peak has a standard deviation below half a frame.
    """

    use = "bimodal-gaussian"
    version = 2
    sigma: Sigma = 0.25
    relative_to: Unit = "span"
    sigmas: Sigmas = "shared"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench.functional.spans import to_windows
        from amrbench_plugins.ours.bimodal_prior import UNITS, GaussianPrior, LearnedFraction

        heads = context.attention_heads if self.sigmas == "per-head" else 1
        fraction = LearnedFraction(context.width, 2, heads, self.sigma)
        return GaussianPrior(fraction, peaks=to_windows, unit=UNITS[self.relative_to])


class Gaussian(PriorPart):
    """One Gaussian peak at the centre of each query's span, as in SMCA (Gao et al. 2021).

    Its standard deviation is never below half a frame.
    """

    use = "gaussian"
    version = 2
    sigma: Sigma = 0.5
    relative_to: Unit = "span"
    sigmas: Sigmas = "shared"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.bimodal_prior import UNITS, GaussianPrior, LearnedFraction, centre

        heads = context.attention_heads if self.sigmas == "per-head" else 1
        fraction = LearnedFraction(context.width, 1, heads, self.sigma)
        return GaussianPrior(fraction, peaks=centre, unit=UNITS[self.relative_to])


class FixedBimodalGaussian(PriorPart):
    """`bimodal-gaussian` of which nothing is learned."""

    use = "fixed-bimodal-gaussian"
    version = 2
    sigma: Sigma = 0.25
    relative_to: Unit = "span"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench.functional.spans import to_windows
        from amrbench_plugins.ours.bimodal_prior import UNITS, FixedFraction, GaussianPrior

        fraction = FixedFraction(self.sigma)
        return GaussianPrior(fraction, peaks=to_windows, unit=UNITS[self.relative_to])
