"""Where predicted moments lie, compared with the annotated windows that they overlap most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amrbench.functional.matched_windows import MatchedWindows
from amrbench.types import Floats


@dataclass(frozen=True)
class ErrorSummary:
    """Signed and absolute errors of the matched queries.

    Attributes:
        mean: The bias; positive for too late or too wide.
        median: Of the signed errors.
        mean_absolute: Mean of the errors without their signs.
        median_absolute: Median of the errors without their signs.
    """

    mean: float
    median: float
    mean_absolute: float
    median_absolute: float

    @classmethod
    def of(cls, errors: Floats) -> ErrorSummary:
        """Summarise errors (n,), at least one."""
        size = np.abs(errors)
        return cls(
            *(float(value) for value in (errors.mean(), np.median(errors), size.mean(), np.median(size)))
        )


@dataclass(frozen=True)
class MomentErrors:
    """Errors of the window of the largest overlap among the first k, and its annotated window.

    Attributes:
        k: Number of windows.
        matched: Percent of the queries that have an overlap at all; the others have no error.
        centre: Errors of the centre in seconds; None if no query is matched, like the next three.
        width: Errors of the width in seconds.
        centre_share: Errors of the centre in percent of the annotated width.
        width_share: Errors of the width in percent of the annotated width.
    """

    k: int
    matched: float
    centre: ErrorSummary | None = None
    width: ErrorSummary | None = None
    centre_share: ErrorSummary | None = None
    width_share: ErrorSummary | None = None


def moment_errors(windows: MatchedWindows, k: int) -> MomentErrors:
    """Return the errors of the best of the first k windows of each query."""
    errors, widths = signed_errors(windows, k)
    matched = 100 * len(errors) / windows.queries
    if not len(errors):
        return MomentErrors(k, matched)
    shares = 100 * errors / widths[:, None]
    return MomentErrors(k, matched, *(ErrorSummary.of(own) for own in (*errors.T, *shares.T)))


def signed_errors(windows: MatchedWindows, k: int) -> tuple[Floats, Floats]:
    """Return (M, 2) the errors of centre and width in seconds, and (M,) the annotated widths.

    M is the number of queries one of whose first k windows overlaps an annotated window.
    """
    best = windows.best(k)
    best = best[best >= 0]
    start, end = windows.listed.values[best, :2].T
    begin, stop = windows.truth.values[windows.target[best], :2].T
    width = stop - begin
    return np.column_stack([(start + end - begin - stop) / 2, end - start - width]), width
