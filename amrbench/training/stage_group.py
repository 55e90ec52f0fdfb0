"""The fine-tunes of a soup on a GPU: stages that differ in their seed alone are trained at once, in groups.

On the CPU every stage is trained alone: there it is faster, and processes use the other cores.
"""

from __future__ import annotations

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
from amrbench.data.out_of_memory import explained_memory
from amrbench.errors import RunError
from amrbench.files.file_lock import exclusive
from amrbench.notes import note
from amrbench.part import parts_in
from amrbench.plugin_errors import naming_plugins
from amrbench.slots.optimizers import OptimizerPart
from amrbench.training import log
from amrbench.training.array_loop import ArrayMemoryError, fit_array
from amrbench.training.failures import StepError
from amrbench.training.log import RunningStage, StageProgress
from amrbench.training.loop import LESS_MEMORY, StageInputs, fixed_numerics
from amrbench.training.model_array import CriterionArray, stack
from amrbench.training.predict import to_device
from amrbench.training.progress_bars import Reporter
from amrbench.training.stages import (
    StageKeeper,
    StageSpec,
    StageSplits,
    build_augments,
    failed_folder,
    host_batches,
    is_finished,
    kept_failure,
    load_start,
    run_stage,
    stage_inputs,
    unfinished_folder,
    untrained,
)
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
    training, limit = spec.recipe.training, spec.recipe.limits.frames
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


def run_group(spec: StageSpec, store: Path, reporter: Reporter, datasets: DatasetCache) -> None:
    """Train all stages of a group that are not in the store, at once; a stage without a group alone.

    What cannot be trained at once is trained one after another, with a note.

    Raises:
        AmrbenchError: See `run_stage`. If one of the stages fails, all of them are stopped.
    """
    if not spec.together:
        run_stage(spec, store, reporter, datasets)
        return
    group = spec.group
    start = run_stage(spec.parent, store, reporter, datasets) if spec.parent else None

    def report_waiting(holder: str) -> None:
        reporter.note(f"{group_name(spec)}: waiting for process {holder}, which trains them")

    with exclusive(store / f"{group[0].key}.group.lock", report_waiting):
        missing = [own for own in group if not is_finished(own, store)]
        if not missing:
            return
        fault = _train_at_once(group, start, store, reporter, datasets)
        if fault:
            note(
                f"{group_name(spec)}: they are trained one after another, because at once is not possible: "
                f"{fault}"
            )
            for own in missing:
                run_stage(own, store, reporter, datasets)


def group_name(spec: StageSpec) -> str:
    """Return e.g. "cgdetr finetune, seeds 0 to 4"."""
    return f"{spec.recipe.name} {spec.stage.name}, seeds {spec.together[0]} to {spec.together[-1]}"


def _train_at_once(
    group: Sequence[StageSpec], start: Path | None, store: Path, reporter: Reporter, datasets: DatasetCache
) -> str:
    """Train the stages of a group into their folders; return why that is not possible, if it is not."""
    first = group[0]
    running = replace(first.running, name=group_name(first))
    with ExitStack() as closing:
        for own in (running, *(spec.running for spec in group)):
            closing.callback(reporter.end, own)
        try:
            with naming_plugins(first.recipe):
                return _train(group, start, store, reporter, running, datasets)
        except ArrayMemoryError as error:
            return str(error)


def _train(
    group: Sequence[StageSpec],
    start: Path | None,
    store: Path,
    reporter: Reporter,
    running: RunningStage,
    datasets: DatasetCache,
) -> str:
    first = group[0]
    reporter.step(running, StageProgress(1, 0, 0, "reading features"))
    folders = [unfinished_folder(spec, store) for spec in group]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        log.begin(folder / log.FILE)
    with fixed_numerics(first.threads):
        with explained_memory(f"{running.name}, reading features", LESS_MEMORY):
            splits = StageSplits.of(first, datasets)
            criteria = [untrained(spec, datasets) for spec in group]
        for spec, criterion in zip(group, criteria, strict=True):
            load_start(spec, criterion, start)
        array = CriterionArray(criteria)
        together = _inputs(group, splits, array, running)
        if fault := _fault(array, together):
            return fault
        models = [
            stage_inputs(spec, splits, criterion, together.updater)
            for spec, criterion in zip(group, criteria, strict=True)
        ]
        keepers = [
            StageKeeper(spec, criterion, folder, reporter)
            for spec, criterion, folder in zip(group, criteria, folders, strict=True)
        ]
        try:
            fit_array(
                together,
                models,
                keep=lambda number, epoch: keepers[number].keep(epoch),
                report=partial(reporter.step, running),
            )
        except StepError as error:
            failed = next(spec for spec, own in zip(group, criteria, strict=True) if own is error.criterion)
            message = kept_failure(failed, error, store, datasets)
            others = f"The others of {running.name} were trained with it, and are stopped too."
            raise RunError(f"{message} {others}") from error
    for spec, keeper, folder in zip(group, keepers, folders, strict=True):
        if not is_finished(spec, store):
            keeper.write(steps=together.epochs * together.steps, at_once=len(group))
            folder.rename(store / spec.key)
            shutil.rmtree(failed_folder(spec, store), ignore_errors=True)
    return ""


def _inputs(
    group: Sequence[StageSpec], splits: StageSplits, array: CriterionArray, running: RunningStage
) -> StageInputs:
    """Return what the training loop needs of all models."""
    first = group[0]
    length = splits.length(first, array=True)
    return StageInputs(
        name=running.name,
        criterion=array,
        updater=first.recipe.training.optimizer.build(array, length),
        batches=partial(
            _batches, group, splits.train, [build_augments(spec, splits.train) for spec in group]
        ),
        validate=dict,
        epochs=length.epochs,
        steps=length.steps_per_epoch,
        seed=seed_from(*(spec.sampling_seed for spec in group)),
    )


def _batches(
    group: Sequence[StageSpec],
    train: FeatureDataset,
    augments: Sequence[Sequence[Augment]],
    epoch: int,
) -> Iterator[tuple[Batch, Target]]:
    """Yield the batches of all models of an epoch, stacked; they go to the device as one."""
    device = torch.device(group[0].device)
    of_each = [host_batches(spec, train, own, epoch) for spec, own in zip(group, augments, strict=True)]
    stacked = (tuple(map(stack, zip(*pairs, strict=True))) for pairs in zip(*of_each, strict=True))
    for batch, target in look_ahead(stacked):
        yield to_device(batch, device), to_device(target, device)


def _fault(array: CriterionArray, together: StageInputs) -> str:
    """Return why the first batches cannot be trained on at once."""
    for batch, target in islice(together.batches(0), 1):
        return array.fault(batch, target)
    return ""
