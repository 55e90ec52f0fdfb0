"""The training loop of several models at once: one step for all of them, and a validation for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from amrbench.data.out_of_memory import MemoryShortError, memory_request
from amrbench.errors import RunError
from amrbench.files.tree_file import Tree
from amrbench.training.criterion import Criterion
from amrbench.training.failures import infinite_weights
from amrbench.training.log import Epoch, StageProgress
from amrbench.training.loop import (
    NO_SAVES,
    Saves,
    StageInputs,
    Training,
    explained,
    memory_mib,
    validated,
)
from amrbench.training.model_array import one
from amrbench.training.step_check import NotFiniteError, StepCheck


def fit_array(
    together: StageInputs,
    models: Sequence[StageInputs],
    *,
    keep: Callable[[int, Epoch], None],
    report: Callable[[StageProgress], None] = lambda _: None,
    saves: Saves = NO_SAVES,
    state: Tree = None,
) -> None:
    """Train the models of an array.

    Args:
        together: The array, an updater for it, and stacked batches.
        models: What each would be trained with alone; only names, validation and, after a failure, criteria
            are used.
        keep: Called for each model after each epoch, while it has the weights that were validated; the models
            share the seconds of the epoch.
        report: Called after each step, and before validation.
        saves: As in `fit`.
        state: As in `fit`.

    Raises:
        StepError: A loss, a gradient or a weight of one of them is no longer finite.
        MemoryShortError: Memory is short.
        Interrupted: The process was asked to stop; the state is saved.
    """
    training = Training(together, report=report, explain=partial(_explained, models), saves=saves)

    def keep_epoch() -> None:
        vals = [validated(model, training.epoch) for model in models]
        seconds, memory = training.seconds() / len(models), memory_mib()
        for number, val in enumerate(vals):
            own = training.mean.of_model(number)
            keep(number, Epoch(training.epoch + 1, own.read(), val, seconds, memory, own.first_size()))

    training.run(state, keep_epoch)


def _explained(models: Sequence[StageInputs], check: StepCheck, error: Exception | None) -> RunError | None:
    """Return the message for what failed in the last steps, as the one model that failed would give it."""
    if error is not None and (request := memory_request(error)):
        return MemoryShortError(f"out of memory: {request}", request)
    try:
        check.read_all()
    except NotFiniteError as not_finite:
        error = error if isinstance(error, NotFiniteError) else not_finite
    if error is None and not infinite_weights(check.criterion):
        return None
    for number, model in enumerate(models):
        own = _check_of(check, number, model.criterion.train())
        failed, own_error = _failure_of(own, number, error)
        if failed:
            return explained(model, own, own_error)
    return None


def _check_of(check: StepCheck, number: int, criterion: Criterion) -> StepCheck:
    """Return the check that a model of an array would have alone, with its last steps."""
    own = StepCheck(criterion)
    for record in check.records:
        batch, target = one(record.batch, number), one(record.target, number)
        weights = [weight[number] for weight in record.weights]
        own.records.append(replace(record, batch=batch, target=target, weights=weights))
    return own


def _failure_of(check: StepCheck, number: int, error: Exception | None) -> tuple[bool, Exception | None]:
    """Return whether it is this model that failed in the last steps, and what it would have raised."""
    if isinstance(error, NotFiniteError):
        own = {record.index: record for record in check.records}
        mine = error.model == number
        return mine, NotFiniteError(own[error.record.index], error.values) if mine else None
    if infinite_weights(check.criterion):
        return True, error
    if isinstance(error, RunError):
        last = check.records[-1]
        try:
            check.criterion(last.batch, last.target, last.index)
        except RunError as own_error:
            return True, own_error
    return False, None
