"""`amrbench run --dry-run`: what a run would do, and an estimate of its time and disk. Nothing is kept.

The time of a stage comes from an earlier training of the same stage with another seed. Without one, steps of
one and of four queries are timed, and a step of a whole batch is extrapolated from them. Features that do
not exist yet are made for a few recordings of a split, in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter

from amrbench.config.study import Runnable
from amrbench.content_hash import content_hash
from amrbench.data.feature_dataset import DatasetCache, is_trainable
from amrbench.data.feature_source import FeatureSource
from amrbench.errors import RunError
from amrbench.experiment.plan import distinct_splits, plan_run
from amrbench.experiment.run import Runner, Settings
from amrbench.files.checksums import changed_files, has_checksums
from amrbench.notes import note
from amrbench.plugin_errors import naming_plugins
from amrbench.registry import Registry
from amrbench.slots.model import Limits
from amrbench.tools.sampled_split import MIB, SampledSplit, SplitForecast, sample_split
from amrbench.training.numerics import fixed_numerics
from amrbench.training.progress_bars import NULL_REPORTER, Reporter, duration
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import is_finished, read_done
from amrbench.training.stages import batches, build_augments, untrained
from amrbench.training.store_layout import DONE, store_of
from amrbench.types import TrainingLength

QUERIES = 4
"""Of the larger of the two batches that are timed."""
LOADED = 16
"""Queries whose features are read for these batches."""
FORWARD = 1 / 3
"""Share of a training step that a prediction takes: backward costs twice as much as forward."""


@dataclass(frozen=True)
class StageForecast:
    """A stage of a recipe, for one seed.

    Attributes:
        name: Recipe, stage and seed.
        key: Name of its folder in the cache.
        present: Whether it is trained already.
        steps: Optimizer steps.
        seconds: Estimated time with one process; 0 if present.
        memory_mib: Memory of an earlier training of this stage; 0 if there was none.
        disk_mib: Size of its weights.
    """

    name: str
    key: str
    present: bool
    steps: int
    seconds: float
    memory_mib: float
    disk_mib: float


@dataclass(frozen=True)
class Forecast:
    """What a run would do, and its estimated cost.

    Attributes:
        finished: Names of the runs that are finished already.
        splits: The data.
        stages: The training, in order.
        jobs: Number of parallel processes.
        seconds: Estimated time of making features and training, without the final evaluation.
        disk_mib: Disk space for what does not exist yet.
    """

    finished: tuple[str, ...]
    splits: tuple[SplitForecast, ...]
    stages: tuple[StageForecast, ...]
    jobs: int
    seconds: float
    disk_mib: float

    def as_json(self) -> dict[str, object]:
        """Return the forecast as plain values."""
        return asdict(self)

    def text(self) -> str:
        """Return the forecast for people."""
        lines = [f"finished: {name}" for name in self.finished]
        lines += [f"data   {_state(split)}  {split.name}" for split in self.splits]
        lines += [
            f"stage  {_state(stage)}  {stage.name}, {stage.steps:,} steps  [{stage.key[:8]}]"
            for stage in self.stages
        ]
        if self.seconds:
            lines.append(
                f"about {duration(self.seconds)} with --jobs {self.jobs}, and {self.disk_mib:.1f} MiB disk, "
                "under the present load of this machine"
            )
            memory = max((stage.memory_mib for stage in self.stages), default=0.0)
            lines += [f"up to {memory:.0f} MiB memory for each process, as recorded before"] * bool(memory)
        return "\n".join(lines) or "nothing to do"


def _state(row: SplitForecast | StageForecast) -> str:
    return f"{'found' if row.present else 'about ' + duration(row.seconds):<16}"


def dry_run(
    recipes: Sequence[Runnable],
    protocol: str | Path,
    *,
    registry: Registry,
    settings: Settings,
    reporter: Reporter = NULL_REPORTER,
) -> Forecast:
    """Return what `run_all` would do, and its estimated cost; nothing is kept.

    Raises:
        RecipeError: A file is wrong or missing.
        DataError: Data is wrong or missing.
        RunError: The run makes no sense.
    """
    runner = Runner(registry, settings, reporter)
    requests = runner.requests(runner.methods(recipes), protocol)
    splits = distinct_splits(requests)
    annotated = runner.refuse_before_features(requests)
    samples = {
        key: sample_split(split, settings.cache_folder, reporter, annotated.get(key))
        for key, split in splits.items()
    }
    present = {key: sample.source for key, sample in samples.items() if sample.forecast.present}
    runner.refuse_with_features(requests, present, annotated)
    sources = {key: sample.planned for key, sample in samples.items()}
    planned = [plan_run(request, sources) for request in requests]
    folders = [run.folder(settings.out) for run in planned]
    finished = [folder for folder in dict.fromkeys(folders) if _is_intact(folder)]
    unfinished = [run for run, folder in zip(planned, folders, strict=True) if folder not in finished]
    stages = StageForecaster(
        store_of(settings.cache_folder),
        {sample.source.fingerprint: sample for sample in samples.values()},
        reporter,
    )
    chains = [[stages.forecast(spec) for spec in last.chain] for run in unfinished for last in run.chains]
    data = [sample.forecast for sample in samples.values()]
    trained = _distinct(chains)
    jobs = runner.jobs(requests[0].protocol.threads)
    return Forecast(
        finished=tuple(folder.name for folder in finished),
        splits=tuple(data),
        stages=tuple(trained),
        jobs=jobs,
        seconds=sum(split.seconds for split in data) / jobs + training_seconds(chains, jobs),
        disk_mib=sum(split.disk_mib for split in data if not split.present)
        + sum(stage.disk_mib for stage in trained if not stage.present),
    )


def _is_intact(folder: Path) -> bool:
    """Whether a run is finished and as it was written. Unlike a run, this sets nothing aside."""
    if not has_checksums(folder):
        return False
    if faults := changed_files(folder):
        note(f"the run {folder} would be set aside and made again: {faults[0]}")
    return not faults


def training_seconds(chains: Sequence[Sequence[StageForecast]], jobs: int) -> float:
    """Return the larger of all work divided by the processes and the longest chain: a lower bound."""
    work = sum(stage.seconds for stage in _distinct(chains))
    longest = max((sum(stage.seconds for stage in chain) for chain in chains), default=0.0)
    return max(work / jobs, longest)


def _distinct(chains: Iterable[Iterable[StageForecast]]) -> list[StageForecast]:
    return list({stage.key: stage for chain in chains for stage in chain}.values())


@dataclass(frozen=True)
class StageCost:
    """What a stage costs, whatever its seed.

    Attributes:
        step: Seconds of one optimizer step, with its share of the validation.
        memory_mib: 0 if it is not known.
        disk_mib: Size of the weights.
    """

    step: float
    memory_mib: float
    disk_mib: float


@dataclass
class StageForecaster:
    """Forecasts stages. Seeds of one stage cost the same, so each stage is timed once.

    Attributes:
        store: The folder of stages.
        samples: Of the splits, by fingerprint; recordings are taken to have equally many queries.
        reporter: Receives what is being timed.
        costs: By the content of the stage without its seed.
    """

    store: Path
    samples: Mapping[str, SampledSplit]
    reporter: Reporter
    costs: dict[str, StageCost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the costs of the stages in the store."""
        for file in sorted(self.store.glob(f"*/{DONE}")):
            try:
                done = read_done(file.parent)
            except RunError:
                continue  # Of an older version; a run reports it if it needs the stage.
            size = sum(weights.stat().st_size for weights in file.parent.iterdir()) / MIB
            cost = StageCost(done.seconds / max(1, done.steps), done.memory_mib, size)
            self.costs[without_seed(done.content)] = cost

    def forecast(self, spec: StageSpec) -> StageForecast:
        """Return the forecast of a stage."""
        kind = without_seed(spec.content())
        steps = spec.stage.epochs * -(-round(self._queries(spec.train)) // spec.recipe.training.batch)
        if kind not in self.costs:
            self.costs[kind] = self._timed(spec)
        cost, present = self.costs[kind], is_finished(spec, self.store)
        seconds = 0.0 if present else steps * cost.step
        return StageForecast(spec.name, spec.key, present, steps, seconds, cost.memory_mib, cost.disk_mib)

    def _queries(self, sources: Iterable[FeatureSource]) -> float:
        samples = [self.samples[source.fingerprint] for source in sources]
        return sum(len(sample.queries) * sample.scale for sample in samples)

    def _timed(self, spec: StageSpec) -> StageCost:
        with_features = tuple(self.samples[source.fingerprint].source for source in spec.train)
        few = tuple(longest_trainable(source, spec.recipe.limits) for source in with_features)
        if not any(source.queries for source in few):
            self.reporter.note(f"{spec.name}: not timed, because the sample has no window to train on")
            return StageCost(0.0, 0.0, 0.0)
        self.reporter.note(f"{spec.name}: timing steps of 1 and {QUERIES} queries")
        batch = spec.recipe.training.batch
        times, disk_mib = time_steps(replace(spec, train=few), (1, QUERIES))
        a_query = max(0.0, (times[1] - times[0]) / (QUERIES - 1))
        step = times[1] + (batch - QUERIES) * a_query
        a_step = batch / self._queries(spec.train)  # Of an epoch, and so of a validation.
        return StageCost(step + a_step * self._queries([spec.select]) * a_query * FORWARD, 0.0, disk_mib)


def without_seed(content: Mapping[str, object]) -> str:
    """Return a hash of what the cost of a step depends on, from `StageSpec.content`.

    How many seeds are trained at once counts nothing, because steps are timed with one model.
    """
    of_seed = ("seed", "parent", "together")
    return content_hash({name: value for name, value in content.items() if name not in of_seed})


def longest_trainable(source: FeatureSource, limits: Limits) -> FeatureSource:
    """Return the queries about the longest recordings that training does not leave out.

    A batch is as long as its longest recording, and most batches have one that is about the longest.
    """
    queries = [
        query
        for query in source.queries
        if is_trainable(query, source.audio_length(query.vid), source.hop, limits)
    ]
    return replace(source, queries=tuple(sorted(queries, key=lambda query: -query.duration)[:LOADED]))


def time_steps(spec: StageSpec, sizes: Sequence[int]) -> tuple[list[float], float]:
    """Return the seconds of a training step of some sizes, and the size of the two weights files in MiB."""
    datasets, times = DatasetCache(), []
    with naming_plugins(spec.recipe), fixed_numerics(spec.threads, spec.device):
        train = datasets.load(spec.train, spec.recipe.limits)
        criterion = untrained(spec, datasets).train()
        length = TrainingLength(1, 2 * len(sizes), spec.recipe.training.clip)
        updater = spec.training.optimizer.build(criterion, length)
        augments = build_augments(spec, train)
        for size in sizes:
            training = spec.recipe.training.model_copy(update={"batch": size})
            recipe = spec.recipe.model_copy(update={"training": training})
            batch, target = next(batches(replace(spec, recipe=recipe), train, augments, 0))
            for _ in range(2):  # The first step of a size is slower.
                start = perf_counter()
                updater.step(lambda: criterion(batch, target)).total.item()  # noqa: B023 - called at once
            times.append(perf_counter() - start)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in criterion.state_dict().values())
    return times, 2 * weights / MIB
