import pytest

from amrbench.registry import Registry
from amrbench.slots.executors import ExecutorPart
from amrbench.testing import check_part


class Fixed:
    def __init__(self, jobs):
        self.jobs = jobs

    def slots(self):
        return 1

    def submit(self, tasks):
        return self.jobs


class Lists(ExecutorPart):
    """An executor that says what it submits."""

    use = "lists"

    def build(self, jobs):
        return Fixed([])


class Nothing(ExecutorPart):
    """An executor that forgets to return its jobs."""

    use = "nothing"

    def build(self, jobs):
        return Fixed(None)


def test_an_executor_returns_its_jobs():
    registry = Registry.of(Lists, Nothing)
    check_part(Lists(), registry)
    with pytest.raises(
        AssertionError, match=r"executor 'nothing': submit\(\[\]\) returns None, not an empty list of jobs."
    ):
        check_part(Nothing(), registry)
