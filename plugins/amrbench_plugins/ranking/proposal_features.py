"""What a calibrator reads of a moment: evidence, score, rank, width, and agreement with other moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import RunError
from amrbench.functional.windows import iou
from amrbench.types import Candidates, Floats

SOURCE = "source"
_SHORTEST = 0.5  # seconds; a shorter moment has the logarithm of this width


@dataclass(frozen=True)
class ScoreScale:
    """The scores of one source, e.g. one of several pooled read-outs."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class FeatureSpace:
    """Which features there are.

    Attributes:
        evidence: Names of the evidence that is read, without "source".
        scales: The scores of each source by its number; moments without "source" are of source 0.
    """

    evidence: tuple[str, ...]
    scales: dict[int, ScoreScale]

    @classmethod
    def of(cls, examples: Sequence[Candidates]) -> FeatureSpace:
        """Return the evidence that all examples have, and the mean and deviation of each source's scores."""
        names = set.intersection(*(set(one.evidence) for one in examples)) - {SOURCE}
        sources = np.concatenate([sources_of(one) for one in examples])
        scores = np.concatenate([one.moments[:, 2] for one in examples]).astype(np.float64)
        by_source = {int(source): scores[sources == source] for source in np.unique(sources)}
        scales = {source: ScoreScale(float(own.mean()), deviation(own)) for source, own in by_source.items()}
        return cls(tuple(sorted(names)), scales)

    @property
    def names(self) -> list[str]:
        """Return the names of the features, in the order of the columns."""
        own = ["score", "score minus best", "log rank", "log width", "agreement"]
        among = ["agreement of sources", *(f"source {source}" for source in self.scales)]
        return [*self.evidence, *own, *(among if len(self.scales) > 1 else ())]

    def features(self, candidates: Candidates) -> Floats:
        """Return (N, F) features of the moments of one query, best first.

        * each evidence as it is;
        * the score as deviations from the mean of its source, and its distance from the best of its source;
        * log(1 + rank), where the best moment of a source has rank 0, and the log of the width in seconds;
        * the largest IoU with another moment;
        * with several sources, the largest IoU with a moment of another source, and 1 for its own source.

        Raises:
            RunError: Evidence is missing, or a source is new.
        """
        self._refuse_other_evidence(candidates)
        moments, sources = candidates.moments.astype(np.float64), sources_of(candidates)
        standard = self._standard_scores(moments[:, 2], sources)
        overlaps = iou(moments, moments)
        np.fill_diagonal(overlaps, 0)
        below, ranks = np.zeros(len(moments)), np.zeros(len(moments))
        for source in self.scales:
            own = np.flatnonzero(sources == source)
            below[own] = standard[own] - standard[own].max(initial=-np.inf)
            ranks[own] = np.argsort(np.argsort(-standard[own], kind="stable"))
        columns = [candidates.evidence[name].astype(np.float64) for name in self.evidence]
        widths = np.log(np.maximum(moments[:, 1] - moments[:, 0], _SHORTEST))
        columns += [standard, below, np.log1p(ranks), widths, overlaps.max(1, initial=0)]
        if len(self.scales) > 1:
            elsewhere = np.where(sources[:, None] != sources, overlaps, 0)
            columns.append(elsewhere.max(1, initial=0))
            columns += [(sources == source).astype(np.float64) for source in self.scales]
        return np.column_stack(columns)

    def _standard_scores(self, scores: Floats, sources: NDArray[np.int64]) -> Floats:
        """Return the scores (N,) as deviations from the mean of each source."""
        means, deviations = np.zeros(len(scores)), np.ones(len(scores))
        for source, scale in self.scales.items():
            means[sources == source], deviations[sources == source] = scale.mean, scale.deviation
        return (scores - means) / deviations

    def _refuse_other_evidence(self, candidates: Candidates) -> None:
        missing = [name for name in self.evidence if name not in candidates.evidence]
        unknown = sorted(set(sources_of(candidates).tolist()) - self.scales.keys())
        if missing:
            fault = f"it was fitted with the evidence {_listed(missing)}, which these moments lack"
        elif unknown:
            fault = f"it was fitted without moments of source {_listed(unknown)}, which are here"
        else:
            return
        raise RunError(
            f"ranking 'calibrated': {fault}. Use the read-out that it was fitted with, or run the recipe "
            "again so that it is fitted for this one."
        )


def sources_of(candidates: Candidates) -> NDArray[np.int64]:
    """Return (N,) the source of each moment; 0 where it is not known."""
    column = candidates.evidence.get(SOURCE)
    return np.zeros(len(candidates), np.int64) if column is None else column.astype(np.int64)


def deviation(values: Floats) -> float:
    """Return the standard deviation of (N,) values; 1 where they are all the same."""
    spread = float(values.std())
    return spread if spread > 1e-6 * max(1.0, float(np.abs(values).max(initial=0))) else 1.0


def _listed(items: Iterable[object]) -> str:
    return ", ".join(repr(item) for item in items)
