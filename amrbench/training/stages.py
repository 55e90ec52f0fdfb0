"""Train a stage: from the weights of the stage before it, with what a process that was stopped has saved."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from typing_extensions import override

from amrbench.data.feature_dataset import Augment, DatasetCache, FeatureDataset, epoch_order, visit_rngs
from amrbench.data.look_ahead import look_ahead
from amrbench.data.out_of_memory import explained_memory
from amrbench.errors import RunError, some
from amrbench.evaluation.result import Selected, TrainedStage, write_record
from amrbench.files.checksums import write_checksums
from amrbench.files.claim import exclusive
from amrbench.files.disk_space import refuse_full_disk
from amrbench.files.tree_file import Tree, size_of
from amrbench.files.weights import load_weights, read_weights, write_weights
from amrbench.plugin_errors import naming_plugins
from amrbench.slots.optimizers import Updater
from amrbench.training import log
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.failures import StepError, keep_failure
from amrbench.training.kept_epochs import CheckpointKeeper
from amrbench.training.log import Epoch, ProgressFile, StageProgress
from amrbench.training.loop import LESS_MEMORY, Saves, StageInputs, fit
from amrbench.training.numerics import fixed_numerics, hardware
from amrbench.training.predict import to_device, validate
from amrbench.training.progress_bars import Reporter
from amrbench.training.reading import fit_readouts
from amrbench.training.saved_states import SavedStates
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import (
    LAST,
    begin_folder,
    claim_file,
    failed_folder,
    finish_folder,
    is_intact,
    unfinished_folder,
    weights_file,
)
from amrbench.training.store_layout import DONE
from amrbench.types import Batch, BuildContext, Query, Target, TrainingLength

IN_STATE = 4
"""Copies of the weights in a saved state: current ones, two moments, an average; kept ones come on top."""


def run_stage(spec: StageSpec, store: Path, reporter: Reporter, datasets: DatasetCache) -> Path:
    """Return the folder of a stage; if it is not in the store, it and the stages before it are trained alone.

    Raises:
        RunError: Training failed.
        CheckpointError: The weights of the stage before it do not fit, or are damaged.
        DataError: Features are damaged, or the store cannot be written to.
    """
    folder = store / spec.key
    if is_intact(spec, store):
        return folder
    start = run_stage(spec.parent, store, reporter, datasets) if spec.parent else None

    def report_waiting(holder: str) -> None:
        reporter.note(f"{spec.name}: waiting for process {holder}, which trains it")

    with exclusive(claim_file(spec, store), report_waiting) as claim:
        # Another process may have trained it while this one waited.
        if is_intact(spec, store):
            return folder
        try:
            with naming_plugins(spec.recipe), explained_memory(spec.name, LESS_MEMORY):
                _train(spec, start, begin_folder(spec, store), reporter, datasets)
            finish_folder(spec, store)
        except Exception as error:
            if claim.is_held() and isinstance(error, StepError):
                raise kept_failure(spec, error, store, datasets) from error
            if claim.is_held():
                raise
            reporter.note(f"{spec.name}: another process took it over while this one was stopped")
        else:
            shutil.rmtree(failed_folder(spec, store), ignore_errors=True)
            return folder
        finally:
            reporter.end(spec.running)
    return run_stage(spec, store, reporter, datasets)


def untrained(spec: StageSpec, datasets: DatasetCache) -> Criterion:
    """Return the model and losses of a stage with their first weights, as without a stage before it."""
    train = datasets.load(spec.train, spec.recipe.limits)
    context = BuildContext(
        features=train.widths,
        seed=spec.seed,
        input_dropout=spec.stage.input_dropout,
        window_widths=train.window_widths(),
    )
    return build_criterion(spec.recipe, context).to(spec.device)


def build_augments(spec: StageSpec, train: FeatureDataset) -> list[Augment]:
    """Return the augmentations of a stage, in their order."""
    return [part.build(train) for part in spec.recipe.training.augment]


def batches(
    spec: StageSpec, train: FeatureDataset, augments: Sequence[Augment], epoch: int, step: int = 0
) -> Iterator[tuple[Batch, Target]]:
    """Yield the training batches of an epoch from a step on, on the device, in the order of the epoch.

    Away from the CPU, a batch is made while the device computes with the one before.
    """
    device = torch.device(spec.device)
    made = host_batches(spec, train, augments, epoch, step)
    for batch, target in made if device.type == "cpu" else look_ahead(made):
        yield to_device(batch, device), to_device(target, device)


def host_batches(
    spec: StageSpec, train: FeatureDataset, augments: Sequence[Augment], epoch: int, step: int = 0
) -> Iterator[tuple[Batch, Target]]:
    """Yield the same in the memory of the host."""
    training = spec.recipe.training
    labels = training.targets.build()
    rng_of = visit_rngs(spec.sampling_seed, epoch)
    order = train.trainable[epoch_order(len(train.trainable), spec.sampling_seed, epoch)]
    for start in range(step * training.batch, len(order), training.batch):
        indices = order[start : start + training.batch]
        yield train.training_batch(indices, labels=labels, augments=augments, rng_of=rng_of)


def queries_of(spec: StageSpec, train: FeatureDataset, epoch: int, step: int) -> list[Query]:
    """Return the queries of a batch; epoch and step count from 0."""
    order = train.trainable[epoch_order(len(train.trainable), spec.sampling_seed, epoch)]
    start = step * spec.recipe.training.batch
    return [train.queries[index] for index in order[start : start + spec.recipe.training.batch]]


def _train(
    spec: StageSpec, start: Path | None, folder: Path, reporter: Reporter, datasets: DatasetCache
) -> None:
    """Train a stage and write its files; `start` is the folder of the stage that it starts from."""
    report = ProgressFile(folder, partial(reporter.step, spec.running))
    report(StageProgress(1, 0, 0, "reading features"))
    states = SavedStates(folder)
    saved = state_for(1, states.load())
    with fixed_numerics(spec.threads, spec.device):
        with explained_memory(f"{spec.name}, reading features", LESS_MEMORY):
            splits = StageSplits.of(spec, datasets)
            criterion = untrained(spec, datasets)
        if saved is None:
            load_start(spec, criterion, start)
        updater = spec.training.optimizer.build(criterion, splits.length(spec))
        inputs = stage_inputs(spec, splits, criterion, updater)
        keeper = StageKeeper(spec, criterion, folder, reporter)
        saves = StageSaves(states, [keeper])
        state = saves.begin(saved, name=spec.name, steps=inputs.steps)
        fit(inputs, keep=keeper.keep, report=report, saves=saves, state=state)
    keeper.write(steps=inputs.epochs * inputs.steps)
    states.remove()


def state_for(stages: int, saved: Tree) -> Tree:
    """Return a saved state if it is that of as many stages; None if others were trained at once then."""
    return saved if saved is not None and len(saved["stages"]) == stages else None


def load_start(spec: StageSpec, criterion: Criterion, start: Path | None) -> None:
    """Give a criterion the weights of the stage before, in the folder `start`, except for fresh ones."""
    if start:
        fresh = [f"model.{name}" for name in spec.stage.fresh]
        weights = start / weights_file(spec.recipe.training.readouts[0].use)
        load_weights(criterion, read_weights(weights), name=str(weights), fresh=fresh)


@dataclass(frozen=True)
class StageSplits:
    """The splits that a stage reads."""

    train: FeatureDataset
    select: FeatureDataset

    @classmethod
    def of(cls, spec: StageSpec, datasets: DatasetCache) -> StageSplits:
        """Load the splits of a stage."""
        limits = spec.recipe.limits
        return cls(datasets.load(spec.train, limits), datasets.load((spec.select,), limits))

    def length(self, spec: StageSpec, *, array: bool = False) -> TrainingLength:
        """Return how long a stage trains, alone or with others in an array."""
        training = spec.recipe.training
        steps = -(-len(self.train.trainable) // training.batch)
        return TrainingLength(spec.stage.epochs, steps, training.clip, array=array)


def stage_inputs(spec: StageSpec, splits: StageSplits, criterion: Criterion, updater: Updater) -> StageInputs:
    """Return what the training loop needs."""
    training, device, train = spec.recipe.training, torch.device(spec.device), splits.train
    readouts = fit_readouts(training.readouts, train.window_widths())
    return StageInputs(
        name=spec.name,
        criterion=criterion,
        updater=updater,
        batches=partial(batches, spec, train, build_augments(spec, train)),
        validate=partial(
            validate, criterion.model, splits.select, readouts, device=device, select=training.select
        ),
        epochs=spec.stage.epochs,
        steps=splits.length(spec).steps_per_epoch,
        seed=spec.sampling_seed,
    )


class StageKeeper:
    """Keeps the epochs of a stage: weights in memory, and a line of the log; writes its files at the end."""

    def __init__(self, spec: StageSpec, criterion: Criterion, folder: Path, reporter: Reporter) -> None:
        training = spec.recipe.training
        self.spec, self.criterion, self.folder, self.reporter = spec, criterion, folder, reporter
        self.epochs: list[Epoch] = []
        names = [part.use for part in training.readouts]
        self.kept = CheckpointKeeper(criterion, names, training.select, over=training.select_over)

    def keep(self, epoch: Epoch) -> None:
        """Keep an epoch, while the criterion has the weights that were validated."""
        self.kept.update(epoch)
        # A later epoch may be computed elsewhere, if the stage goes on from a state.
        self._add(replace(epoch, host=platform.node(), hardware=hardware(self.spec.device)))

    def begin(self, state: Tree = None) -> None:
        """Begin the log, or go on from a state; what the log has of later epochs is left out."""
        log.begin(self.folder)
        if state is not None:
            self.kept.load_state(state["kept"])
            for epoch in state["epochs"]:
                self._add(Epoch(**epoch))

    def state(self) -> Tree:
        """Return what is kept, and the log."""
        return {"kept": self.kept.state(), "epochs": [asdict(epoch) for epoch in self.epochs]}

    def _add(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        log.write_epoch(self.folder, self.spec.name, epoch)
        self.reporter.epoch(self.spec.running, epoch)

    def write(self, *, steps: int) -> None:
        """Write weights, record and checksums of the trained stage; `steps` is their number."""
        spec, folder, best = self.spec, self.folder, self.kept.best
        record = TrainedStage(
            key=spec.key,
            selected={name: Selected(epoch=kept.epoch, val=dict(kept.val)) for name, kept in best.items()},
            epochs=spec.stage.epochs,
            steps=steps,
            content=spec.content(),
        )
        about = {"key": spec.key}
        for name, kept in best.items():
            own = {"readout": name, "epoch": kept.epoch, "val": dict(kept.val)}
            write_weights(folder / weights_file(name), kept.weights, about | own)
        write_weights(folder / LAST, self.kept.last, about | {"epoch": spec.stage.epochs})
        write_record(folder / DONE, record)
        write_checksums(folder, [*map(weights_file, best), LAST, log.FILE, DONE])


class StageSaves(Saves):
    """The states of a stage, or of several that are trained at once: that of the loop, and what is kept."""

    def __init__(self, states: SavedStates, keepers: Sequence[StageKeeper]) -> None:
        self.states = states
        self.keepers = keepers

    def begin(self, saved: Tree, *, name: str, steps: int) -> Tree:
        """Begin, or go on from a saved state; return the state of the loop, None at the beginning.

        Args:
            saved: A state that was saved, if any.
            name: Of the stage or stages, for the note that it goes on.
            steps: Of an epoch.

        Raises:
            RunError: The disk has too little room for the states and the weights.
        """
        refuse_full_disk(self.states.folder, sum(map(_needed, self.keepers)), name)
        if saved is None:
            for keeper in self.keepers:
                keeper.begin()
            return None
        self.keepers[0].reporter.note(f"{name}: going on after {_where(saved['loop'], steps)}")
        for keeper, state in zip(self.keepers, saved["stages"], strict=True):
            keeper.begin(state)
        return saved["loop"]

    @override
    def due(self, *, epoch_seconds: float) -> bool:
        return self.states.due(epoch_seconds)

    @override
    def save(self, state: Tree) -> None:
        saved = {"loop": state, "stages": [keeper.state() for keeper in self.keepers]}
        self.states.save(saved, state["epoch"], state["step"])


def _needed(keeper: StageKeeper) -> int:
    """Return the bytes that a stage may write: its weights, and two saved states at a time."""
    kept = len(keeper.kept.best)
    in_state = kept + keeper.kept.neighbours + IN_STATE
    return size_of(keeper.criterion.state_dict()) * (kept + 1 + 2 * in_state)


def _where(state: Tree, steps: int) -> str:
    """Return where a stage was stopped, e.g. "epoch 2" or "epoch 2, step 5 of 69"."""
    if not state["step"]:
        return f"epoch {state['epoch']}"
    return f"epoch {state['epoch'] + 1}, step {state['step']} of {steps}"


def kept_failure(spec: StageSpec, error: StepError, store: Path, datasets: DatasetCache) -> RunError:
    """Keep the batch and the weights of a step that failed; return the error that names their folder."""
    making, folder = unfinished_folder(spec, store), failed_folder(spec, store)
    record = error.diagnosis.record
    train = datasets.load(spec.train, spec.recipe.limits)
    qids = [query.qid for query in queries_of(spec, train, record.epoch, record.step)]
    try:
        SavedStates(making).remove()
        log.remove_progress(making)
        keep_failure(error, making, {"stage": spec.name, "key": spec.key, "seed": spec.seed, "qids": qids})
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
        kept = f"The weights from before the step and its batch are in {folder}."
    except (RunError, OSError) as problem:
        kept = f"The weights and the batch could not be kept: {problem}"
    return RunError(
        f"{error}. The stage is stopped, and nothing of it is used. Its queries: {some(qids, 3)}. {kept} "
        f"{error.diagnosis.remedy}".rstrip()
    )
