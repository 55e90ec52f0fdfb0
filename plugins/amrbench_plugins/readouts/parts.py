"""The moments of a decoder, and a search for windows in the saliency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from pydantic import Field
from typing_extensions import override

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
