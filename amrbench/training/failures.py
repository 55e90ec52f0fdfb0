"""Why training failed: the step, the loss term and the weights, and the files that are kept of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from amrbench.errors import RunError, some
from amrbench.files.atomic import write_text_atomic
from amrbench.files.weights import state_of, write_weights
from amrbench.training.criterion import Criterion
from amrbench.training.step_check import TOTAL, NotFiniteError, StepCheck, StepRecord

BATCH = "batch.safetensors"
WEIGHTS = "weights.safetensors"
FAILURE = "failure.json"
_REMEDY = (
    "Try a lower learning rate (training.optimizer), a longer warm-up or a smaller training.clip, and check "
    "the features."
)
_AT_ONCE = (
    "No weight has been changed before, so the learning rate is not the cause: look at the part that gives "
    "the value, and at the features of these queries."
)
_GRADIENT = (
    "A root, norm, logarithm or division at 0 has such a gradient: look at the part that gives the term. "
    "Otherwise try a lower learning rate (training.optimizer)."
)


@dataclass(frozen=True)
class Diagnosis:
    """What is not finite.

    Attributes:
        record: The step that is the cause.
        what: A clause, e.g. "the loss term 'giou' is not finite (nan)".
        remedy: What to do, as a sentence.
        terms: Loss terms that are not finite, or whose gradient is not.
        weights: Names of the weights that are not finite, or whose gradient is not.
        values: The loss terms of the step and their sum, as far as they are known.
    """

    record: StepRecord
    what: str
    remedy: str
    terms: Sequence[str] = ()
    weights: Sequence[str] = ()
    values: Mapping[str, float] = field(default_factory=dict)


class StepError(RunError):
    """Training failed at a step.

    Attributes:
        diagnosis: Why.
        criterion: With the weights from before the step.
    """

    def __init__(self, at: str, diagnosis: Diagnosis, criterion: Criterion) -> None:
        """`at` names the stage, the epoch and the step."""
        super().__init__(f"{at}: {diagnosis.what.rstrip('.')}")
        self.diagnosis = diagnosis
        self.criterion = criterion


def diagnose(check: StepCheck, error: Exception | None = None) -> Diagnosis | None:
    """Return why a step failed; None if all numbers are finite.

    The criterion gets the weights from before the step.

    Args:
        check: Of the stage.
        error: What was raised; None after an epoch without an error.
    """
    if not check.records:
        return None
    failed = error if isinstance(error, NotFiniteError) else _not_finite(check)
    last = failed.record if failed else check.records[-1]
    if not last.finite:
        # Only the step before can be the cause: its loss was finite, but not what it made of the weights.
        before = [record for record in check.records if record.index < last.index and record.finite]
        return _of_update(check, before[-1] if before else last)
    if failed:
        check.restore(last)
        return _of_values(failed)
    if infinite_weights(check.criterion):
        return _of_update(check, last)
    if isinstance(error, RunError):  # A matcher refuses predictions that are not finite.
        check.restore(last)
        return Diagnosis(last, str(error), "")
    return None


def keep_failure(failure: StepError, folder: Path, about: Mapping[str, object]) -> None:
    """Write the batch, the weights from before the step, and what is known of the failure.

    Args:
        failure: What happened.
        folder: Must exist.
        about: More plain values for the description, e.g. the ids of the queries.

    Raises:
        RunError: A file cannot be written.
    """
    diagnosis, record = failure.diagnosis, failure.diagnosis.record
    description = {
        "message": str(failure),
        "epoch": record.epoch + 1,
        "step": record.step + 1,
        "step_of_stage": record.index,
        "terms": list(diagnosis.terms),
        "weights": list(diagnosis.weights),
        "losses": {name: _plain(value) for name, value in diagnosis.values.items()},
        **about,
    }
    tensors = {f"batch.{name}": tensor for name, tensor in vars(record.batch).items()}
    tensors |= {f"target.{name}": tensor for name, tensor in vars(record.target).items()}
    tensors |= dict(zip(("random.cpu", "random.cuda"), record.random, strict=False))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_weights(folder / WEIGHTS, state_of(failure.criterion), {"before": str(failure)})
    write_weights(folder / BATCH, tensors, {"before": str(failure)})
    write_text_atomic(folder / FAILURE, json.dumps(description, indent=1, ensure_ascii=False) + "\n")


def infinite_weights(module: nn.Module) -> list[str]:
    """Return the names of the parameters that hold a number that is not finite."""
    return [name for name, weight in module.named_parameters() if not bool(torch.isfinite(weight).all())]


def _not_finite(check: StepCheck) -> NotFiniteError | None:
    """Return the first step whose losses are on their way to the host and are not finite."""
    try:
        check.read_all()
    except NotFiniteError as error:
        return error
    return None


def _of_values(failed: NotFiniteError) -> Diagnosis:
    """Return the diagnosis of a step with finite weights whose losses are not finite."""
    values, record = failed.values, failed.record
    terms = [name for name, value in values.items() if name != TOTAL and not math.isfinite(value)]
    shown = ", ".join(f"{name!r} {value:.3g}" for name, value in values.items() if name != TOTAL)
    if len(terms) == 1:
        what = f"the loss term {terms[0]!r} is not finite ({values[terms[0]]})"
    elif terms:
        what = f"the loss terms {some(terms)} are not finite ({shown})"
    else:
        what = f"the sum of the loss terms is not finite, though each term is ({shown})"
    return Diagnosis(record, what, _REMEDY if record.index else _AT_ONCE, terms=terms, values=values)


def _of_update(check: StepCheck, record: StepRecord) -> Diagnosis:
    """Return the diagnosis of a step after which weights are not finite, though its losses were."""
    after = infinite_weights(check.criterion)
    gradients = _infinite_gradients(check, record) if record.finite else {}
    check.restore(record)
    if not gradients:
        return Diagnosis(record, f"the weights {some(after, 3)} are not finite", _REMEDY, weights=after)
    weights = list(dict.fromkeys(name for names in gradients.values() for name in names))
    what = (
        f"the gradient of the loss term {some(gradients)} is not finite for the weights {some(weights, 3)}, "
        "though the loss itself is"
    )
    return Diagnosis(record, what, _GRADIENT, terms=list(gradients), weights=weights)


def _infinite_gradients(check: StepCheck, record: StepRecord) -> dict[str, list[str]]:
    """Take a step again without an update; return the weights with infinite gradients for each loss term."""
    check.restore(record)
    trained = {name: weight for name, weight in check.criterion.named_parameters() if weight.requires_grad}
    infinite = {}
    try:
        for term, value in check.criterion.terms(record.batch, record.target, record.index).items():
            if value.requires_grad:
                gradients = torch.autograd.grad(
                    value, list(trained.values()), retain_graph=True, allow_unused=True
                )
                pairs = zip(trained, gradients, strict=True)
                infinite[term] = [
                    name for name, gradient in pairs if gradient is not None and not _is_finite(gradient)
                ]
    except Exception:  # The step has failed already; this only looks for more to say of it.
        return {}
    return {term: names for term, names in infinite.items() if names}


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _plain(value: float) -> float | str:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else str(value)
