"""The contract of readers of foreign checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from amrbench.errors import CheckpointError
from amrbench.part import Part
from amrbench.slots.checkpoint import CheckpointPart
from amrbench.testing.small_data import ContractFixture, expect
from amrbench.types import Checkpoint


def check_checkpoint(part: Part, fixture: ContractFixture) -> None:
    """Check that an empty checkpoint is refused with a message that names its file."""
    who, path = f"checkpoint {part.use!r}", Path("empty.ckpt")
    try:
        cast("CheckpointPart", part).build(Checkpoint(path, weights={}, options={}))
    except CheckpointError as error:
        expect(str(path) in str(error), f"{who}: its message does not name the file: {error}")
        return
    raise AssertionError(f"{who}: it builds a model from an empty checkpoint.")
