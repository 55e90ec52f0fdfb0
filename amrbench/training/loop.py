"""The training loop, the same for every model and every stage."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from time import perf_counter

import torch
from torch import Tensor, nn

from amrbench.content_hash import seed_from
from amrbench.errors import RunError, some
from amrbench.files.weights import state_of
from amrbench.slots.optimizers import Updater
from amrbench.training.criterion import Criterion
from amrbench.training.log import Epoch
from amrbench.types import Batch, Losses, Target


@dataclass(frozen=True)
class StageInputs:
    """All that the loop needs to train a stage.

    Attributes:
        name: Of the stage, for messages.
        criterion: Model and losses.
        updater: Changes their weights.
        batches: The training batches of an epoch, from 0, on the device of the weights.
        validate: Returns the metrics of the current weights on the selection split.
        epochs: Number of passes over the training split.
        seed: Determines all random draws inside the model, epoch by epoch.
    """

    name: str
    criterion: Criterion
    updater: Updater
    batches: Callable[[int], Iterable[tuple[Batch, Target]]]
    validate: Callable[[], Mapping[str, float]]
    epochs: int
    seed: int


def fit(inputs: StageInputs, *, keep: Callable[[Epoch], None]) -> None:
    """Train a stage.

    Args:
        inputs: What to train, on what, and for how long.
        keep: Called after each epoch, while the module has the weights that were validated.

    Raises:
        RunError: A loss or a weight is no longer finite.
    """
    criterion, steps = inputs.criterion, count()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for epoch in range(inputs.epochs):
        began = perf_counter()
        torch.manual_seed(seed_from(inputs.seed, epoch))
        criterion.train()
        mean = MeanLosses()
        try:
            for batch, target in inputs.batches(epoch):
                mean.add(inputs.updater.step(partial(criterion, batch, target, next(steps))))
        except (ValueError, RuntimeError, ArithmeticError, IndexError):
            _refuse_infinite(criterion, inputs.name, epoch, {})  # Explains the error, unless it is a bug.
            raise
        losses = mean.read()
        _refuse_infinite(criterion, inputs.name, epoch, losses)
        inputs.updater.end_epoch()
        with inputs.updater.eval_weights():
            val = inputs.validate()
            keep(Epoch(epoch + 1, losses, val, perf_counter() - began, memory_mib()))


class MeanLosses:
    """Sums loss terms on their device, so that only `read` waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, losses: Losses) -> None:
        """Add the terms of a step."""
        for name, value in losses.terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.steps += 1

    def read(self) -> dict[str, float]:
        """Return the mean of each term; none without steps."""
        if not self.sums:
            return {}
        means = (torch.stack(list(self.sums.values())) / self.steps).tolist()
        return dict(zip(self.sums, means, strict=True))


class CheckpointKeeper:
    """Keeps the weights of the best epoch and of the last."""

    def __init__(self, module: nn.Module, select: Sequence[str]) -> None:
        """Start with the current weights; `select` are the metrics, the most important one first."""
        self.module = module
        self.select = select
        self.best = self.last = state_of(module)
        self.epoch = 0
        self.val: Mapping[str, float] = {}

    def update(self, epoch: Epoch) -> None:
        """Keep the current weights as the last, and as the best if they score higher than all before."""
        self.last = state_of(self.module)
        if not self.epoch or self._score(epoch.val) > self._score(self.val):
            self.best, self.epoch, self.val = self.last, epoch.epoch, epoch.val

    def _score(self, val: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(val[name] for name in self.select)


@contextmanager
def fixed_numerics(threads: int) -> Iterator[None]:
    """Compute the same bits every time, and restore torch's settings and random state afterwards.

    The number of threads decides how sums are split, and so their last bits. Denormal numbers are flushed to
    zero, because they make a step up to twice as slow.
    """
    before = torch.get_num_threads()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def memory_mib() -> float:
    """Return the peak memory so far, of the device if one is used, otherwise of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _refuse_infinite(criterion: nn.Module, name: str, epoch: int, losses: Mapping[str, float]) -> None:
    terms = [term for term, value in losses.items() if not abs(value) < float("inf")]
    if terms:
        what = f"the loss term {some(terms)} is not finite"
    elif not all(bool(torch.isfinite(weight).all()) for weight in criterion.parameters()):
        what = "the weights are not finite"
    else:
        return
    raise RunError(
        f"{name}, epoch {epoch + 1}: {what}; the stage is stopped and nothing of it is kept. Try a lower "
        "learning rate (training.optimizer), a longer warm-up or a smaller training.clip, and check the "
        "features."
    )
