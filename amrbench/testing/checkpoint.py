"""What holds for every reader of foreign checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from amrbench.errors import CheckpointError
from amrbench.part import Part
from amrbench.slots.checkpoint import CheckpointPart
from amrbench.testing.samples import ContractFixture, expect
from amrbench.types import Checkpoint


def check_checkpoint(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check that a file without tensors and options is refused by name."""
    who, path = f"checkpoint {part.use!r}", Path("empty.ckpt")
    try:
        cast("CheckpointPart", part).build(Checkpoint(path, {}, {}))
    except CheckpointError as error:
        expect(str(path) in str(error), f"{who}: its message does not name the file: {error}")
        return
    expect(False, f"{who}: it builds a model of nothing.")
