import pytest

from amrbench.errors import RunError
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


class Absent(ExecutorPart):
    """An executor whose package is not installed."""

    use = "absent"

    def build(self, jobs):
        try:
            import a_package_that_nobody_has  # noqa: F401
        except ImportError as error:
            raise RunError("install it") from error


class Refusing(ExecutorPart):
    """An executor that asks for a machine when it is built."""

    use = "refusing"

    def build(self, jobs):
        raise RunError("there is no machine")


def test_one_without_its_package_is_left_alone_and_one_that_refuses_is_not():
    registry = Registry.of(Absent, Refusing)
    check_part(Absent(), registry)
    with pytest.raises(RunError, match="there is no machine"):
        check_part(Refusing(), registry)


def test_an_executor_returns_its_jobs():
    registry = Registry.of(Lists, Nothing)
    check_part(Lists(), registry)
    with pytest.raises(
        AssertionError, match=r"executor 'nothing': submit\(\[\]\) returns None, not an empty list of jobs."
    ):
        check_part(Nothing(), registry)
