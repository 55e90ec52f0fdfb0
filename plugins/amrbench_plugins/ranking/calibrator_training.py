"""The calibrator is fitted to the moments of the selection split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from amrbench.errors import RunError
from amrbench.functional.windows import iou
from amrbench.types import Candidates, Floats, Plain, Query
from amrbench_plugins.ranking.calibrator import Calibrator, Network
from amrbench_plugins.ranking.choice import scorable_examples
from amrbench_plugins.ranking.proposal_features import FeatureSpace, deviation

LEAST = 20
"""The smallest number of moments to learn from."""
ROWS = 1024
"""Moments in a step."""
RATE = 3e-3
SEED = 0


@dataclass(frozen=True)
class Training:
    """Width of the hidden layer, steps, and weight decay."""

    hidden: int
    steps: int
    decay: float


def fit_calibrator(examples: Sequence[tuple[Candidates, Query]], training: Training) -> Mapping[str, Plain]:
    """Return a calibrator as plain numbers.

    Queries without ground truth are left out. The global random state is neither read nor changed.

    Raises:
        RunError: There are too few moments.
    """
    known = [(one, query) for one, query in scorable_examples(examples) if len(one)]
    count = sum(len(one) for one, _ in known)
    if count < LEAST:
        raise RunError(
            f"ranking 'calibrated': it learns from the moments of queries with ground truth, and {count} are "
            f"too few; at least {LEAST} are needed. Select on a larger annotated split, or leave it out of "
            "`ranking`."
        )
    space = FeatureSpace.of([one for one, _ in known])
    features = np.concatenate([space.features(one) for one, _ in known])
    targets = np.concatenate([expected_overlap(one, query) for one, query in known])
    return Calibrator(space, _trained(features, targets, training)).plain()


def expected_overlap(candidates: Candidates, query: Query) -> Floats:
    """Return (N,) the targets: the largest IoU with a true window, from 0 at 0.3 to 1 at 0.9."""
    overlaps = iou(candidates.moments, np.array(query.windows, np.float64)).max(1)
    return np.asarray(((overlaps - 0.3) / 0.6).clip(0, 1), dtype=np.float64)


def _trained(features: Floats, targets: Floats, training: Training) -> Network:
    """Return the network after some steps of AdamW on the binary cross entropy, in float64 on the CPU."""
    means = features.mean(0)
    deviations = np.array([deviation(column) for column in features.T])
    with torch.inference_mode(False), torch.enable_grad(), _one_thread(), torch.device("cpu"):
        inputs, truth = torch.from_numpy((features - means) / deviations), torch.from_numpy(targets)
        generator = torch.Generator().manual_seed(SEED)
        weights = _initial(features.shape[1], training.hidden, generator)
        optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=training.decay)
        for _ in range(training.steps):
            rows = torch.randint(len(inputs), (ROWS,), generator=generator)
            loss = functional.binary_cross_entropy_with_logits(_logits(inputs[rows], weights), truth[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return Network(means, deviations, *(weight.detach().numpy() for weight in weights))


def _initial(features: int, hidden: int, generator: torch.Generator) -> list[Tensor]:
    """Return weights and biases of both layers, uniform within 1 / sqrt(inputs) as in `nn.Linear`."""
    shapes = [((hidden, features), features), ((hidden,), features), ((hidden,), hidden), ((), hidden)]
    return [
        ((2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) / inputs**0.5).requires_grad_()
        for shape, inputs in shapes
    ]


def _logits(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    hidden, hidden_bias, output, output_bias = weights
    return functional.silu(inputs @ hidden.T + hidden_bias) @ output + output_bias


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: with several, sums would depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
