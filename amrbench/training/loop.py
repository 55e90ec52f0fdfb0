"""The training loop, the same for every model and every stage."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import override

from amrbench.content_hash import seed_from
from amrbench.data.out_of_memory import explained_memory, memory_request
from amrbench.errors import DataError, RunError
from amrbench.files.tree_file import Tree
from amrbench.files.weights import load_weights
from amrbench.interrupts import interrupted, stop_requested
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
        batches: The training batches of an epoch from a step on, both from 0, on the device of the weights.
        validate: Returns the metrics of the current weights on the selection split, by read-out.
        epochs: Number of passes over the training split.
        steps: Number of batches of an epoch.
        seed: Determines all random draws inside the model, epoch by epoch.
    """

    name: str
    criterion: Criterion
    updater: Updater
    batches: Callable[[int, int], Iterable[tuple[Batch, Target]]]
    validate: Callable[[], Mapping[str, Mapping[str, float]]]
    epochs: int
    steps: int
    seed: int

    def at(self, epoch: int, step: int | None = None) -> str:
        """Return e.g. "toy finetune, epoch 2, step 5 of 69"; epoch and step count from 0."""
        steps = "" if step is None else f", step {step + 1} of {self.steps}"
        return f"{self.name}, epoch {epoch + 1}{steps}"


class Saves(Protocol):
    """Where the state of a stage is saved, so that it can go on after it was stopped."""

    def due(self, *, epoch_seconds: float) -> bool:
        """Whether it is time to save; `epoch_seconds` is how long the last epoch took, 0 within an epoch."""

    def save(self, state: Tree) -> None:
        """Save the state of the loop."""


class NoSaves(Saves):
    """Saves nothing."""

    @override
    def due(self, *, epoch_seconds: float) -> bool:
        return False

    @override
    def save(self, state: Tree) -> None:
        pass


NO_SAVES = NoSaves()


def fit(
    inputs: StageInputs,
    *,
    keep: Callable[[Epoch], None],
    report: Callable[[StageProgress], None] = lambda _: None,
    saves: Saves = NO_SAVES,
    state: Tree = None,
) -> None:
    """Train a stage.

    Args:
        inputs: What to train, on what, and for how long.
        keep: Called after each epoch, while the module has the weights that were validated.
        report: Called after each step, and before validation.
        saves: Gets the state from time to time, and when the process is asked to stop.
        state: A state that was saved, to go on from it to the same numbers as without a stop.

    Raises:
        StepError: A loss, a gradient or a weight is no longer finite.
        RunError: Memory is short.
        Interrupted: The process was asked to stop; the state is saved.
    """
    training = Training(inputs, report=report, explain=partial(explained, inputs), saves=saves)

    def keep_epoch() -> None:
        val, mean = validated(inputs, training.epoch), training.mean
        seconds, memory = training.seconds(), memory_mib()
        keep(Epoch(training.epoch + 1, mean.read(), val, seconds, memory, mean.first_size()))

    training.run(state, keep_epoch)


Explain = Callable[[StepCheck, Exception | None], RunError | None]
"""Returns the message for what was raised, or for what went wrong without it, if anything."""


class Training:
    """The place in a stage, and all that changes on the way."""

    def __init__(
        self,
        inputs: StageInputs,
        *,
        report: Callable[[StageProgress], None],
        explain: Explain,
        saves: Saves = NO_SAVES,
    ) -> None:
        """Start at the beginning; the others as in `fit`."""
        self.inputs, self.report, self.explain, self.saves = inputs, report, explain, saves
        self.check = StepCheck(inputs.criterion)
        self.mean = MeanLosses()
        self.epoch = self.step = 0
        self._began, self._before = perf_counter(), 0.0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def run(self, state: Tree, keep_epoch: Callable[[], None]) -> None:
        """Train to the end.

        Args:
            state: As in `fit`.
            keep_epoch: Called after each epoch, while the weights are those to validate.
        """
        if state is not None:
            self.restore(state)
        while self.epoch < self.inputs.epochs:
            self.train_epoch()
            with self.inputs.updater.eval_weights():
                keep_epoch()
            self.end_epoch()

    def seconds(self) -> float:
        """Return the time of this epoch, with that before a stop."""
        return self._before + perf_counter() - self._began

    def state(self) -> Tree:
        """Return all that determines the rest of the stage, with `StageInputs`."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds(),
            "mean": self.mean.state(),
            "weights": self.inputs.criterion.state_dict(),
            "updater": self.inputs.updater.state_dict(),
            "random": self.check.random_states(),
        }

    def restore(self, state: Tree) -> None:
        """Go on from a state."""
        self.epoch, self.step, self._before = state["epoch"], state["step"], state["seconds"]
        load_weights(self.inputs.criterion, state["weights"], name="the saved state")
        self.mean.load_state(state["mean"], self.check.device)
        self.inputs.updater.load_state_dict(state["updater"])
        self.check.restore_random_states(state["random"])
        self.check.steps = self.epoch * self.inputs.steps + self.step

    def train_epoch(self) -> None:
        """Take the steps of the epoch that are left."""
        inputs, self._began = self.inputs, perf_counter()
        if not self.step:
            torch.manual_seed(seed_from(inputs.seed, self.epoch))
        inputs.criterion.train()
        try:
            for batch, target in inputs.batches(self.epoch, self.step):
                self._take_step(batch, target)
        except Exception as error:
            if message := self.explain(self.check, error):
                raise message from error
            raise
        if message := self.explain(self.check, None):
            raise message
        inputs.updater.end_epoch()
        self.report(StageProgress(self.epoch + 1, inputs.steps, inputs.steps, "validation"))

    def end_epoch(self) -> None:
        """Go on to the next epoch, after the validation."""
        took = self.seconds()
        self.epoch, self.step, self.mean = self.epoch + 1, 0, MeanLosses()
        self._began, self._before = perf_counter(), 0.0
        if self.epoch < self.inputs.epochs:
            self._save(self.saves.due(epoch_seconds=took), self.inputs.at(self.epoch - 1))

    def _take_step(self, batch: Batch, target: Target) -> None:
        self.check.begin(self.epoch, self.step, batch, target)
        self.mean.add(self.inputs.updater.step(self.check.losses))
        self.step += 1
        self.report(StageProgress(self.epoch + 1, self.step, self.inputs.steps))
        if self.step < self.inputs.steps:  # After the last step, the epoch ends first.
            self._save(self.saves.due(epoch_seconds=0), self.inputs.at(self.epoch, self.step - 1))

    def _save(self, due: bool, at: str) -> None:
        """Save if it is time, and save and stop if the process was asked to."""
        stopping = stop_requested()
        if due or stopping:
            self.check.read_all()
            self.saves.save(self.state())
        if stopping:
            raise interrupted(at)


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

    def state(self) -> Tree:
        """Return all that was added so far."""
        return {"sums": self.sums, "first": self.first, "steps": self.steps}

    def load_state(self, state: Tree, device: torch.device) -> None:
        """Go on from a state, on the device of the losses."""
        self.sums, self.first = (
            {name: value.to(device) for name, value in state[part].items()} for part in ("sums", "first")
        )
        self.steps = state["steps"]

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
