"""The laws of scenes: how long, how many, how wide, how loud; and how people write down what they hear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from amrbench_plugins.datasets.layouts.streams import Rng


@dataclass(frozen=True)
class Bounds:
    """A closed range of a number."""

    low: float
    high: float

    def draw(self, rng: Rng) -> float:
        """Return a number from the range, all equally likely."""
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class Quantiles:
    """A distribution by its values at evenly spaced probabilities from 0 to 1, straight in between."""

    values: tuple[float, ...]

    def at(self, probability: float) -> float:
        """Return the value that is not exceeded with a probability."""
        return float(np.interp(probability, np.linspace(0, 1, len(self.values)), self.values))


@dataclass(frozen=True)
class Counts:
    """A distribution of 1, 2, ... by weights, which need not add up to one."""

    weights: tuple[float, ...]

    def at(self, probability: float) -> int:
        """Return the number that is not exceeded with a probability below one."""
        total = np.cumsum(self.weights)
        return 1 + int(np.searchsorted(total, probability * total[-1], side="right"))


@dataclass(frozen=True)
class LogNormal:
    """A log-normal distribution.

    Attributes:
        median: In seconds.
        sigma: Standard deviation of the natural logarithm.
    """

    median: float
    sigma: float

    def draw(self, rng: Rng) -> float:
        """Return a number of seconds."""
        return float(self.median * np.exp(rng.normal(0, self.sigma)))


@dataclass(frozen=True)
class SplitLaw:
    """What may differ between the splits of a data set.

    Attributes:
        seconds: Length of a recording, in whole seconds.
        queries: Queries a recording.
        windows: Windows a query.
        width: Median of the width in seconds, for a query with one window in a recording of 300 s.
    """

    seconds: Quantiles
    queries: Counts
    windows: Counts
    width: float


@dataclass(frozen=True)
class Widths:
    """How widths vary around the median: log-normal, by one factor a query and one a window.

    A query with n windows has n to the power of `-thinning` times the median, and one about a recording of d
    seconds d / 300 to the power of `scaling` times. If the windows cover a share s
    of their recording, they are divided by 1 + s / room, so that they fit.

    Attributes:
        between: Standard deviation of the logarithm of the factor of a query.
        within: Standard deviation of the logarithm of the factor of a window.
        thinning: Exponent.
        scaling: Exponent.
        room: Share.
        shortest: Least width, seconds.
    """

    between: float
    within: float
    thinning: float = 0.0
    scaling: float = 0.0
    room: float = 1.0
    shortest: float = 0.5


@dataclass(frozen=True)
class Changes:
    """How the level of a sound changes while it lasts.

    Attributes:
        edge: By how many dB it rises at its start, and falls at its end.
        wander: Standard deviation in dB of slow changes.
        pauses: Number a second, on average.
    """

    edge: Bounds
    wander: float
    pauses: float


@dataclass(frozen=True)
class Levels:
    """How loud sounds are: signal-to-noise ratios in dB, from the RMS of a sound to that of the background.

    Attributes:
        near: Of near sounds.
        far: Of far sounds.
        far_probability: That a sound is far.
        varies: Standard deviation between the occurrences of one sound.
        changes: Inside an occurrence.
    """

    near: Bounds
    far: Bounds
    far_probability: float
    varies: float
    changes: Changes


@dataclass(frozen=True)
class Bed:
    """A sound that is there all the time, under the others, and that no query asks for.

    Attributes:
        probability: That a recording has one.
        speech_probability: That it is speech.
        level: In dB, against the noise of the background.
    """

    probability: float
    speech_probability: float
    level: Bounds


@dataclass(frozen=True)
class Annotators:
    """How people write windows down: outward to a grid, around boundaries that they hear inexactly.

    Attributes:
        step: Of the grid, seconds.
        jitter: Standard deviation of a boundary before it is rounded, seconds.
    """

    step: float
    jitter: float


@dataclass(frozen=True, kw_only=True)
class Laws:
    """The laws of the scenes of one data set.

    Attributes:
        splits: Laws of each split.
        widths: How widths vary.
        gap: Between windows of one query.
        pair_probability: That a query asks for two sounds at the same time, both of which also sound alone.
        others: Fewest and most sounds that no query asks for.
        levels: How loud sounds are.
        bed: What lies under them.
        annotators: How windows are written down.
    """

    splits: Mapping[str, SplitLaw]
    widths: Widths
    gap: LogNormal
    pair_probability: float
    others: tuple[int, int]
    levels: Levels
    bed: Bed
    annotators: Annotators
