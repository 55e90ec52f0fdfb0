"""Whether features and annotations speak of the same recording."""

from __future__ import annotations

_SHARE = 0.1


def fits(rows: int, duration: float, hop: float) -> bool:
    """Say whether feature rows can be those of a recording of this length.

    Published durations are rounded and the last part of a second has no row, so a row more or less is usual;
    features of another recording are not.

    Args:
        rows: Number of feature rows.
        duration: Seconds, as annotated.
        hop: Seconds between two rows.
    """
    return abs(rows * hop - duration) <= max(1.5 * hop, _SHARE * duration)
