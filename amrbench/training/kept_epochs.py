"""The weights of a stage that are kept: those of the last epoch, and of the best one for each read-out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum

from torch import Tensor, nn

from amrbench.files.tree_file import Tree
from amrbench.files.weights import state_of
from amrbench.training.log import Epoch


@dataclass(frozen=True)
class Kept:
    """The weights of the epoch that is best for a read-out; 0 for the weights before the first epoch."""

    weights: Mapping[str, Tensor]
    epoch: int
    val: Mapping[str, float]
    score: tuple[float, ...] = ()


@dataclass(frozen=True)
class ValidatedEpoch:
    """An epoch that counts for the scores of its neighbours.

    Attributes:
        epoch: Its number, from 1.
        val: Its metrics, by read-out.
        weights: None once its own score is known.
    """

    epoch: int
    val: Mapping[str, Mapping[str, float]]
    weights: Mapping[str, Tensor] | None


class CheckpointKeeper:
    """Keeps the weights of the last epoch, and of the best one for each read-out.

    The score of an epoch is the mean of a metric over itself and the same number of neighbours before and
    after it, as far as there are any. Its weights are held until the last of them is validated.
    """

    def __init__(
        self, module: nn.Module, readouts: Sequence[str], select: Sequence[str], *, over: int = 1
    ) -> None:
        """Start with the current weights.

        Args:
            module: Has the weights.
            readouts: Names of the read-outs.
            select: The metrics, the most important one first.
            over: How many epochs a mean is over, an odd number.
        """
        self.module = module
        self.select = select
        self.neighbours = over // 2
        self.last = state_of(module)
        self.recent: deque[ValidatedEpoch] = deque(maxlen=over)
        self._scored = {name: Kept(self.last, 0, {}) for name in readouts}

    @property
    def best(self) -> dict[str, Kept]:
        """Return what is best for each read-out, if no further epoch counts."""
        best = self._scored
        for epoch in self.recent:
            best = self._after(best, epoch)
        return best

    def update(self, epoch: Epoch) -> None:
        """Keep the current weights as the last, and as the best where they score higher than all before."""
        self.last = state_of(self.module)
        self.recent.append(ValidatedEpoch(epoch.epoch, epoch.val, self.last))
        if len(self.recent) > self.neighbours:
            index = -1 - self.neighbours  # The epoch whose last neighbour this is.
            self._scored = self._after(self._scored, self.recent[index])
            self.recent[index] = replace(self.recent[index], weights=None)

    def state(self) -> Tree:
        """Return what is kept; the last weights are those of the next epoch."""
        return {
            "scored": {
                name: [kept.weights, kept.epoch, kept.val, kept.score] for name, kept in self._scored.items()
            },
            "recent": [[epoch.epoch, epoch.val, epoch.weights] for epoch in self.recent],
        }

    def load_state(self, state: Tree) -> None:
        """Keep what a state holds."""
        self._scored = {name: Kept(*kept) for name, kept in state["scored"].items()}
        self.recent.extend(ValidatedEpoch(*epoch) for epoch in state["recent"])

    def _after(self, best: Mapping[str, Kept], epoch: ValidatedEpoch) -> dict[str, Kept]:
        """Return what is best once the score of an epoch counts; of equal ones the first stays."""
        if epoch.weights is None:
            return dict(best)
        return {
            name: max(
                kept,
                Kept(epoch.weights, epoch.epoch, epoch.val[name], self._score(name, epoch.epoch)),
                key=lambda either: either.score,
            )
            for name, kept in best.items()
        }

    def _score(self, readout: str, number: int) -> tuple[float, ...]:
        """Return the means of the metrics around an epoch; their order changes no bit of the sums."""
        vals = [own.val[readout] for own in self.recent if abs(own.epoch - number) <= self.neighbours]
        return tuple(fsum(val[name] for val in vals) / len(vals) for name in self.select)
