"""Parts with one defect each, and the text of the check that fails."""

import pytest

from amrbench.registry import Registry
from amrbench.testing import check_part, sample


def failure(part, *others):
    """Return the text of the failed check of a part."""
    registry = Registry.of(part, *others)
    with pytest.raises(AssertionError) as error:
        check_part(sample(part, registry), registry)
    return str(error.value)


def part_of(slot, built):
    """Return a part that builds this."""

    class Bad(slot):
        """A part."""

        use = "bad"

        def build(self, *arguments):
            return built

    return Bad
