"""The training loop, the same for every model and every stage."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from amrbench.content_hash import seed_from
from amrbench.data.out_of_memory import explained_memory, memory_request
from amrbench.errors import DataError, RunError
from amrbench.files.weights import state_of
from amrbench.slots.optimizers import Updater
from amrbench.training.criterion import Criterion
from amrbench.training.failures import StepError, diagnose
from amrbench.training.log import Epoch, StageProgress
from amrbench.training.step_check import StepCheck
from amrbench.types import Batch, Losses, Target

LESS_MEMORY = (
    "Each process has its own memory: a smaller --jobs helps and does not change the results. Otherwise "
    "lower 'training.batch' or 'limits.frames' of the recipe."
)


@dataclass(frozen=True)
class StageInputs:
    """All that the loop needs to train a stage.

    Attributes:
        name: Of the stage, for messages.
        criterion: Model and losses.
        updater: Changes their weights.
        batches: The training batches of an epoch, from 0, on the device of the weights.
        validate: Returns the metrics of the current weights on the selection split, by read-out.
        epochs: Number of passes over the training split.
        steps: Number of batches of an epoch.
        seed: Determines all random draws inside the model, epoch by epoch.
    """

    name: str
    criterion: Criterion
    updater: Updater
    batches: Callable[[int], Iterable[tuple[Batch, Target]]]
    validate: Callable[[], Mapping[str, Mapping[str, float]]]
    epochs: int
    steps: int
    seed: int

    def at(self, epoch: int, step: int | None = None) -> str:
        """Return e.g. "toy finetune, epoch 2, step 5 of 69"; epoch and step count from 0."""
        steps = "" if step is None else f", step {step + 1} of {self.steps}"
        return f"{self.name}, epoch {epoch + 1}{steps}"


def fit(
    inputs: StageInputs,
    *,
    keep: Callable[[Epoch], None],
    report: Callable[[StageProgress], None] = lambda _: None,
) -> None:
    """Train a stage.

    Args:
        inputs: What to train, on what, and for how long.
        keep: Called after each epoch, while the module has the weights that were validated.
        report: Called after each step, and before validation.

    Raises:
        StepError: A loss, a gradient or a weight is no longer finite.
        RunError: Memory is short.
    """
    check = StepCheck(inputs.criterion)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for epoch in range(inputs.epochs):
        began = perf_counter()
        mean = train_epoch(inputs, epoch, check, report=report, explain=partial(explained, inputs, check))
        with inputs.updater.eval_weights():
            val = validated(inputs, epoch)
            seconds, memory = perf_counter() - began, memory_mib()
            keep(Epoch(epoch + 1, mean.read(), val, seconds, memory, mean.first_size()))


def train_epoch(
    inputs: StageInputs,
    epoch: int,
    check: StepCheck,
    *,
    report: Callable[[StageProgress], None],
    explain: Callable[[Exception | None], RunError | None],
) -> MeanLosses:
    """Take the steps of an epoch and return their losses.

    Args:
        inputs: What to train, and on what.
        epoch: From 0.
        check: Of the whole stage.
        report: Called after each step, and before validation.
        explain: Returns the message for what was raised, or for what went wrong without it, if anything.
    """
    torch.manual_seed(seed_from(inputs.seed, epoch))
    inputs.criterion.train()
    mean = MeanLosses()
    try:
        for step, (batch, target) in enumerate(inputs.batches(epoch)):
            check.begin(epoch, step, batch, target)
            mean.add(inputs.updater.step(check.losses))
            report(StageProgress(epoch + 1, step + 1, inputs.steps))
    except Exception as error:
        if message := explain(error):
            raise message from error
        raise
    if message := explain(None):
        raise message
    inputs.updater.end_epoch()
    report(StageProgress(epoch + 1, inputs.steps, inputs.steps, "validation"))
    return mean


def explained(inputs: StageInputs, check: StepCheck, error: Exception | None) -> RunError | None:
    """Return the message for what failed in the last steps; None for other exceptions, and if all is well."""
    if check.records and error and (request := memory_request(error)):
        last = check.records[-1]
        frames, words = last.batch.audio.shape[1], last.batch.text.shape[1]
        return RunError(
            f"{inputs.at(last.epoch, last.step)}: out of memory: {request}. The batch has "
            f"{len(last.batch.audio)} queries of up to {frames} rows and {words} words. {LESS_MEMORY}"
        )
    if diagnosis := diagnose(check, error):
        at = inputs.at(diagnosis.record.epoch, diagnosis.record.step)
        return StepError(at, diagnosis, inputs.criterion)
    return None


def validated(inputs: StageInputs, epoch: int) -> Mapping[str, Mapping[str, float]]:
    """Return the metrics of an epoch from 0; RunError if memory is short, or a prediction is not finite."""
    where = f"{inputs.at(epoch)}, validation"
    try:
        with explained_memory(where, LESS_MEMORY):
            return inputs.validate()
    except DataError as error:  # E.g. a predicted window is not finite.
        raise RunError(f"{where}: {error}") from error


class MeanLosses:
    """Sums loss terms on their device, so that only reading them waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.first: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, losses: Losses) -> None:
        """Add the terms of a step."""
        self.first = self.first or dict(losses.terms)
        for name, value in losses.terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.steps += 1

    def of_model(self, number: int) -> MeanLosses:
        """Return the losses of one model of an array."""
        own = MeanLosses()
        own.sums = {name: values[number] for name, values in self.sums.items()}
        own.first = {name: values[number] for name, values in self.first.items()}
        own.steps = self.steps
        return own

    def read(self) -> dict[str, float]:
        """Return the mean of each term; none without steps."""
        if not self.sums:
            return {}
        means = (torch.stack(list(self.sums.values())) / self.steps).tolist()
        return dict(zip(self.sums, means, strict=True))

    def first_size(self) -> float:
        """Return the sum of the terms of the first step, without their signs."""
        return sum(abs(float(value)) for value in self.first.values())


@dataclass(frozen=True)
class Kept:
    """The weights of the epoch that is best for a read-out; 0 for the weights before the first epoch."""

    weights: Mapping[str, Tensor]
    epoch: int
    val: Mapping[str, float]


class CheckpointKeeper:
    """Keeps the weights of the last epoch, and of the best one for each read-out."""

    def __init__(self, module: nn.Module, readouts: Sequence[str], select: Sequence[str]) -> None:
        """Start with the current weights; `select` are the metrics, the most important one first."""
        self.module = module
        self.select = select
        self.last = state_of(module)
        self.best = {name: Kept(self.last, 0, {}) for name in readouts}

    def update(self, epoch: Epoch) -> None:
        """Keep the current weights as the last, and as the best where they score higher than all before."""
        self.last = state_of(self.module)
        for name, kept in self.best.items():
            if not kept.epoch or self._score(epoch.val[name]) > self._score(kept.val):
                self.best[name] = Kept(self.last, epoch.epoch, epoch.val[name])

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
    # On Linux, the peak that getrusage gives begins with that of the process that started this one.
    status = Path("/proc/self/status")
    if status.exists() and (peak := re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)):
        return int(peak[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
