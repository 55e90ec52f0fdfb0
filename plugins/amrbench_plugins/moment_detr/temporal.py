"""The baseline's temporal embedding."""

from __future__ import annotations

from torch import Tensor

from amrbench_plugins.moment_detr.positions import temporal_columns
from amrbench_plugins.moment_detr.slots import Sizes, TemporalEmbedding, TemporalEmbeddingPart


class EndpointColumns(TemporalEmbedding):
    """Start and end of each frame as shares of the recording, as two more input features."""

    columns_width = 2

    def columns(self, mask: Tensor) -> Tensor:
        """Return (B, T, 2)."""
        return temporal_columns(mask)


class Tef(TemporalEmbeddingPart):
    """Temporal endpoint features: start and end of each frame stand before its audio features."""

    use = "tef"

    def build(self, sizes: Sizes) -> TemporalEmbedding:
        """Return the embedding; it has no weights."""
        return EndpointColumns()
