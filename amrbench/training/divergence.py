"""Notes about stages whose loss stays finite but grows beyond all measure."""

from __future__ import annotations

from typing_extensions import override

from amrbench.notes import note
from amrbench.training.log import Epoch, RunningStage
from amrbench.training.progress_bars import PassingReporter, Reporter

DIVERGED = 1_000
"""How many times its first value the mean loss of an epoch may be before people are told."""


class DivergenceNotes(PassingReporter):
    """Passes everything on, and issues a note once for each stage whose loss grows beyond all measure."""

    def __init__(self, around: Reporter) -> None:
        super().__init__(around)
        self.first: dict[str, float] = {}
        self.noted: set[str] = set()

    @override
    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        super().epoch(stage, epoch)
        if epoch.epoch == 1:
            self.first[stage.name] = epoch.size
            since, size = "its first step", epoch.first
        else:
            since, size = "the first epoch", self.first.get(stage.name, 0.0)
        if epoch.size > DIVERGED * size > 0 and stage.name not in self.noted:
            self.noted.add(stage.name)
            note(
                f"{stage.name}: the mean loss of epoch {epoch.epoch} is {epoch.total:.3g}, more than "
                f"{DIVERGED:,} times that of {since} ({size:.3g}): training diverges. Its best epoch is "
                "kept. Try a lower learning rate (training.optimizer), a longer warm-up or a smaller "
                "training.clip."
            )
