"""Follows a stage that another process trains, by what that process writes into the unfinished folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from amrbench.training import log
from amrbench.training.log import Epoch, StageProgress
from amrbench.training.progress_bars import Reporter
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import unfinished_folders

_FILES = (log.FILE, log.PROGRESS)


class GroupFollower:
    """Follows all stages that another process trains at once; mostly one."""

    def __init__(self, spec: StageSpec, store: Path) -> None:
        self.followers = [_StageFollower(own, store) for own in spec.group]

    def begin(self) -> None:
        """Follow a new process from now on: what is there was left by another."""
        for follower in self.followers:
            follower.begin()

    def report_new(self, reporter: Reporter) -> list[Epoch]:
        """Report what is new of each; return the new epochs."""
        return [epoch for follower in self.followers for epoch in follower.report_new(reporter)]

    def report_end(self, reporter: Reporter) -> None:
        """Report that none of them is trained any more."""
        for follower in self.followers:
            reporter.end(follower.spec.running)

    def where(self) -> str:
        """Return how far they were, e.g. "epoch 2, after step 5 of 69"; empty if they had not begun."""
        seen = [follower.progress for follower in self.followers if follower.progress]
        return seen[0].where() if seen else ""


class _StageFollower:
    """Follows one stage."""

    def __init__(self, spec: StageSpec, store: Path) -> None:
        self.spec = spec
        self.store = store
        self.reported = 0
        self.progress: StageProgress | None = None
        self.begin()

    def begin(self) -> None:
        """See `GroupFollower.begin`."""
        folders = self._unfinished()
        self.left = {_signature(folder / name) for folder in folders for name in _FILES}

    def report_new(self, reporter: Reporter) -> list[Epoch]:
        """Report the epochs since the last call, and how far the stage is; return these epochs."""
        folder = self._folder()
        if folder is None:
            return []
        epochs = log.read_epochs(folder)[self.reported :] if self._is_new(folder / log.FILE) else []
        for epoch in epochs:
            reporter.epoch(self.spec.running, epoch)
            self.reported = epoch.epoch
        if self._is_new(folder / log.PROGRESS):
            self.progress = log.read_progress(folder) or self.progress
            if self.progress and self.progress.epoch > self.reported:
                reporter.step(self.spec.running, self.progress)
        return epochs

    def _folder(self) -> Path | None:
        finished = self.store / self.spec.key
        if finished.exists():
            return finished
        return next(reversed(self._unfinished()), None)

    def _unfinished(self) -> list[Path]:
        with suppress(FileNotFoundError):  # A folder was just renamed.
            return unfinished_folders(self.spec, self.store)
        return []

    def _is_new(self, file: Path) -> bool:
        """Whether a file is there, and was not left by a killed process, whose folder another one takes."""
        return _signature(file) not in {None, *self.left}


def _signature(file: Path) -> tuple[int, int, int] | None:
    """Return what changes whenever a file is written, whatever the clock says; None if it is not there."""
    with suppress(FileNotFoundError):
        state = file.stat()
        return state.st_ino, state.st_size, state.st_mtime_ns
    return None
