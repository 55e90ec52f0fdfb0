"""What people see on stderr during a run: progress bars on a terminal, lines of text elsewhere.

Lines are few: one for each epoch, and a few about data. Where nothing has been written for a while, because
an epoch or another piece of work takes long, a line says how far it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from typing_extensions import override

from amrbench.data.worker_pool import Progress
from amrbench.training.log import Epoch, RunningStage, StageProgress

QUARTERS = 4
"""A line about data is written after each quarter of the work."""
FIRST_SILENCE = 30.0
"""Seconds without a line after which the first one about a piece of work is written; then twice as many."""
LONGEST_SILENCE = 300.0
"""Seconds without a line while stages are trained, at most."""
LONGEST_SILENCE_OTHERWISE = 60.0
LISTED = 3
"""Stages that a line names; others are counted."""
SPEED_SECONDS = 300.0
"""Past time from which a bar estimates the time that is left; a step may take ten seconds."""


class Reporter:
    """Receives what happens during a run. Subclasses show it; this class itself shows nothing."""

    def note(self, text: str) -> None:
        """Report a sentence."""

    def data(self, progress: Progress) -> None:
        """Report the progress of preparing data."""

    def scoring(self, progress: Progress) -> None:
        """Report the progress of predicting and scoring, after training."""

    def step(self, stage: RunningStage, progress: StageProgress) -> None:
        """Report how far a stage is in an epoch."""

    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        """Report an epoch that has just ended."""

    def end(self, stage: RunningStage) -> None:
        """Report that a stage is no longer trained."""


class PassingReporter(Reporter):
    """Passes everything on to another."""

    def __init__(self, around: Reporter) -> None:
        self.around = around

    @override
    def note(self, text: str) -> None:
        self.around.note(text)

    @override
    def data(self, progress: Progress) -> None:
        self.around.data(progress)

    @override
    def scoring(self, progress: Progress) -> None:
        self.around.scoring(progress)

    @override
    def step(self, stage: RunningStage, progress: StageProgress) -> None:
        self.around.step(stage, progress)

    @override
    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        self.around.epoch(stage, epoch)

    @override
    def end(self, stage: RunningStage) -> None:
        self.around.end(stage)


NULL_REPORTER = Reporter()


class Lines(Reporter):
    """Reports in lines of text, for log files and pipes."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._write = write
        self._lock = threading.Lock()  # `sign_of_life` is called by another thread.
        self._quarters: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._stages: dict[str, _Stage] = {}
        self._work: Progress | None = None
        self._written = clock()
        self._silence = FIRST_SILENCE

    @override
    def note(self, text: str) -> None:
        with self._lock:
            self._line(text)

    @override
    def data(self, progress: Progress) -> None:
        with self._lock:
            self._begin_work(progress)
            quarter = QUARTERS * progress.done // max(1, progress.total)
            if progress.total and self._quarters.get(progress.what) != quarter:
                self._quarters[progress.what] = quarter
                self._line(progress.text())

    @override
    def scoring(self, progress: Progress) -> None:
        with self._lock:
            self._begin_work(progress)

    @override
    def step(self, stage: RunningStage, progress: StageProgress) -> None:
        with self._lock:
            self._work = None
            if stage.name not in self._stages:
                self._stages[stage.name] = _Stage(stage, progress, self.clock())
                self._silence = FIRST_SILENCE
            self._stages[stage.name].progress = progress

    @override
    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        with self._lock:
            spent = self._seconds.get(stage.name, 0.0) + epoch.seconds
            self._seconds[stage.name] = spent
            left = spent / epoch.epoch * (stage.epochs - epoch.epoch)
            terms = " ".join(f"{name} {value:.3g}" for name, value in epoch.losses.items())
            self._line(
                f"{stage.name}: epoch {epoch.epoch} of {stage.epochs}, {scores(stage, epoch)} ({terms}), "
                f"{epoch.seconds:.1f} s, {duration(left)} left"
            )

    @override
    def end(self, stage: RunningStage) -> None:
        with self._lock:
            self._stages.pop(stage.name, None)

    def sign_of_life(self) -> None:
        """Write how far the work is, if nothing has been written for a while; called again and again."""
        with self._lock:
            if self.clock() - self._written < self._silence:
                return
            if self._work is not None:
                longest = LONGEST_SILENCE_OTHERWISE
                self._line(self._work.text())
            elif self._stages:
                longest = LONGEST_SILENCE
                texts = [stage.text(self.clock()) for stage in self._stages.values()]
                more = [f"and {len(texts) - LISTED} more"] if len(texts) > LISTED else []
                self._line("; ".join([*texts[:LISTED], *more]))
            else:
                return
            self._silence = min(2 * self._silence, longest)

    def _begin_work(self, progress: Progress) -> None:
        if self._work is None or self._work.what != progress.what:
            self._silence = FIRST_SILENCE
        ended = progress.total and progress.done == progress.total
        self._work = None if ended else progress

    def _line(self, text: str) -> None:
        self._write(text)
        self._written = self.clock()


class _Stage:
    """A stage that is trained, and when that began."""

    def __init__(self, stage: RunningStage, progress: StageProgress, began: float) -> None:
        self.stage = stage
        self.progress = progress
        self.began = began

    def text(self, now: float) -> str:
        """Return e.g. "toy pretrain: epoch 1 of 200, step 5 of 69, 0:40 min, about 18:21 h left"."""
        spent, share = now - self.began, self.progress.share(self.stage.epochs)
        left = f", about {duration(spent / share - spent)} left" if share else ""
        return f"{self.stage.name}: {self.progress.text(self.stage.epochs)}, {duration(spent)}{left}"


class Rich(Reporter):
    """Shows a progress bar for each stage that is trained and each split that is prepared."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}
        self.work: TaskID | None = None  # Of work without parts.
        self.steps: dict[str, int] = {}  # Steps of an epoch; a bar counts epochs until they are known.
        self.scores: dict[str, str] = {}

    @override
    def note(self, text: str) -> None:
        self.bars.console.print(text, highlight=False, markup=False)

    @override
    def data(self, progress: Progress) -> None:
        self._hide_work()
        task = self._task(progress.what, progress.total or None)
        self.bars.update(
            task, completed=progress.done, visible=not progress.total or progress.done < progress.total
        )
        self.work = None if progress.total else task

    @override
    def scoring(self, progress: Progress) -> None:
        self.data(progress)

    @override
    def step(self, stage: RunningStage, progress: StageProgress) -> None:
        self._hide_work()
        task = self._task(stage.name, stage.epochs)
        if progress.steps:
            self.steps[stage.name] = progress.steps
            done = (progress.epoch - 1) * progress.steps + progress.done
            self.bars.update(task, total=stage.epochs * progress.steps, completed=done)
        doing = "" if progress.doing == "step" else f", {progress.doing}"
        text = f"epoch {progress.epoch} of {stage.epochs}{doing}{self.scores.get(stage.name, '')}"
        self.bars.update(task, text=text)

    @override
    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        task = self._task(stage.name, stage.epochs)
        text = scores(stage, epoch)
        self.scores[stage.name] = f", {text}"
        self.bars.update(task, completed=epoch.epoch * self.steps.get(stage.name, 1), text=text)
        if epoch.epoch == stage.epochs:
            self.note(f"{stage.name}: {stage.epochs} epochs, {text}")

    @override
    def end(self, stage: RunningStage) -> None:
        self.bars.update(self._task(stage.name, stage.epochs), visible=False)

    def _hide_work(self) -> None:
        """Hide the bar of work without parts, whose end is not reported."""
        if self.work is not None:
            self.bars.update(self.work, visible=False)
            self.work = None

    def _task(self, name: str, total: int | None) -> TaskID:
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total, text="")
        return self.tasks[name]


@contextmanager
def progress(console: Console | None = None) -> Iterator[Reporter]:
    """Offer a reporter on stderr: progress bars on a terminal, lines of text elsewhere."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        lines = Lines(lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True))
        with _repeated(lines.sign_of_life, seconds=1.0):
            yield lines
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Bars(
        *columns,
        console=console,
        transient=True,
        get_time=time.monotonic,
        speed_estimate_period=SPEED_SECONDS,
    ) as bars:
        yield Rich(bars)


@contextmanager
def _repeated(call: Callable[[], None], *, seconds: float) -> Iterator[None]:
    """Call a function again and again in a thread, also while a long computation runs in this one."""
    ended = threading.Event()

    def repeat() -> None:
        with suppress(OSError):  # A pipe that nobody reads any more; the next line of this thread says so.
            while not ended.wait(seconds):
                call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def scores(stage: RunningStage, epoch: Epoch) -> str:
    """Return e.g. "loss 8.31, val R1@0.7 12.50"."""
    score = epoch.val.get(stage.readout, {}).get(stage.select)
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
