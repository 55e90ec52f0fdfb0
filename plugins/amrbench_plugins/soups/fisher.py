"""Fisher-weighted soup: report, section 3.5.

The report weights each number of each model by its Fisher information on data that was not trained on, and
cites no code. The formula, the division by the norm and the floor of 1e-6 follow the public code of Matena
and Raffel (2022). Our choices: that data is the selection split, or by an option the training splits; the
losses of spans, class and IoU replace the likelihood, which this model lacks; and the floor is relative to
the root mean square, because squared gradients are far below 1e-6, so that an absolute floor would silently
make the soup uniform. Divided by the norm, such a floor is the same for all seeds, so that numbers that no
loss reaches have the plain mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from amrbench.errors import RunError
from amrbench.slots.soups import Candidate, FisherData, SoupResult, SoupScorer, Weights
from amrbench_plugins.soups.weighted_mean import Epoch, WeightedMean, named, weights_of


def fisher_soup(
    candidates: Sequence[Candidate],
    scorer: SoupScorer,
    *,
    epoch: Epoch,
    losses: Sequence[str],
    data: FisherData,
    floor: float,
) -> Mapping[str, SoupResult]:
    """Return the mean weighted by Fisher information.

    The information of a number is at least `floor` times the root mean square of that of all.

    Raises:
        RunError: All information of a seed is zero, or some of it is not finite.
    """
    mean, floored = WeightedMean(scorer.fixed), {}
    for candidate in candidates:
        weights = weights_of(candidate, epoch)
        information = dict(scorer.fisher(weights, losses, data))
        floored[candidate.name] = _add(mean, candidate.name, weights, information, floor, losses)
    fraction = sum(floored.values()) / len(floored)
    note = f"{fraction:.1%} of the numbers count by the floor alone"
    about = {"soup": "fisher", "epoch": epoch, "floored": floored}
    return {named("fisher", epoch): SoupResult(mean.mean(), mean.names, note=note, about=about)}


def _add(
    mean: WeightedMean,
    name: str,
    weights: Weights,
    given: dict[str, Tensor],
    floor: float,
    losses: Sequence[str],
) -> float:
    """Add a seed with its information to the mean; return the part of its numbers below the floor."""
    numbers, information = joined(given)
    if not 0 < (norm := numbers.norm()) < torch.inf:
        raise RunError(
            f"a soup cannot be made: the norm of the Fisher information of {name} is {norm.item():g}, so it "
            f"cannot weight a mean. Check the losses that it is computed of: {', '.join(losses)}."
        )
    numbers.div_(norm)
    least = floor / math.sqrt(len(numbers))  # Their root mean square is one over this root now.
    floored = int((numbers < least).count_nonzero()) / len(numbers)
    numbers.clamp_(min=least)
    mean.add(name, weights, information)
    return round(floored, 6)


def joined(tensors: dict[str, Tensor]) -> tuple[Tensor, Weights]:
    """Return all numbers in one row in float64, and the tensors as parts of it.

    The given tensors are taken out one by one, so that they and the row are not in memory at the same time.
    """
    row = torch.empty(sum(tensor.numel() for tensor in tensors.values()), dtype=torch.float64)
    parts, start = {}, 0
    for name in list(tensors):
        tensor = tensors.pop(name)
        end = start + tensor.numel()
        parts[name] = row[start:end].view(tensor.shape).copy_(tensor)
        start = end
    return row, parts
