from dataclasses import fields

import pytest

from amrbench.errors import CheckpointError
from amrbench.registry import Registry
from amrbench.slots.checkpoint import CheckpointPart, ForeignModel
from amrbench.testing import check_part
from tests.core.testing.defects import failure


def reader_with(message):
    class Reader(CheckpointPart):
        """A kind of checkpoint."""

        use = "reader"

        def build(self, checkpoint):
            if message is not None:
                raise CheckpointError(message.format(path=checkpoint.path))
            return ForeignModel(*[None] * len(fields(ForeignModel)))

    return Reader


def test_a_reader_that_refuses_an_empty_checkpoint_by_name_passes():
    part = reader_with("{path}: holds no weights.")
    check_part(part(), Registry.of(part))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (None, "checkpoint 'reader': it builds a model from an empty checkpoint."),
        ("no weights", "checkpoint 'reader': its message does not name the file: no weights"),
    ],
)
def test_a_defect_of_a_reader_is_found(message, text):
    assert failure(reader_with(message)) == text
