"""Find the step at which a loss stops being finite, without waiting for the device once more.

On a CPU the values of each step are read at once, before the weights change. A GPU sends them to the host
while it computes, and they are read when they have arrived: the copy that the matcher of the next step waits
for comes after them, so waiting for the matcher is enough. Weights are copied before each step, on their
device, so that those that gave a failing step can be kept, even if it is noticed one or two steps later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amrbench.training.criterion import Criterion
from amrbench.types import Batch, Losses, Target

TOTAL = "total"
"""Name of the sum of all terms."""
UNREAD = 2
"""Evaluations whose values may be on their way; the one before these has come, if a matcher waits at all."""


@dataclass(frozen=True)
class StepRecord:
    """All that determines a step.

    Attributes:
        epoch: From 0.
        step: In the epoch, from 0.
        index: In the stage, from 0.
        batch: Its queries.
        target: Their ground truth.
        weights: Copies of all tensors that training changes, from before the step.
        random: States of the random generators before the step: of the CPU and, if it is used, of the GPU.
    """

    epoch: int
    step: int
    index: int
    batch: Batch
    target: Target
    weights: Sequence[Tensor]
    random: Sequence[Tensor]

    @property
    def finite(self) -> bool:
        """Whether the weights before the step are finite."""
        return all(bool(torch.isfinite(weight).all()) for weight in self.weights)


class NotFiniteError(Exception):
    """A loss of a step is not finite.

    Attributes:
        record: The step.
        values: All terms and their sum, by name.
        model: The number of the model in an array; 0 for one that is trained alone.
    """

    def __init__(self, record: StepRecord, values: Mapping[str, float], model: int = 0) -> None:
        super().__init__(record, values, model)
        self.record = record
        self.values = values
        self.model = model


class StepCheck:
    """Checks the losses of each step, and remembers the last steps."""

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self.trained = [weight for weight in criterion.parameters() if weight.requires_grad]
        self.buffers = list(criterion.buffers())
        self.device = self.trained[0].device if self.trained else torch.device("cpu")
        # One step for each evaluation on its way, the step that is noticed, and the one before it.
        self.records: deque[StepRecord] = deque(maxlen=2 if self.device.type == "cpu" else UNREAD + 2)
        self._coming: deque[_ComingValues] = deque()
        self._steps = 0

    def begin(self, epoch: int, step: int, batch: Batch, target: Target) -> None:
        """Remember a step that is about to be taken; epoch and step count from 0."""
        if len(self.records) == self.records.maxlen:
            weights = self.records[0].weights
        else:
            weights = [torch.empty_like(weight) for weight in (*self.trained, *self.buffers)]
        _copy(weights, self.trained, self.buffers)
        record = StepRecord(epoch, step, self._steps, batch, target, weights, _random_states(self.device))
        self.records.append(record)
        self._steps += 1

    def losses(self) -> Losses:
        """Return the losses of the step that was begun last.

        Raises:
            NotFiniteError: One of them, or of an earlier step, is not finite.
        """
        record = self.records[-1]
        losses: Losses = self.criterion(record.batch, record.target, record.index)
        self._coming.append(_ComingValues(record, losses))
        self._read(UNREAD)
        return losses

    def read_all(self) -> None:
        """Wait for the values of all steps.

        Raises:
            NotFiniteError: One of them is not finite.
        """
        self._read(0)

    def restore(self, record: StepRecord) -> None:
        """Give the criterion and the random generators the state that they had before a step."""
        with torch.no_grad():
            for own, weight in zip((*self.trained, *self.buffers), record.weights, strict=True):
                own.copy_(weight)
        torch.set_rng_state(record.random[0])
        if len(record.random) > 1:
            torch.cuda.set_rng_state(record.random[1], self.device)

    def _read(self, unread: int) -> None:
        while self._coming and (len(self._coming) > unread or self._coming[0].has_arrived()):
            self._coming.popleft().refuse_infinite()


class _ComingValues:
    """The losses of a step on their way to the host."""

    def __init__(self, record: StepRecord, losses: Losses) -> None:
        self.record = record
        self.names = (*losses.terms, TOTAL)
        values = torch.stack([*losses.terms.values(), losses.total.detach()])
        self.values = values.to("cpu", non_blocking=True)
        self.event: Any = None
        if values.is_cuda:
            self.event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.event.record(torch.cuda.current_stream(values.device))

    def has_arrived(self) -> bool:
        return self.event is None or self.event.query()

    def refuse_infinite(self) -> None:
        if self.event is not None:
            self.event.synchronize()
        for model, values in enumerate(self.values.reshape(len(self.names), -1).T.tolist()):
            if not all(map(math.isfinite, values)):
                raise NotFiniteError(self.record, dict(zip(self.names, values, strict=True)), model)


def _copy(copies: Sequence[Tensor], trained: Sequence[Tensor], buffers: Sequence[Tensor]) -> None:
    """Copy tensors in few kernels; tensors of several types in one list would take a kernel each."""
    count = len(trained)
    with torch.no_grad():
        for to, tensors in ((copies[:count], trained), (copies[count:], buffers)):
            if tensors:
                torch._foreach_copy_(list(to), list(tensors))


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states
