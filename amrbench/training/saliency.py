"""What a model says of each feature row, collected while it predicts."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.types import Outputs, Rows

SALIENCY = "saliency"
"""Name of the tensor (B, T): how relevant each row is to the query."""


class SaliencyCollector:
    """Keeps the saliency of each query; its instance is a `Watch` of `predict`."""

    def __init__(self) -> None:
        self._rows: dict[int, Rows] = {}

    def __call__(self, indices: Sequence[int], outputs: Outputs) -> None:
        """Keep the rows of some queries that are real."""
        if SALIENCY not in outputs.tensors:
            return
        values = outputs.tensors[SALIENCY].float().cpu().numpy()
        lengths = outputs.mask.sum(1).tolist()
        for index, row, length in zip(indices, values, lengths, strict=True):
            self._rows[index] = row[:length].copy()

    def rows(self) -> list[Rows]:
        """Return (T,) of each query in the order of the dataset; empty if the model gives no saliency."""
        return [self._rows[index] for index in range(len(self._rows))]
