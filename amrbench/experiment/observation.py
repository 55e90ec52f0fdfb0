"""Show the runs of a command to observers, by what is reported of their stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from amrbench.plugin_errors import naming_plugins
from amrbench.slots.observers import ObservedEpoch, ObservedRow, ObservedRun, Observer, ObserverPart
from amrbench.training.progress_bars import PassingReporter, Reporter

if TYPE_CHECKING:
    from amrbench.evaluation.result import Result
    from amrbench.experiment.plan import PlannedRun
    from amrbench.training.log import Epoch, RunningStage


class Observation(PassingReporter):
    """Passes everything on, and shows epochs to observers. What these raise ends the command."""

    def __init__(self, around: Reporter, observers: Sequence[tuple[ObserverPart, Observer]]) -> None:
        super().__init__(around)
        self.observers = observers
        self.runs: dict[Path, ObservedRun] = {}
        self.runs_of: dict[str, tuple[str, ...]] = {}
        self.finished: set[Path] = set()

    def begin(self, planned: Sequence[PlannedRun], out: Path) -> None:
        """Show the runs of the command before they are trained.

        Args:
            planned: All runs.
            out: Folder of the runs.
        """
        for plan in planned:
            run = observed_run(plan, plan.folder(out))
            self.runs.setdefault(run.folder, run)
        keys: dict[str, dict[str, None]] = {}
        for plan in planned:
            for spec in plan.stages:
                keys.setdefault(spec.key, {})[plan.folder(out).name] = None
        # Recipes that share a stage have names of their own for it.
        self.runs_of = {spec.name: tuple(keys[spec.key]) for plan in planned for spec in plan.stages}
        self._show(lambda observer: observer.begin(list(self.runs.values())))

    def finish(self, folder: Path, result: Result) -> None:
        """Show the table of a run that is scored; of one that was asked for twice, once."""
        if folder in self.finished:
            return
        self.finished.add(folder)
        rows = [ObservedRow(row.member, row.split, dict(row.metrics)) for row in result.rows]
        self._show(lambda observer: observer.end(self.runs[folder], rows))

    def close(self) -> None:
        """Close all observers, also where one of them fails."""
        with ExitStack() as stack:
            for part, observer in self.observers:
                stack.callback(_call, part, observer.close)

    def _show(self, show: Callable[[Observer], None]) -> None:
        for part, observer in self.observers:
            _call(part, partial(show, observer))

    @override
    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        super().epoch(stage, epoch)
        val = {readout: dict(metrics) for readout, metrics in epoch.val.items()}
        seen = ObservedEpoch(
            stage=stage.name,
            runs=self.runs_of[stage.name],
            epoch=epoch.epoch,
            epochs=stage.epochs,
            losses=dict(epoch.losses),
            val=val,
            seconds=epoch.seconds,
        )
        self._show(lambda observer: observer.epoch(seen))


@contextmanager
def observing(parts: Sequence[ObserverPart], around: Reporter) -> Iterator[Observation]:
    """Offer a reporter that shows what happens to observers, which are closed at the end.

    Args:
        parts: The observers.
        around: Receives everything too.

    Raises:
        PluginError: An observer of a third party raised an exception.
    """
    observation = Observation(around, [(part, _built(part)) for part in parts])
    try:
        yield observation
    finally:
        observation.close()


def _built(part: ObserverPart) -> Observer:
    with naming_plugins(part):
        return part.build()


def _call(part: ObserverPart, call: Callable[[], None]) -> None:
    with naming_plugins(part):
        call()


def observed_run(planned: PlannedRun, folder: Path) -> ObservedRun:
    """Return what observers see of a run.

    Args:
        planned: The run.
        folder: Of the run.
    """
    request = planned.request
    stand_ins = request.protocol.stand_in_note(request.recipe)
    notes = [request.protocol.about, *([f"Stand-ins: {stand_ins}."] if stand_ins else [])]
    return ObservedRun(
        name=folder.name,
        folder=folder,
        recipe=request.recipe.name,
        protocol=request.protocol.name,
        about=" ".join(note for note in notes if note),
        options=request.resolved.model_dump(mode="json"),
        stages=tuple(spec.name for spec in planned.stages),
    )
