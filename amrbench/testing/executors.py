"""The contract of executors."""

from __future__ import annotations

from typing import cast

from amrbench.errors import RunError
from amrbench.interfaces import brief
from amrbench.part import Part
from amrbench.slots.executors import ExecutorPart
from amrbench.testing.small_data import ContractFixture, expect


def check_executor(part: Part, fixture: ContractFixture) -> None:
    """Check that an executor can be built without its machines, and starts nothing without a task.

    What it does with tasks is for a test of its own: with it, a run of a small recipe has the metrics that
    it has without. One whose package is not installed cannot be checked further.
    """
    who, part = f"executor {part.use!r}", cast("ExecutorPart", part)
    for jobs in (None, 2):
        try:
            executor = part.build(jobs)
        except RunError as error:
            if isinstance(error.__cause__, ImportError):
                return
            raise
        submitted = executor.submit([])
        expect(
            isinstance(submitted, (list, tuple)) and not submitted,
            f"{who}: submit([]) returns {brief(submitted)}, not an empty list of jobs.",
        )
