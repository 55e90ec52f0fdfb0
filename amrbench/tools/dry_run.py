"""What a run would do, and about how much time, memory and disk it would take. Trains and keeps nothing.

Splits that are not made yet are sampled: their first recordings are made in a temporary folder. A few steps
of each kind of stage are then taken for real and timed, one process alone; all else is arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

from amrbench.config.study import Runnable
from amrbench.data.collate import Indices
from amrbench.data.feature_dataset import DatasetCache, FeatureDataset
from amrbench.data.feature_source import EncoderFeatures, FeatureSource
from amrbench.data.prepare import (
    FEATURES,
    EncodedQueries,
    FeatureRequest,
    cache_key,
    cached_features,
    header_of,
    local_features,
    refuse_missing_files,
    source_of,
    split_size,
)
from amrbench.data.shards import AudioShard, TextShard, make_shard
from amrbench.experiment.plan import plan_run, request_key
from amrbench.experiment.run import Runner, Settings
from amrbench.files.feature_file import open_feature_file
from amrbench.registry import Registry
from amrbench.training.criterion import Criterion
from amrbench.training.loop import fixed_numerics, memory_mib
from amrbench.training.predict import BATCH, predict
from amrbench.training.progress_bars import NULL_REPORTER, duration
from amrbench.training.stages import StageSpec, batches, is_finished, store_of, untrained
from amrbench.types import TrainingLength

RECORDINGS = 4
"""Made of each split that is not made yet."""
STEPS = 3
"""Taken of each kind of stage; the first, which also warms up, is not counted."""
MIB = 2**20


@dataclass(frozen=True)
class SplitForecast:
    """A split of a data set.

    Attributes:
        name: Data set, split and encoder.
        found: It lies in the cache.
        recordings: How many it has.
        seconds: Estimated time of making it with one process; 0 if found.
        disk_mib: Size of its features, estimated if not found.
    """

    name: str
    found: bool
    recordings: int
    seconds: float
    disk_mib: float


@dataclass(frozen=True)
class StageForecast:
    """A stage of a recipe, for one seed.

    Attributes:
        name: Recipe, stage and seed.
        key: Its name in the store.
        found: It lies in the store.
        steps: Steps of training.
        seconds: Estimated time with one process; 0 if found.
        disk_mib: Size of its weights.
    """

    name: str
    key: str
    found: bool
    steps: int
    seconds: float
    disk_mib: float


@dataclass(frozen=True)
class Forecast:
    """What a run would do and take.

    Attributes:
        finished: Names of the runs that are finished already.
        splits: The data.
        stages: The training, in order.
        jobs: Processes at work at once.
        seconds: Estimated time of making data and training with that many processes, evaluation left out.
        memory_mib: Memory of that many training processes; 0 if nothing is trained.
        disk_mib: Disk for what is not there yet.
    """

    finished: tuple[str, ...]
    splits: tuple[SplitForecast, ...]
    stages: tuple[StageForecast, ...]
    jobs: int
    seconds: float
    memory_mib: float
    disk_mib: float

    def as_json(self) -> dict[str, object]:
        """Return the forecast as plain values."""
        return asdict(self)

    def text(self) -> str:
        """Return the forecast for people."""
        lines = [f"finished: {name}" for name in self.finished]
        lines += [f"data   {_state(each.found, each.seconds)}  {each.name}" for each in self.splits]
        lines += [
            f"stage  {_state(each.found, each.seconds)}  {each.name}, {each.steps} steps  [{each.key[:8]}]"
            for each in self.stages
        ]
        if self.seconds:
            lines.append(
                f"about {duration(self.seconds)} with {self.jobs} at once, {self.memory_mib:.0f} MiB memory "
                f"and {self.disk_mib:.1f} MiB disk; from {STEPS - 1} timed steps of each stage and the "
                f"first {RECORDINGS} recordings of missing data, on this machine as busy as it is now"
            )
        return "\n".join(lines) or "nothing to do"


def _state(found: bool, seconds: float) -> str:
    return f"{'found' if found else 'about ' + duration(seconds):<16}"


@dataclass(frozen=True)
class Sampled:
    """A split or, where it is not made yet, its first recordings; with the fingerprint of the whole."""

    source: FeatureSource
    forecast: SplitForecast
    share: float
    """How many times more recordings the whole split has."""


def dry_run(
    recipes: Sequence[Runnable], protocol: str | Path, *, registry: Registry, settings: Settings
) -> Forecast:
    """Return what `run_all` would do, find and take; nothing is trained or kept.

    Raises:
        RecipeError: A file is wrong or missing.
        DataError: Data is wrong or missing.
        RunError: The run makes no sense.
    """
    runner = Runner(registry, settings, NULL_REPORTER)
    requests = runner.requests(runner.methods(recipes), protocol)
    splits = sample_splits([split for request in requests for split in request.splits.all], settings)
    sources = {key: sampled.source for key, sampled in splits.items()}
    planned = [plan_run(request, sources) for request in requests]
    finished = [each.folder(settings.out).name for each in planned if runner.is_finished(each)]
    chains = [spec for each in planned if not runner.is_finished(each) for spec in each.chains]
    jobs = runner.jobs(requests[0].protocol.threads)
    return forecast(chains, splits, store_of(settings.cache_folder), jobs=jobs, finished=finished)


def sample_splits(requests: Sequence[FeatureRequest], settings: Settings) -> dict[str, Sampled]:
    """Return each split, sampled if it is not made yet, by `request_key`.

    Raises:
        DataError: A file that a data set or an encoder needs is missing.
    """
    refuse_missing_files(requests)
    cache = settings.cache_folder
    return {
        request_key(request): _joined([_sampled(each, cache) for each in request.by_encoder])
        for request in requests
    }


@dataclass(frozen=True)
class _EncodedSample:
    """The same for one encoder."""

    encoded: EncodedQueries
    forecast: SplitForecast
    share: float


def _joined(samples: Sequence[_EncodedSample]) -> Sampled:
    forecasts = [sample.forecast for sample in samples]
    whole = replace(
        forecasts[0],
        name=" + ".join(each.name for each in forecasts),
        found=all(each.found for each in forecasts),
        seconds=sum(each.seconds for each in forecasts),
        disk_mib=sum(each.disk_mib for each in forecasts),
    )
    return Sampled(source_of([sample.encoded for sample in samples]), whole, share=samples[0].share)


def _sampled(request: FeatureRequest, cache: Path) -> _EncodedSample:
    if local := local_features(request):
        recordings = len({query.vid for query in local.queries})
        return _EncodedSample(local, SplitForecast(request.name, True, recordings, 0.0, 0.0), share=1.0)
    recordings = split_size(request.dataset.build(), request.dataset.use, request.split)
    if cached := cached_features(request, cache):
        size = (cache / "data" / cached.features.fingerprint / FEATURES).stat().st_size / MIB
        return _EncodedSample(cached, SplitForecast(request.name, True, recordings, 0.0, size), share=1.0)
    return _sample(request, recordings)


def forecast(
    chains: Sequence[StageSpec],
    splits: Mapping[str, Sampled],
    store: Path,
    *,
    jobs: int,
    finished: Sequence[str] = (),
) -> Forecast:
    """Return the forecast of some chains of stages.

    Args:
        chains: The last stage of each chain; their splits may be samples.
        splits: All splits that are needed.
        store: The folder of stages.
        jobs: Processes at work at once.
        finished: Names of runs that are finished already.
    """
    share = {each.source.fingerprint: each.share for each in splits.values()}
    specs = {spec.key: spec for last in chains for spec in last.chain}
    measured: dict[str, _Measured] = {}
    stages = [_stage(spec, share, store, measured) for spec in specs.values()]
    data = [each.forecast for each in splits.values()]
    seconds = sum(each.seconds for each in data) / jobs + _end_of_last(specs, stages, jobs)
    at_work = min(jobs, sum(not each.found for each in stages))
    return Forecast(
        finished=tuple(finished),
        splits=tuple(data),
        stages=tuple(stages),
        jobs=jobs,
        seconds=seconds,
        memory_mib=memory_mib() * at_work,
        disk_mib=sum(each.disk_mib for each in data if not each.found)
        + sum(each.disk_mib for each in stages if not each.found),
    )


def _sample(request: FeatureRequest, recordings: int) -> _EncodedSample:
    dataset, backend = request.dataset.build(), request.features.build()
    header = header_of(request, backend)
    taken = range(min(RECORDINGS, recordings))
    # The first of all takes longer than the rest, and the workers have one thread each.
    backend.audio(dataset.recording(request.split, 0).waveform)
    with fixed_numerics(1), TemporaryDirectory() as folder:
        began = perf_counter()
        audio = AudioShard(
            Path(folder) / "audio.h5", header, request.features, request.dataset, request.split, taken
        )
        make_shard(audio)
        queries = audio.queries()
        sentences = tuple(sorted({query.query for query in queries}))
        text = TextShard(Path(folder) / "text.h5", header, request.features, sentences)
        make_shard(text)
        file = replace(open_feature_file(audio.file), text=open_feature_file(text.file).text)
        _ = file.audio.flat.flags, file.text.flat.flags  # Mapped now: the rows must outlive the folder.
        size = file.audio.flat.nbytes / MIB
        seconds = perf_counter() - began
    share = recordings / len(taken)
    features = EncoderFeatures.of_file(file, cache_key(request, dataset, backend), text_by="sentence")
    forecast = SplitForecast(request.name, False, recordings, share * seconds, share * size)
    return _EncodedSample(EncodedQueries(tuple(queries), features), forecast, share)


@dataclass(frozen=True)
class _Measured:
    """Seconds of one step and of predicting one query, and the size of the weights."""

    step: float
    query: float
    disk_mib: float


def _stage(
    spec: StageSpec, share: Mapping[str, float], store: Path, measured: dict[str, _Measured]
) -> StageForecast:
    epochs = spec.stage.epochs
    train = sum(len(each.queries) * share[each.fingerprint] for each in spec.train)
    val = len(spec.select.queries) * share[spec.select.fingerprint]
    steps = epochs * -(-round(train) // spec.recipe.training.batch)
    if is_finished(spec, store):
        size = sum(file.stat().st_size for file in (store / spec.key).iterdir()) / MIB
        return StageForecast(spec.name, spec.key, True, steps, 0.0, size)
    kind = f"{spec.recipe.name} {spec.index}"
    if kind not in measured:
        measured[kind] = _measure(spec)
    cost = measured[kind]
    seconds = steps * cost.step + epochs * val * cost.query
    return StageForecast(spec.name, spec.key, False, steps, seconds, cost.disk_mib)


def _measure(spec: StageSpec) -> _Measured:
    datasets = DatasetCache()
    with fixed_numerics(spec.threads):
        train = datasets.load(spec.train, spec.recipe.limits)
        select = datasets.load((spec.select,), spec.recipe.limits)
        criterion = untrained(spec, datasets)
        step = _time_steps(spec, train, criterion)
        indices = np.resize(np.arange(len(select)), BATCH)
        began = perf_counter()
        predict(criterion.model, _repeated(select, indices), device=torch.device(spec.device))
        query = (perf_counter() - began) / len(indices)
    size = sum(each.numel() * each.element_size() for each in criterion.state_dict().values()) / MIB
    return _Measured(step, query, 2 * size)


def _time_steps(spec: StageSpec, train: FeatureDataset, criterion: Criterion) -> float:
    training = spec.recipe.training
    updater = training.optimizer.build(criterion, TrainingLength(1, STEPS, training.clip))
    indices = np.resize(train.trainable, training.batch)
    batch, target = next(batches(spec, train, [indices], epoch=0))
    criterion.train()
    times = []
    for _ in range(STEPS):
        began = perf_counter()
        updater.step(lambda: criterion(batch, target)).total.item()
        times.append(perf_counter() - began)
    return sum(times[1:]) / (STEPS - 1)


def _repeated(dataset: FeatureDataset, indices: Indices) -> FeatureDataset:
    return replace(
        dataset,
        queries=tuple(dataset.queries[index] for index in indices),
        recordings=dataset.recordings[indices],
        sentences=dataset.sentences[indices],
    )


def _end_of_last(specs: Mapping[str, StageSpec], stages: Sequence[StageForecast], jobs: int) -> float:
    """Return when the last stage ends if each starts as soon as its parent and a process are free."""
    free = [0.0] * jobs
    end: dict[str, float] = {}
    for each in stages:
        parent = specs[each.key].parent
        at = free.index(min(free))
        begin = max(free[at], end[parent.key] if parent else 0.0)
        end[each.key] = begin + each.seconds
        free[at] = end[each.key] if each.seconds else free[at]
    return max(end.values(), default=0.0)
