"""Stages of training, kept in a store and found by a hash of all that determines them.

`stages/<key>/` holds `weights.<readout>.safetensors` (the best epoch for each of `training.readouts`),
`last.safetensors`, `log.jsonl` and `done.json`. It is made in `<key>.making/` and renamed at the end, so a
folder called `<key>` is a finished stage. A stage that was interrupted is trained again from its beginning,
to the same bits. One that failed leaves `<key>.failed/` with the batch and the weights of the step, which
nothing reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch

from amrbench.config.recipe import Recipe, Stage
from amrbench.content_hash import content_hash, seed_from
from amrbench.data.feature_dataset import Augment, DatasetCache, FeatureDataset, epoch_order, visit_rngs
from amrbench.data.feature_source import FeatureSource
from amrbench.data.out_of_memory import explained_memory
from amrbench.errors import RunError, some
from amrbench.evaluation.result import Selected, StageRecord, read_record, write_record
from amrbench.files.file_lock import exclusive
from amrbench.files.weights import load_weights, read_weights, write_weights
from amrbench.plugin_errors import naming_plugins
from amrbench.slots.optimizers import Updater
from amrbench.training import log
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.failures import StepError, keep_failure
from amrbench.training.log import Epoch, RunningStage, StageProgress
from amrbench.training.loop import LESS_MEMORY, CheckpointKeeper, StageInputs, fit, fixed_numerics
from amrbench.training.predict import to_device, validate
from amrbench.training.progress_bars import Reporter
from amrbench.training.reading import fit_readouts
from amrbench.types import Batch, BuildContext, Query, Target, TrainingLength

ENGINE = 1
"""Raised when the training loop gives other numbers, so that older stages are not used any more."""

LAST = "last.safetensors"
DONE = "done.json"
DTYPE = "float32"


@dataclass(frozen=True, eq=False)
class StageSpec:
    """All that determines a stage.

    Attributes:
        recipe: The recipe with stand-ins and budget in place.
        index: Of the stage in the recipe, from 0.
        seed: Of initial weights, order, and all other random draws.
        train: The splits that are trained on.
        select: The split that chooses the epoch.
        versions: Of the parts that determine the weights, by slot and name.
        threads: Number of threads; it changes the last bits of the weights.
        device: E.g. "cpu" or "cuda:0".
        parent: The stage whose weights it starts from, if any.
        together: The seeds that are trained at once, its own among them; empty if it is trained alone.
    """

    recipe: Recipe
    index: int
    seed: int
    train: tuple[FeatureSource, ...]
    select: FeatureSource
    versions: Mapping[str, str]
    threads: int
    device: str
    parent: StageSpec | None = None
    together: tuple[int, ...] = ()

    @property
    def stage(self) -> Stage:
        """Return the options of the stage."""
        return self.recipe.stages[self.index]

    @property
    def name(self) -> str:
        """Return e.g. "cgdetr finetune, seed 1"."""
        seed = f", seed {self.seed}" if self.stage.seeds == "many" or self.seed else ""
        return f"{self.recipe.name} {self.stage.name}{seed}"

    @property
    def model_name(self) -> str:
        """Return the name of its model in tables, if it is the last stage of a chain."""
        return f"seed {self.seed}"

    @property
    def running(self) -> RunningStage:
        """Return what people are shown while it is trained."""
        training = self.recipe.training
        return RunningStage(self.name, self.stage.epochs, training.readouts[0].use, training.select[0])

    @property
    def chain(self) -> list[StageSpec]:
        """Return the stages that it builds on and itself, in the order of training."""
        return [*(self.parent.chain if self.parent else ()), self]

    @property
    def group(self) -> list[StageSpec]:
        """Return the stages that are trained at once, in the order of their seeds; itself if it is alone."""
        return [replace(self, seed=seed) for seed in self.together] or [self]

    @property
    def sampling_seed(self) -> int:
        """Return the seed of all draws after the initial weights; stages of a chain draw differently."""
        return seed_from(self.seed, len(self.chain))

    def content(self) -> dict[str, object]:
        """Return what the key is a hash of: no names, no paths, and not the number of processes."""
        stage = self.stage.model_dump(mode="json", exclude={"name", "data", "seeds"})
        # A stage that is trained alone has the key that it had before there were groups.
        together = {"together": list(self.together)} if self.together else {}
        return {
            "engine": ENGINE,
            "model": self.recipe.model.model_dump(mode="json"),
            "training": self.recipe.training.model_dump(mode="json"),
            "limits": self.recipe.limits.model_dump(mode="json"),
            "stage": stage,
            "train": [source.fingerprint for source in self.train],
            "select": self.select.fingerprint,
            "seed": self.seed,
            "versions": dict(sorted(self.versions.items())),
            "threads": self.threads,
            "device": torch.device(self.device).type,
            "dtype": DTYPE,
            "parent": self.parent.key if self.parent else "",
            **together,
        }

    @cached_property
    def key(self) -> str:
        """Return the name of the stage in the store."""
        return content_hash(self.content())


def distinct_stages(chains: Iterable[StageSpec]) -> list[StageSpec]:
    """Return the stages of chains, each once, by its first name, and after the stage that it starts from."""
    stages: dict[str, StageSpec] = {}
    for spec in (spec for last in chains for spec in last.chain):
        stages.setdefault(spec.key, spec)
    return list(stages.values())


def store_of(cache: Path) -> Path:
    """Return the folder of all stages."""
    return cache / "stages"


def weights_file(readout: str) -> str:
    """Return the name of the file with the weights of the epoch that is best for a read-out."""
    return f"weights.{readout}.safetensors"


def is_finished(spec: StageSpec, store: Path) -> bool:
    """Whether the stage is in the store."""
    return (store / spec.key / DONE).is_file()


def read_done(folder: Path) -> StageRecord:
    """Return what training recorded of a finished stage, or raise RunError if the file is damaged."""
    remedy = "run the recipe again; it trains the stage again"
    return read_record(folder / DONE, StageRecord, what="the record of a trained stage", remedy=remedy)


def unfinished_folder(spec: StageSpec, store: Path) -> Path:
    """Return the folder of a stage that is being trained."""
    return store / f"{spec.key}.making"


def failed_folder(spec: StageSpec, store: Path) -> Path:
    """Return the folder with what is kept of a stage that failed."""
    return store / f"{spec.key}.failed"


def run_stage(spec: StageSpec, store: Path, reporter: Reporter, datasets: DatasetCache) -> Path:
    """Return the folder of a stage; if it is not in the store, it and the stages before it are trained alone.

    Raises:
        RunError: Training failed.
        CheckpointError: The weights of the stage before it do not fit, or are damaged.
        DataError: Features are damaged, or the store cannot be written to.
    """
    folder = store / spec.key
    if is_finished(spec, store):
        return folder
    start = run_stage(spec.parent, store, reporter, datasets) if spec.parent else None

    def report_waiting(holder: str) -> None:
        reporter.note(f"{spec.name}: waiting for process {holder}, which trains it")

    with exclusive(store / f"{spec.key}.lock", report_waiting):
        # Another process may have trained it while this one waited.
        if not is_finished(spec, store):
            unfinished = unfinished_folder(spec, store)
            try:
                unfinished.mkdir(parents=True, exist_ok=True)
                with naming_plugins(spec.recipe):
                    _train(spec, start, unfinished, reporter, datasets)
                unfinished.rename(folder)
            except StepError as error:
                raise kept_failure(spec, error, store, datasets) from error
            finally:
                reporter.end(spec.running)
            shutil.rmtree(failed_folder(spec, store), ignore_errors=True)
    return folder


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
    spec: StageSpec, train: FeatureDataset, augments: Sequence[Augment], epoch: int
) -> Iterator[tuple[Batch, Target]]:
    """Yield the training batches of an epoch on the device, in the order of the epoch."""
    device = torch.device(spec.device)
    for batch, target in host_batches(spec, train, augments, epoch):
        yield to_device(batch, device), to_device(target, device)


def host_batches(
    spec: StageSpec, train: FeatureDataset, augments: Sequence[Augment], epoch: int
) -> Iterator[tuple[Batch, Target]]:
    """Yield the same in the memory of the host."""
    training = spec.recipe.training
    labels = training.targets.build()
    rng_of = visit_rngs(spec.sampling_seed, epoch)
    order = train.trainable[epoch_order(len(train.trainable), spec.sampling_seed, epoch)]
    for start in range(0, len(order), training.batch):
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
    reporter.step(spec.running, StageProgress(1, 0, 0, "reading features"))
    log.begin(folder / log.FILE)
    with fixed_numerics(spec.threads):
        with explained_memory(f"{spec.name}, reading features", LESS_MEMORY):
            splits = StageSplits.of(spec, datasets)
            criterion = untrained(spec, datasets)
        load_start(spec, criterion, start)
        updater = spec.recipe.training.optimizer.build(criterion, splits.length(spec))
        inputs = stage_inputs(spec, splits, criterion, updater)
        keeper = StageKeeper(spec, criterion, folder, reporter)
        fit(inputs, keep=keeper.keep, report=partial(reporter.step, spec.running))
    keeper.write(steps=inputs.epochs * inputs.steps)


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
        self.spec, self.folder, self.reporter = spec, folder, reporter
        self.kept = CheckpointKeeper(criterion, [part.use for part in training.readouts], training.select)

    def keep(self, epoch: Epoch) -> None:
        """Keep an epoch, while the criterion has the weights that were validated."""
        self.kept.update(epoch)
        log.write_epoch(self.folder / log.FILE, epoch)
        self.reporter.epoch(self.spec.running, epoch)

    def write(self, *, steps: int, at_once: int = 1) -> None:
        """Write weights and record of the trained stage.

        Args:
            steps: That it took.
            at_once: Number of stages that were trained at the same time, and so share the seconds.
        """
        spec, folder, best = self.spec, self.folder, self.kept.best
        epochs = log.read_epochs(folder / log.FILE)
        record = StageRecord(
            stage=spec.name,
            key=spec.key,
            selected={name: Selected(epoch=kept.epoch, val=dict(kept.val)) for name, kept in best.items()},
            epochs=spec.stage.epochs,
            steps=steps,
            seconds=round(sum(epoch.seconds for epoch in epochs) / at_once, 3),
            memory_mib=max((epoch.memory_mib for epoch in epochs), default=0.0),
            content=spec.content(),
        )
        about = {"key": spec.key, "stage": spec.name}
        for name, kept in best.items():
            own = {"readout": name, "epoch": kept.epoch, "val": dict(kept.val)}
            write_weights(folder / weights_file(name), kept.weights, about | own)
        write_weights(folder / LAST, self.kept.last, about | {"epoch": spec.stage.epochs})
        write_record(folder / DONE, record)


def kept_failure(spec: StageSpec, error: StepError, store: Path, datasets: DatasetCache) -> RunError:
    """Keep the batch and the weights of a step that failed; return the error that names their folder."""
    making, folder = unfinished_folder(spec, store), failed_folder(spec, store)
    record = error.diagnosis.record
    train = datasets.load(spec.train, spec.recipe.limits)
    qids = [query.qid for query in queries_of(spec, train, record.epoch, record.step)]
    try:
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
