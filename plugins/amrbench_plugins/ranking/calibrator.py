"""A small network from the features of a moment to its expected overlap with the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from amrbench.errors import RunError
from amrbench.types import Candidates, Floats, Plain, Query
from amrbench_plugins.ranking.proposal_features import FeatureSpace, ScoreScale


@dataclass(frozen=True)
class Network:
    """One hidden layer with SiLU, between standardised features and a logit.

    Attributes:
        means: (F,) of the features.
        deviations: (F,) of the features.
        hidden: (H, F)
        hidden_bias: (H,)
        output: (H,)
        output_bias: ()
    """

    means: Floats
    deviations: Floats
    hidden: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats

    def __call__(self, features: Floats) -> Floats:
        """Return (N,) probabilities for features (N, F)."""
        inner = (features - self.means) / self.deviations @ self.hidden.T + self.hidden_bias
        logits = inner * _sigmoid(inner) @ self.output + self.output_bias
        return _sigmoid(logits)


@dataclass(frozen=True)
class Calibrator:
    """The features of a moment, and the network that reads them."""

    space: FeatureSpace
    network: Network

    def plain(self) -> dict[str, Plain]:
        """Return it as text, numbers and lists of numbers, six digits each."""
        sources, scales = self.space.scales.keys(), self.space.scales.values()
        return {
            "evidence": list(self.space.evidence),
            "features": list(self.space.names),
            "sources": list(sources),
            "score_means": _rounded([scale.mean for scale in scales]),
            "score_deviations": _rounded([scale.deviation for scale in scales]),
            **{name: _rounded(value.tolist()) for name, value in vars(self.network).items()},
        }


def calibrator_of(fitted: Mapping[str, Plain]) -> Calibrator:
    """Return the calibrator of what `Calibrator.plain` gave.

    Raises:
        RunError: It is no calibrator, or one of other features.
    """
    numbers: Mapping[str, Any] = fitted
    try:
        scales = zip(numbers["score_means"], numbers["score_deviations"], strict=True)
        by_source = dict(zip(numbers["sources"], (ScoreScale(*scale) for scale in scales), strict=True))
        space = FeatureSpace(tuple(numbers["evidence"]), by_source)
        network = Network(*(np.array(numbers[name], np.float64) for name in Network.__dataclass_fields__))
        if numbers["features"] != space.names or network.hidden.shape[1:] != (len(space.names),):
            raise ValueError("other features")
    except (KeyError, TypeError, ValueError, IndexError):
        raise RunError(
            "ranking 'calibrated': nothing that it can use was fitted. Run the recipe again so that it is "
            "fitted."
        ) from None
    return Calibrator(space, network)


def calibrate(candidates: Candidates, query: Query, *, calibrator: Calibrator) -> Candidates:
    """Score the moments by their expected overlap."""
    if not len(candidates):
        return candidates
    expected = calibrator.network(calibrator.space.features(candidates))
    return candidates.with_scores(expected.astype(np.float32))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), dtype=np.float64)


def _rounded(value: Plain) -> Plain:
    """Return numbers with six digits, which change no order that matters and keep the result file short."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{cast('float', value):.6g}")
