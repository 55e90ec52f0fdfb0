"""What a person sees while a run goes on: bars on a terminal, plain lines elsewhere. On stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from amrbench.data.worker_pool import Progress
from amrbench.training.log import Epoch, RunningStage

MILESTONES = 4


class Reporter(Protocol):
    """Is told what happens."""

    def note(self, text: str) -> None:
        """Take a sentence."""

    def data(self, progress: Progress) -> None:
        """Take how far the preparation of a split is."""

    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        """Take an epoch that has just ended."""


class NullReporter:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Drop it."""

    def data(self, progress: Progress) -> None:
        """Drop it."""

    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        """Drop it."""


NULL_REPORTER = NullReporter()


class Lines:
    """Says everything in lines, for logs and pipes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self.said: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    def note(self, text: str) -> None:
        """Write the sentence."""
        self.write(text)

    def data(self, progress: Progress) -> None:
        """Write a line at each quarter of the work."""
        part = MILESTONES * progress.done // max(1, progress.total)
        if self.said.get(progress.what) != part:
            self.said[progress.what] = part
            self.write(f"{progress.what}: {progress.done} of {progress.total}")

    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        """Write a line with losses, score and time left."""
        spent = self.seconds.get(stage.name, 0.0) + epoch.seconds
        self.seconds[stage.name] = spent
        left = spent / epoch.epoch * (stage.epochs - epoch.epoch)
        terms = " ".join(f"{name} {value:.3g}" for name, value in epoch.losses.items())
        self.write(
            f"{stage.name}: epoch {epoch.epoch} of {stage.epochs}, {scores(stage, epoch)} ({terms}), "
            f"{epoch.seconds:.1f} s, {duration(left)} left"
        )


class Rich:
    """Shows a bar for each stage at work."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """Print the sentence above the bars."""
        self.bars.console.print(text, highlight=False, markup=False)

    def data(self, progress: Progress) -> None:
        """Move the bar of a split."""
        task = self._task(progress.what, progress.total)
        self.bars.update(task, completed=progress.done, visible=progress.done < progress.total)

    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        """Move the bar of a stage; the line of a finished one stays."""
        task = self._task(stage.name, stage.epochs)
        text = scores(stage, epoch)
        self.bars.update(task, completed=epoch.epoch, text=text, visible=epoch.epoch < stage.epochs)
        if epoch.epoch == stage.epochs:
            self.note(f"{stage.name}: {stage.epochs} epochs, {text}")

    def _task(self, name: str, total: int) -> TaskID:
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total, text="")
        return self.tasks[name]


@contextmanager
def progress(console: Console | None = None) -> Iterator[Reporter]:
    """Offer a reporter on stderr that fits it: bars on a terminal, lines elsewhere."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield Lines(lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True))
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    with Bars(*columns, console=console, transient=True, get_time=time.monotonic) as bars:
        yield Rich(bars)


def scores(stage: RunningStage, epoch: Epoch) -> str:
    """Return e.g. "loss 8.31, val R1@0.7 12.50"."""
    score = epoch.val.get(stage.select)
    val = "" if score is None else f", val {stage.select} {score:.2f}"
    return f"loss {epoch.total:.4g}{val}"


def duration(seconds: float) -> str:
    """Return a time for people.

    >>> duration(75)
    '1:15 min'
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
