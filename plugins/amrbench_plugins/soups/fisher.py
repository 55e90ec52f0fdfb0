"""Fisher-weighted soup: report, section 3.5.

The report weights each number of each model by its Fisher information on data that was not trained on, and
cites no code. The formula, the division by the norm and the floor of 1e-6 follow the public code of Matena
and Raffel (2022). Our choices: that data is the selection split; the losses of spans, class and IoU replace
the likelihood, which this model lacks; and the floor is relative to the mean, because squared gradients are
far below 1e-6, so that an absolute floor would silently make the soup uniform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from amrbench.errors import RunError
from amrbench.slots.soups import Candidate, SoupResult, SoupScorer, Weights
from amrbench_plugins.soups.weighted_mean import Epoch, WeightedMean, named, weights_of


def fisher_soup(
    candidates: Sequence[Candidate],
    scorer: SoupScorer,
    *,
    epoch: Epoch,
    losses: Sequence[str],
    floor: float,
) -> Mapping[str, SoupResult]:
    """Return the mean weighted by Fisher information, which is at least `floor` times its mean.

    Raises:
        RunError: All information of a seed is zero, or some of it is not finite.
    """
    mean = WeightedMean(scorer.fixed)
    floored: dict[str, float] = {}
    for candidate in candidates:
        weights = weights_of(candidate, epoch)
        information = scorer.fisher(weights, losses)
        numbers = flat(information)
        if not 0 < (norm := numbers.norm()) < torch.inf:
            raise RunError(
                f"a soup cannot be made: the norm of the Fisher information of {candidate.name} is "
                f"{norm.item():g}, so it cannot weight a mean. Check the losses that it is computed of: "
                f"{', '.join(losses)}."
            )
        least = floor * numbers.mean()
        mean.add(candidate.name, weights, importance(information, least, norm))
        floored[candidate.name] = round((numbers < least).double().mean().item(), 6)
    fraction = sum(floored.values()) / len(floored)
    note = f"{fraction:.1%} of the numbers count by the floor alone"
    about = {"soup": "fisher", "epoch": epoch, "floored": floored}
    return {named("fisher", epoch): SoupResult(mean.mean(), mean.names, note=note, about=about)}


def importance(information: Weights, floor: Tensor | float, norm: Tensor) -> Weights:
    """Return the weight of each number: its information, at least `floor`, divided by the norm of all."""
    return {key: tensor.double().clamp(min=floor) / norm for key, tensor in information.items()}


def flat(weights: Weights) -> Tensor:
    """Return all numbers in one row."""
    return torch.cat([tensor.double().flatten() for tensor in weights.values()])
