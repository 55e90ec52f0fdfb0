"""The saved states of a stage that is trained, so that it can go on after it was stopped or killed.

A state is a folder `state-<epoch>-<step>` with the tree of `write_tree` and its checksums. The one before it
is removed once the new one has been read back, so that one of them is whole at any time. Of several, the one
that is furthest is used: clocks may jump, so times say nothing.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from time import monotonic

import torch

from amrbench.errors import CheckpointError, RunError, unwritable
from amrbench.files.checksums import changed_files, write_checksums
from amrbench.files.disk_space import refuse_full_disk
from amrbench.files.tree_file import Tree, read_tree, size_of, write_tree
from amrbench.notes import note

EPOCH_SECONDS = 60.0
"""Longest time without a saved state, if epochs are shorter."""
LONGEST_SECONDS = 280.0
"""Time after which a state is saved within an epoch; a step and the saving may take the rest of 300."""
FORMAT = 3
"""Raised when a state holds other things, so that older ones are not read."""
_STATE = "state.safetensors"
_PATTERN = "state-*"


class SavedStates:
    """The states in the folder of a stage that is not finished."""

    def __init__(self, folder: Path, clock: Callable[[], float] = monotonic) -> None:
        self.folder = folder
        self.clock = clock
        self.saved = clock()

    def due(self, epoch_seconds: float) -> bool:
        """Whether it is time to save.

        Args:
            epoch_seconds: How long the epoch took that has just ended; 0 within an epoch. A state is saved
                at its end if the end of the next epoch would be too late.
        """
        waited = self.clock() - self.saved
        if epoch_seconds:
            return waited + epoch_seconds > EPOCH_SECONDS
        return waited > LONGEST_SECONDS

    def save(self, tree: Tree, epoch: int, step: int) -> None:
        """Save a state and remove all others.

        Args:
            tree: The state.
            epoch: Epochs that are done.
            step: Steps of the next epoch that are done.

        Raises:
            RunError: The disk is full, or gives back other bytes than were written.
        """
        before = self._folders()
        folder = self.folder / f"state-{epoch:06d}-{step:08d}"
        refuse_full_disk(self.folder, size_of(tree), "a saved state")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_tree(folder / _STATE, {"versions": versions(), "state": tree})
            write_checksums(folder, [_STATE])
        except OSError as error:
            raise unwritable(folder, error) from error
        if faults := changed_files(folder):
            raise RunError(
                f"{folder}: {faults[0]} right after it was written. Check the disk, and give the same "
                "command again."
            )
        for old in before:
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
        self.saved = self.clock()

    def load(self) -> Tree:
        """Return the furthest whole state of these versions of amrbench and torch; None without one.

        States that cannot be used are removed, with a note.
        """
        for folder in reversed(self._folders()):
            try:
                if faults := changed_files(folder):
                    raise CheckpointError(f"{folder}: {faults[0]}")
                tree = read_tree(folder / _STATE)
                if tree["versions"] == versions():
                    return tree["state"]
                note(f"{folder}: saved with other versions ({_text(tree['versions'])}), so it is not used.")
            except CheckpointError as error:
                note(f"{error}, so this saved state is not used.")
            shutil.rmtree(folder, ignore_errors=True)
        return None

    def take_from(self, folder: Path) -> None:
        """Take the states of a process that has ended, from its folder."""
        for state in folder.glob(_PATTERN):
            with suppress(OSError):  # There is one that is as far already.
                state.rename(self.folder / state.name)

    def remove(self) -> None:
        """Remove all states."""
        for folder in self._folders():
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob(_PATTERN))


def versions() -> dict[str, str]:
    """Return the versions that a state belongs to: others may go on with other bits, or not at all."""
    return {
        "amrbench": version("amrbench"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "format": str(FORMAT),
    }


def _text(others: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in others.items())
