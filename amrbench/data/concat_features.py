"""Feature rows of several encoders, concatenated along their width.

The rows of each encoder are divided by their norms first, so that no encoder outweighs the others. A text of
one row, as pooled encoders give it, is repeated for each row of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amrbench.errors import DataError
from amrbench.types import Rows

NORM_FLOOR = 1e-5
_ROUNDING = 1
"""Encoders may differ by this many rows: some pad the last part of a second, others leave it out."""


def normalize_rows(rows: Rows) -> Rows:
    """Divide each row by its Euclidean norm + 1e-5, as the reference does; zero rows stay zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / (norms + np.float32(NORM_FLOOR)), np.float32)


def concat_audio(rows: Sequence[Rows], what: str) -> Rows:
    """Return (T, sum of the widths) for rows (T, D) of several encoders, as long as the shortest.

    Raises:
        DataError: Their lengths differ by more than one row.
    """
    lengths = [len(encoded) for encoded in rows]
    if max(lengths) - min(lengths) > _ROUNDING:
        raise DataError(
            f"{what}: encoders give {', '.join(map(str, lengths))} rows, which differ by more than "
            f"{_ROUNDING}. Check that all were made from the same recording."
        )
    return np.concatenate([normalize_rows(encoded[: min(lengths)]) for encoded in rows], axis=1)


def concat_text(rows: Sequence[Rows], what: str) -> Rows:
    """Return (L, sum of the widths) for rows (L, D) of several encoders.

    Raises:
        DataError: Encoders give different numbers of tokens, more than one each.
    """
    lengths = [len(encoded) for encoded in rows]
    longest = max(lengths)
    if not {1, longest}.issuperset(lengths):
        raise DataError(
            f"{what}: encoders give {', '.join(map(str, lengths))} tokens. Only texts of one token can be "
            "concatenated with longer ones; choose encoders that pool their text."
        )
    repeated = [np.broadcast_to(normalize_rows(encoded), (longest, encoded.shape[1])) for encoded in rows]
    return np.concatenate(repeated, axis=1)
