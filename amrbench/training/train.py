"""The training loop. There is one, for every model and every stage."""

from __future__ import annotations

import hashlib
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

from amrbench.errors import RunError, some
from amrbench.files.weights import state_of
from amrbench.slots import Updater
from amrbench.training.criterion import Criterion
from amrbench.training.log import Epoch
from amrbench.types import Batch, Losses, Target


@dataclass(frozen=True)
class Lesson:
    """What a stage teaches, and how it is watched.

    Attributes:
        name: Of the stage, for messages.
        epochs: Passes over the training split.
        samples: The training batches of an epoch, from 0, on the device of the weights.
        validate: Metrics on the selection split of the weights as they are.
        seed: Determines everything random inside the model, epoch by epoch.
    """

    name: str
    epochs: int
    samples: Callable[[int], Iterable[tuple[Batch, Target]]]
    validate: Callable[[], Mapping[str, float]]
    seed: int


def fit(criterion: Criterion, updater: Updater, lesson: Lesson, *, keep: Callable[[Epoch], None]) -> None:
    """Train.

    Args:
        criterion: Model and losses.
        updater: Moves their weights.
        lesson: What to train on and for how long.
        keep: Called after each epoch, while the weights that were scored are in place.

    Raises:
        RunError: A loss or a weight is no longer finite.
    """
    steps = count()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for number in range(lesson.epochs):
        began = perf_counter()
        torch.manual_seed(seed_of(lesson.seed, number))
        criterion.train()
        mean = MeanLosses()
        with _explained(criterion, lesson.name, number):
            for batch, target in lesson.samples(number):
                mean.add(updater.step(partial(criterion, batch, target, next(steps))))
        losses = mean.read()
        _refuse_infinite(criterion, lesson.name, number, losses)
        updater.end_epoch()
        with updater.eval_weights():
            val = lesson.validate()
            keep(Epoch(number + 1, losses, val, perf_counter() - began, memory_mib()))


class MeanLosses:
    """Sums terms where they are; reading them is the one wait for the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, losses: Losses) -> None:
        """Take the terms of a step."""
        for name, value in losses.terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.steps += 1

    def read(self) -> dict[str, float]:
        """Return the mean of each term; none without steps."""
        if not self.sums:
            return {}
        means = (torch.stack(list(self.sums.values())) / self.steps).tolist()
        return dict(zip(self.sums, means, strict=True))


class Best:
    """Remembers the weights of the best epoch and of the last."""

    def __init__(self, module: nn.Module, select: Sequence[str]) -> None:
        """Begin with the weights as they are; `select` are the metrics, the first counts most."""
        self.module = module
        self.select = select
        self.best = self.last = state_of(module)
        self.epoch = 0
        self.val: Mapping[str, float] = {}

    def see(self, epoch: Epoch) -> None:
        """Take the weights if they are the best so far; of equal ones the first stay."""
        self.last = state_of(self.module)
        if not self.epoch or self._score(epoch.val) > self._score(self.val):
            self.best, self.epoch, self.val = self.last, epoch.epoch, epoch.val

    def _score(self, val: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(val[name] for name in self.select)


@contextmanager
def steady(threads: int) -> Iterator[None]:
    """Compute as the figures of a run demand, and leave torch as it was.

    The number of threads decides how sums are split and so their last bits. Numbers too small for full
    precision are flushed to zero: with them a step takes up to twice as long. The global random state
    is given back.
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


def seed_of(*names: object) -> int:
    """Return a seed for something that is identified by its names."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "little") % (1 << 63)


def memory_mib() -> float:
    """Return the largest memory so far: of the device if one is in use, otherwise of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@contextmanager
def _explained(criterion: nn.Module, name: str, number: int) -> Iterator[None]:
    """Tell a failure that weights out of bounds cause from a bug."""
    try:
        yield
    except (ValueError, RuntimeError, ArithmeticError, IndexError):
        _refuse_infinite(criterion, name, number, {})
        raise


def _refuse_infinite(criterion: nn.Module, name: str, number: int, losses: Mapping[str, float]) -> None:
    terms = [term for term, value in losses.items() if not abs(value) < float("inf")]
    if terms:
        what = f"the loss term {some(terms)} is not finite"
    elif not all(bool(torch.isfinite(each).all()) for each in criterion.parameters()):
        what = "the weights are not finite"
    else:
        return
    raise RunError(
        f"{name}, epoch {number + 1}: {what}; this stage is given up and nothing of it is kept. Try a lower "
        "learning rate (training.optimizer), a longer warm-up or a smaller training.clip, and check that "
        "the features are sound."
    )
