"""The fine-tunes of a soup on a GPU: stages that differ in their seed alone are trained at once, in groups.

On the CPU every stage is trained alone: there it is faster, and processes use the other cores.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import torch

from amrbench.content_hash import seed_from
from amrbench.data.feature_dataset import Augment, DatasetCache, FeatureDataset
from amrbench.data.look_ahead import look_ahead
from amrbench.data.out_of_memory import MemoryShortError, explained_memory
from amrbench.errors import RunError
from amrbench.files.claim import exclusive
from amrbench.files.tree_file import Tree
from amrbench.notes import note
from amrbench.part import parts_in
from amrbench.plugin_errors import naming_plugins
from amrbench.slots.optimizers import OptimizerPart
from amrbench.training.array_loop import fit_array
from amrbench.training.failures import StepError
from amrbench.training.log import Epoch, ProgressFile, RunningStage, StageProgress
from amrbench.training.loop import LESS_MEMORY, StageInputs
from amrbench.training.model_array import CriterionArray, stack
from amrbench.training.numerics import fixed_numerics
from amrbench.training.predict import to_device
from amrbench.training.progress_bars import Reporter
from amrbench.training.saved_states import SavedStates
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import (
    begin_folder,
    claim_file,
    failed_folder,
    finish_folder,
    is_finished,
    is_intact,
    unfinished_folder,
)
from amrbench.training.stages import (
    StageKeeper,
    StageSaves,
    StageSplits,
    build_augments,
    host_batches,
    kept_failure,
    load_start,
    run_stage,
    stage_inputs,
    state_for,
    untrained,
)
from amrbench.training.store_layout import CLAIM
from amrbench.types import Batch, Target

DEVICES = frozenset({"cuda"})
"""Kinds of devices on which seeds are trained at once."""
MOST_ROWS = 48_000
"""Audio rows in the batches of a group: five batches of 32 recordings of 300 rows, or 25 of 60 rows."""


def grouped_seeds(spec: StageSpec, seeds: int) -> list[tuple[int, ...]]:
    """Return the seeds from 0 in groups that are trained at once.

    The groups are the smallest number of about equal size whose batches have at most `MOST_ROWS` audio rows.
    Each seed is alone on a CPU, and with an optimizer that cannot update several models at once. Only the
    recipe, the data and the kind of the device count, because groups are in the keys of the stages.
    """
    training, limit = spec.training, spec.recipe.limits.frames
    parts = [part for part in parts_in([training.optimizer]) if isinstance(part, OptimizerPart)]
    if torch.device(spec.device).type not in DEVICES or not all(part.updates_arrays for part in parts):
        return [(seed,) for seed in range(seeds)]
    longest = max(query.duration / source.hop for source in spec.train for query in source.queries)
    fitting = max(1, int(MOST_ROWS // (training.batch * min(longest, limit))))
    count = -(-seeds // fitting)
    bounds = [group * seeds // count for group in range(count + 1)]
    return [tuple(range(*pair)) for pair in pairwise(bounds)]


def in_group(spec: StageSpec, seed: int, group: tuple[int, ...]) -> StageSpec:
    """Return the stage of a seed; the seeds of its group are trained at once, if they are several."""
    return replace(spec, seed=seed, together=group if len(group) > 1 else ())


def group_claim_file(spec: StageSpec, store: Path) -> Path:
    """Return the claim of the process that trains a stage, alone or at once with others."""
    return store / f"{spec.group[0].key}.group{CLAIM}" if spec.together else claim_file(spec, store)


def is_group_finished(spec: StageSpec, store: Path) -> bool:
    """Whether a stage is in the store, and all that are trained at once with it."""
    return all(is_finished(own, store) for own in spec.group)


def run_group(spec: StageSpec, store: Path, reporter: Reporter, datasets: DatasetCache) -> None:
    """Train all stages of a group that are not in the store, at once; a stage without a group alone.

    What cannot be trained at once is trained one after another, with a note.

    Raises:
        AmrbenchError: See `run_stage`. If one of the stages fails, all of them are stopped.
    """
    if not spec.together:
        run_stage(spec, store, reporter, datasets)
        return
    group = StageGroup(spec.group, store, reporter, datasets)
    start = run_stage(spec.parent, store, reporter, datasets) if spec.parent else None

    def report_waiting(holder: str) -> None:
        reporter.note(f"{group.name}: waiting for process {holder}, which trains them")

    with exclusive(group_claim_file(spec, store), report_waiting) as claim:
        try:
            group.train_missing(start)
        except Exception:
            if claim.is_held():
                raise
            reporter.note(f"{group.name}: another process took them over while this one was stopped")
        else:
            return
    run_group(spec, store, reporter, datasets)


class StageGroup:
    """Stages that differ in their seed alone, and are trained at once."""

    def __init__(
        self, specs: Sequence[StageSpec], store: Path, reporter: Reporter, datasets: DatasetCache
    ) -> None:
        self.specs, self.first = specs, specs[0]
        self.store, self.reporter, self.datasets = store, reporter, datasets
        self.folders = [unfinished_folder(spec, store) for spec in specs]
        self.report = ProgressFile(self.folders[0], partial(reporter.step, self.running))

    @property
    def name(self) -> str:
        """Return e.g. "cgdetr finetune, seeds 0 to 4"."""
        seeds = f"seeds {self.first.seed} to {self.specs[-1].seed}"
        return f"{self.first.recipe.name} {self.first.stage.name}, {seeds}"

    @property
    def running(self) -> RunningStage:
        """Return what people are shown while it is trained."""
        return replace(self.first.running, name=self.name)

    def train_missing(self, start: Path | None) -> None:
        """Train the stages that are not in the store, at once or else one after another.

        Raises:
            AmrbenchError: See `run_stage`.
        """
        missing = [own for own in self.specs if not is_intact(own, self.store)]
        if missing and (fault := self.train(start)):
            note(f"{self.name}: they are trained one after another; at once is not possible: {fault}")
            gc.collect()  # An error, and with it the tensors of its step, may be part of a cycle.
            for own in missing:
                run_stage(own, self.store, self.reporter, self.datasets)

    def train(self, start: Path | None) -> str:
        """Train the stages from the weights in a folder; return why that is not possible, if it is not.

        Raises:
            RunError: One of them failed.
        """
        with ExitStack() as closing:
            for own in (self.running, *(spec.running for spec in self.specs)):
                closing.callback(self.reporter.end, own)
            try:
                with naming_plugins(self.first.recipe), explained_memory(self.name, LESS_MEMORY):
                    return self._train(start)
            except MemoryShortError as error:
                return f"out of memory: {error.request}"

    def _train(self, start: Path | None) -> str:
        for spec in self.specs:
            begin_folder(spec, self.store)
        self.report(StageProgress(1, 0, 0, "reading features"))
        states = SavedStates(self.folders[0])
        saved = state_for(len(self.specs), states.load())
        with fixed_numerics(self.first.threads, self.first.device):
            with explained_memory(f"{self.name}, reading features", LESS_MEMORY):
                splits = StageSplits.of(self.first, self.datasets)
                criteria = [untrained(spec, self.datasets) for spec in self.specs]
            for spec, criterion in zip(self.specs, criteria, strict=True):
                load_start(spec, criterion, start)
            array = CriterionArray(criteria)
            together = self._inputs(array, splits)
            if fault := _fault(array, together):
                return fault
            keepers = self._keepers(array)
            saves = StageSaves(states, keepers)
            state = saves.begin(saved, name=self.name, steps=together.steps)
            self._fit(together, splits, saves, state)
        self._write(keepers, states, steps=together.epochs * together.steps)
        return ""

    def _inputs(self, array: CriterionArray, splits: StageSplits) -> StageInputs:
        """Return what the training loop needs of all models together."""
        length = splits.length(self.first, array=True)
        augments = [build_augments(spec, splits.train) for spec in self.specs]
        return StageInputs(
            name=self.name,
            criterion=array,
            updater=self.first.training.optimizer.build(array, length),
            batches=partial(_batches, self.specs, splits.train, augments),
            validate=dict,
            epochs=length.epochs,
            steps=length.steps_per_epoch,
            seed=seed_from(*(spec.sampling_seed for spec in self.specs)),
        )

    def _keepers(self, array: CriterionArray) -> list[StageKeeper]:
        parts = zip(self.specs, array.criteria, self.folders, strict=True)
        return [StageKeeper(spec, own, folder, self.reporter) for spec, own, folder in parts]

    def _fit(self, together: StageInputs, splits: StageSplits, saves: StageSaves, state: Tree) -> None:
        """Train the models."""
        keepers, updater = saves.keepers, together.updater
        models = [stage_inputs(keeper.spec, splits, keeper.criterion, updater) for keeper in keepers]

        def keep(model: int, epoch: Epoch) -> None:
            keepers[model].keep(epoch)

        try:
            fit_array(together, models, keep=keep, report=self.report, saves=saves, state=state)
        except StepError as error:
            failed = next(keeper.spec for keeper in keepers if keeper.criterion is error.criterion)
            message = kept_failure(failed, error, self.store, self.datasets)
            others = f"The others of {self.name} were trained with it, and are stopped too."
            raise RunError(f"{message} {others}") from error

    def _write(self, keepers: Sequence[StageKeeper], states: SavedStates, *, steps: int) -> None:
        """Write the stages; one that an interrupted run had written already is kept."""
        missing = [keeper for keeper in keepers if not is_finished(keeper.spec, self.store)]
        for keeper in missing:
            keeper.write(steps=steps)
        states.remove()
        for keeper in missing:
            finish_folder(keeper.spec, self.store)
        for keeper in keepers:
            for outdated in (keeper.folder, failed_folder(keeper.spec, self.store)):
                shutil.rmtree(outdated, ignore_errors=True)


def _batches(
    specs: Sequence[StageSpec],
    train: FeatureDataset,
    augments: Sequence[Sequence[Augment]],
    epoch: int,
    step: int = 0,
) -> Iterator[tuple[Batch, Target]]:
    """Yield the batches of all models of an epoch from a step on, stacked; they go to the device as one."""
    device = torch.device(specs[0].device)
    of_each = [host_batches(spec, train, own, epoch, step) for spec, own in zip(specs, augments, strict=True)]
    stacked = (tuple(map(stack, zip(*pairs, strict=True))) for pairs in zip(*of_each, strict=True))
    for batch, target in look_ahead(stacked):
        yield to_device(batch, device), to_device(target, device)


def _fault(array: CriterionArray, together: StageInputs) -> str:
    """Return why the first batches cannot be trained on at once."""
    for batch, target in islice(together.batches(0, 0), 1):
        return array.fault(batch, target)
    return ""
