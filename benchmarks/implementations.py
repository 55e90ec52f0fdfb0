"""What an implementation of CG-DETR offers to be timed beside ours, and the one that a variable names.

`AMRBENCH_OUTSIDE=package.module` names a module that can be imported and has some of the functions of
`Implementation`. Without the variable, and without a function, the tests that need it are skipped. The module
`benchmarks.plain` is an example.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import pytest
from torch import Tensor

from benchmarks import ours, plain
from benchmarks.problems import Problem

VARIABLE = "AMRBENCH_OUTSIDE"


class Implementation(Protocol):
    """Functions of a module. Configuration: the baseline as shipped, `tests.oracle.cgdetr_cases.FULL_CONFIG`.

    Weights are by the names of the reference. Who cannot load them leaves out `loss`, and `prediction`
    returns None instead of spans; then equality is not checked, and times are reported as unchecked.
    """

    def training_step(self, problem: Problem, weights: Mapping[str, Tensor]) -> Callable[[], object]:
        """Return a function that takes one step of AdamW: forward, losses, backward, clipping, update."""

    def loss(self, problem: Problem, weights: Mapping[str, Tensor]) -> float:
        """Return the sum of all losses without dropout."""

    def prediction(self, problem: Problem, weights: Mapping[str, Tensor]) -> Callable[[], Tensor | None]:
        """Return a function that computes the spans (B, Q, 2) of the last layer, without dropout."""

    def evaluate(self, predictions: Path, truth: Path) -> Mapping[str, float]:
        """Score a file of predictions; metrics in percent, with names like "R1@0.5", "mAP"."""


OURS = cast("Implementation", ours)
OTHERS: Mapping[str, Callable[[], Implementation]] = {
    "plain": lambda: cast("Implementation", plain),
    "outside": lambda: outside(),
}
"""What ours is compared with, by name."""


def outside() -> Implementation:
    """Import the module that the variable names; skip the test if it names none."""
    name = os.environ.get(VARIABLE)
    if not name:
        pytest.skip(f"{VARIABLE} names no module")
    try:
        return cast("Implementation", importlib.import_module(name))
    except ImportError as error:
        raise pytest.UsageError(f"{VARIABLE}={name} cannot be imported: {error}") from error


def offered(name: str, function: str) -> Implementation:
    """Return an implementation that offers a function; skip the test if it does not."""
    other = OTHERS[name]()
    if not hasattr(other, function):
        pytest.skip(f"{os.environ.get(VARIABLE)} has no function {function!r}")
    return other


def equal_losses(other: Implementation, problem: Problem, weights: Mapping[str, Tensor]) -> bool:
    """Check that the losses are equal; False where the other cannot say."""
    if not hasattr(other, "loss"):
        return False
    assert other.loss(problem, weights) == pytest.approx(OURS.loss(problem, weights), rel=1e-4)
    return True


def equal_spans(own: Tensor | None, others: Tensor | None) -> bool:
    """Check that predictions are equal; False where the other cannot say."""
    if own is None or others is None:
        return False
    assert float((own - others).abs().max()) < 1e-4, "the predicted spans differ"
    return True


def equal_metrics(own: Mapping[str, float], others: Mapping[str, float]) -> bool:
    """Check that metrics of the same names are equal; False where no name is the same."""
    shared = own.keys() & others.keys()
    assert {name: others[name] for name in shared} == pytest.approx(
        {name: own[name] for name in shared}, abs=0.005
    )
    return bool(shared)
