"""What people see on stderr during a run: progress bars on a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from typing_extensions import override

from amrbench.data.worker_pool import Progress
from amrbench.training.log import Epoch, RunningStage

QUARTERS = 4
"""A line about data is written after each quarter of the work."""


class Reporter:
    """Receives what happens during a run. Subclasses show it; this class itself shows nothing."""

    def note(self, text: str) -> None:
        """Report a sentence."""

    def data(self, progress: Progress) -> None:
        """Report the progress of preparing data."""

    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        """Report an epoch that has just ended."""


NULL_REPORTER = Reporter()


class Lines(Reporter):
    """Reports in lines of text, for log files and pipes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self.quarters: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    @override
    def note(self, text: str) -> None:
        self.write(text)

    @override
    def data(self, progress: Progress) -> None:
        quarter = QUARTERS * progress.done // max(1, progress.total)
        if self.quarters.get(progress.what) != quarter:
            self.quarters[progress.what] = quarter
            self.write(f"{progress.what}: {progress.done} of {progress.total}")

    @override
    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        spent = self.seconds.get(stage.name, 0.0) + epoch.seconds
        self.seconds[stage.name] = spent
        left = spent / epoch.epoch * (stage.epochs - epoch.epoch)
        terms = " ".join(f"{name} {value:.3g}" for name, value in epoch.losses.items())
        self.write(
            f"{stage.name}: epoch {epoch.epoch} of {stage.epochs}, {scores(stage, epoch)} ({terms}), "
            f"{epoch.seconds:.1f} s, {duration(left)} left"
        )


class Rich(Reporter):
    """Shows a progress bar for each stage that is trained and each split that is prepared."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    @override
    def note(self, text: str) -> None:
        self.bars.console.print(text, highlight=False, markup=False)

    @override
    def data(self, progress: Progress) -> None:
        task = self._task(progress.what, progress.total)
        self.bars.update(task, completed=progress.done, visible=progress.done < progress.total)

    @override
    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
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
    """Offer a reporter on stderr: progress bars on a terminal, lines of text elsewhere."""
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
    """Return a time as short text.

    >>> duration(75)
    '1:15 min'
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, remainder = divmod(round(seconds), 60)
    return f"{minutes}:{remainder:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
