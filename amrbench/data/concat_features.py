"""Rows of several encoders, concatenated along their features.

Each row is divided by its norm first, encoder by encoder, so that none outweighs the others. A text of a
single row, as pooled encoders give it, is repeated for each row of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amrbench.errors import DataError
from amrbench.types import Rows

NORM_FLOOR = 1e-5
_ROUNDING = 1
"""Encoders may differ by so many rows: some pad the last part of a second, some leave it out."""


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
    longest = max(len(encoded) for encoded in rows)
    if any(len(encoded) not in (1, longest) for encoded in rows):
        raise DataError(
            f"{what}: encoders give {', '.join(str(len(encoded)) for encoded in rows)} tokens. Only texts of "
            "one token can be concatenated with longer ones; choose encoders that pool their text."
        )
    wide = [np.broadcast_to(normalize_rows(encoded), (longest, encoded.shape[1])) for encoded in rows]
    return np.concatenate(wide, axis=1)
