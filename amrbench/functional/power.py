"""How many chains of training would settle a difference, and what only more recordings could.

The values of chains on recordings vary between chains, between recordings, and in how the two go together.
The mean difference of S and R chains on C recordings has the variance

    B + (A + E) / S + (A' + E') / R

where B is the part of the recordings, on which the two sides differ however many chains are trained, and
A + E that of a chain. B is estimated from the means over the chains, less what E leaves in them, as the
components of variance of two crossed factors are (S. R. Searle, G. Casella, C. E. McCulloch, "Variance
Components", 1992). A half-width is proportional to the root. The bootstrap over chains and recordings counts
E more than once (A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007), so the part
of the chains is here what its interval has beyond B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import NormalDist

import numpy as np

from amrbench.functional.bootstrap import LEVEL, Difference, clustered
from amrbench.types import Floats

SHARE = 0.8
"""How often the stated number of chains settles a difference that is as large as the measured one."""
MOST = 1000
"""More chains than this are not counted."""
_OF_LEVEL = NormalDist().inv_cdf((1 + LEVEL) / 2)
_OF_SHARE = NormalDist().inv_cdf(SHARE)


@dataclass(frozen=True)
class MoreChains:
    """What would settle a difference whose interval contains zero.

    Attributes:
        count: About how many more chains of each side; None for none up to `MOST`.
        recordings: Half-width in points that the recordings leave, however many chains are trained.
        chains_suffice: Whether the difference is larger than that.
    """

    count: int | None
    recordings: float
    chains_suffice: bool

    def __str__(self) -> str:
        if not self.chains_suffice:
            return f"not chains alone: recordings leave ±{self.recordings:.2f}"
        if self.count is None:
            return f"over {MOST:,} more chains"
        return f"about {self.count:,} more chain{'s' if self.count > 1 else ''}"


@dataclass(frozen=True)
class HalfWidth:
    """Half of the width of an interval, by the number of chains.

    Attributes:
        recordings: What the recordings leave, however many chains are trained.
        one: What a single chain of the first side adds, in squares.
        two: The same of the second side.
    """

    recordings: float
    one: float
    two: float

    def of_chains(self, one: int, two: int) -> float:
        """Return what some chains of both sides leave, without the recordings."""
        return hypot(self.one / sqrt(one), self.two / sqrt(two))

    def at(self, one: int, two: int) -> float:
        """Return the half-width with some chains of both sides."""
        return hypot(self.recordings, self.of_chains(one, two))

    def to_settle(self, distance: float, one: int, two: int) -> MoreChains:
        """Return how many more chains put an interval beyond zero, from which its middle has some distance.

        New chains move the middle. In `SHARE` of the cases it comes closer to zero by no more than the normal
        quantile of its standard deviation, and the half-width has to be smaller than what is left.

        Args:
            distance: Of the mean difference from zero, in points.
            one: Number of chains of the first side.
            two: The same of the second side.
        """
        suffice = distance > self.recordings or not self.recordings
        for more in range(1, MOST + 1 if suffice else 1):
            closer = _OF_SHARE / _OF_LEVEL * self.of_chains(one + more, two + more)
            if distance - closer > self.at(one + more, two + more):
                return MoreChains(more, self.recordings, chains_suffice=True)
        return MoreChains(None, self.recordings, chains_suffice=suffice)


def more_chains(
    one: Floats, two: Floats, recordings: Sequence[str], differences: Sequence[Difference]
) -> list[MoreChains | None]:
    """Return what would settle each of M differences; None for one whose interval does not contain zero.

    Args:
        one: (S, Q, M) values of the first side for each chain, query and metric; S is at least 2.
        two: (R, Q, M) values of the second side; R is at least 2.
        recordings: The recording of each query.
        differences: What `chain_differences` gives for them.
    """
    widths = half_widths(one, two, recordings, differences)
    return [
        width.to_settle(abs(own.mean), len(one), len(two)) if own.low <= 0 <= own.high else None
        for own, width in zip(differences, widths, strict=True)
    ]


def half_widths(
    one: Floats, two: Floats, recordings: Sequence[str], differences: Sequence[Difference]
) -> list[HalfWidth]:
    """Return the half-width of each of M intervals, from the middle towards zero, by the number of chains.

    Args:
        one: As in `more_chains`.
        two: As in `more_chains`.
        recordings: As in `more_chains`.
        differences: As in `more_chains`.
    """
    alone = _OF_LEVEL * np.sqrt(recordings_variance(one, two, recordings))
    variances = [side.mean(axis=1).var(axis=0, ddof=1) for side in (one, two)]
    widths = []
    for index, difference in enumerate(differences):
        whole = difference.mean - difference.low if difference.mean > 0 else difference.high - difference.mean
        left = min(float(alone[index]), whole)
        parts = [float(variance[index]) for variance in variances]
        total = parts[0] / len(one) + parts[1] / len(two)
        scale = (whole**2 - left**2) / total if total else 0.0
        widths.append(HalfWidth(left, *(sqrt(scale * part) for part in parts)))
    return widths


def recordings_variance(one: Floats, two: Floats, recordings: Sequence[str]) -> Floats:
    """Return (M,) the variance of a mean difference that the choice of recordings alone would leave.

    Args:
        one: As in `more_chains`.
        two: As in `more_chains`.
        recordings: As in `more_chains`.
    """
    (first, first_rest), (second, second_rest) = (_recording_parts(side, recordings) for side in (one, two))
    whole = np.square(first - second).sum(axis=0)
    return np.asarray(np.maximum(whole - first_rest - second_rest, 0.0))


def _recording_parts(side: Floats, recordings: Sequence[str]) -> tuple[Floats, Floats]:
    """Return what each recording adds to the mean of a side, and how much of its squares chains explain.

    Returns:
        (C, M) distances from the mean, averaged over the chains, and (M,) the sum of the squares that chains
        leave in them which go with recordings in ways of their own.
    """
    clusters = [clustered(chain, recordings) for chain in side]
    sizes = clusters[0].sizes[:, None]
    means = side.mean(axis=1)
    parts = (
        np.stack([own.sums - mean * sizes for own, mean in zip(clusters, means, strict=True)]) / sizes.sum()
    )
    return parts.mean(axis=0), parts.var(axis=0, ddof=1).sum(axis=0) / len(side)
