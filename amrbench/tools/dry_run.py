"""`amrbench run --dry-run`: what a run would do, and an estimate of its time, memory and disk.

Features that do not exist yet are made for the first recordings of a split, in a temporary folder. A few
steps of each kind of stage are trained on them and timed, in one process. The rest is computed from these
measurements. Nothing is kept.
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
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, concat_sources
from amrbench.data.prepare import (
    FEATURES,
    FeatureRequest,
    cache_key,
    cached_source,
    header_of,
    local_source,
    refuse_missing_files,
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
"""Encoded for each split without features."""
STEPS = 3
"""Timed for each kind of stage; the first includes the warm-up and is not counted."""
MIB = 2**20


@dataclass(frozen=True)
class SplitForecast:
    """A split of a data set.

    Attributes:
        name: Data set, split and encoder.
        present: Whether its features exist.
        recordings: Number of recordings.
        seconds: Estimated time of making the features with one process; 0 if present.
        disk_mib: Size of the features, estimated if not present.
    """

    name: str
    present: bool
    recordings: int
    seconds: float
    disk_mib: float


@dataclass(frozen=True)
class StageForecast:
    """A stage of a recipe, for one seed.

    Attributes:
        name: Recipe, stage and seed.
        key: Name of its folder in the cache.
        present: Whether it is trained already.
        steps: Optimizer steps.
        seconds: Estimated time with one process; 0 if present.
        disk_mib: Size of its weights.
    """

    name: str
    key: str
    present: bool
    steps: int
    seconds: float
    disk_mib: float


@dataclass(frozen=True)
class Forecast:
    """What a run would do, and its estimated cost.

    Attributes:
        finished: Names of the runs that are finished already.
        splits: The data.
        stages: The training, in order.
        jobs: Number of parallel processes.
        seconds: Estimated time of making features and training, without evaluation.
        memory_mib: Memory of all training processes together; 0 if nothing is trained.
        disk_mib: Disk space for what does not exist yet.
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
        content = asdict(self)
        for row in (*content["splits"], *content["stages"]):
            row["found"] = row.pop("present")
        return content

    def text(self) -> str:
        """Return the forecast for people."""
        lines = [f"finished: {name}" for name in self.finished]
        lines += [f"data   {_state(split)}  {split.name}" for split in self.splits]
        lines += [
            f"stage  {_state(stage)}  {stage.name}, {stage.steps} steps  [{stage.key[:8]}]"
            for stage in self.stages
        ]
        if self.seconds:
            lines.append(
                f"about {duration(self.seconds)} with --jobs {self.jobs}, {self.memory_mib:.0f} MiB memory "
                f"and {self.disk_mib:.1f} MiB disk; estimated from {STEPS - 1} timed steps of each stage and "
                f"the first {RECORDINGS} recordings of missing data, under the present load of this machine"
            )
        return "\n".join(lines) or "nothing to do"


def _state(item: SplitForecast | StageForecast) -> str:
    return f"{'found' if item.present else 'about ' + duration(item.seconds):<16}"


@dataclass(frozen=True)
class Sampled:
    """A split or, if it has no features yet, its first recordings with the fingerprint of the split."""

    source: FeatureSource
    forecast: SplitForecast
    scale: float
    """Recordings of the split per recording of the source."""


def dry_run(
    recipes: Sequence[Runnable], protocol: str | Path, *, registry: Registry, settings: Settings
) -> Forecast:
    """Return what `run_all` would do, and its estimated cost; nothing is kept.

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
    finished = [run.folder(settings.out).name for run in planned if runner.is_finished(run)]
    chains = [spec for run in planned if not runner.is_finished(run) for spec in run.chains]
    jobs = runner.jobs(requests[0].protocol.threads)
    return forecast(chains, splits, store_of(settings.cache_folder), jobs=jobs, finished=finished)


def sample_splits(requests: Sequence[FeatureRequest], settings: Settings) -> dict[str, Sampled]:
    """Return the splits, sampled where they have no features yet, by `request_key`.

    Raises:
        DataError: A file that a data set or an encoder needs is missing.
    """
    refuse_missing_files(requests)
    cache = settings.cache_folder
    return {
        request_key(request): _joined([_sampled(single, cache) for single in request.by_encoder])
        for request in requests
    }


def _joined(samples: Sequence[Sampled]) -> Sampled:
    """Return the samples of several encoders for the same queries as one."""
    forecasts = [sample.forecast for sample in samples]
    joined = replace(
        forecasts[0],
        name=" + ".join(forecast.name for forecast in forecasts),
        present=all(forecast.present for forecast in forecasts),
        seconds=sum(forecast.seconds for forecast in forecasts),
        disk_mib=sum(forecast.disk_mib for forecast in forecasts),
    )
    return Sampled(concat_sources([sample.source for sample in samples]), joined, scale=samples[0].scale)


def _sampled(request: FeatureRequest, cache: Path) -> Sampled:
    if local := local_source(request):
        recordings = len({query.vid for query in local.queries})
        return Sampled(local, SplitForecast(request.name, True, recordings, 0.0, 0.0), scale=1.0)
    recordings = split_size(request.dataset.build(), request.dataset.use, request.split)
    if cached := cached_source(request, cache):
        size = (cache / "data" / cached.fingerprint / FEATURES).stat().st_size / MIB
        return Sampled(cached, SplitForecast(request.name, True, recordings, 0.0, size), scale=1.0)
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
        store: The folder of all stages.
        jobs: Number of parallel processes.
        finished: Names of runs that are finished already.
    """
    scales = {sampled.source.fingerprint: sampled.scale for sampled in splits.values()}
    specs = {spec.key: spec for last in chains for spec in last.chain}
    measured: dict[str, _Measured] = {}
    stages = [_stage(spec, scales, store, measured) for spec in specs.values()]
    data = [sampled.forecast for sampled in splits.values()]
    seconds = sum(split.seconds for split in data) / jobs + _end_of_last(specs, stages, jobs)
    processes = min(jobs, sum(not stage.present for stage in stages))
    return Forecast(
        finished=tuple(finished),
        splits=tuple(data),
        stages=tuple(stages),
        jobs=jobs,
        seconds=seconds,
        memory_mib=memory_mib() * processes,
        disk_mib=sum(split.disk_mib for split in data if not split.present)
        + sum(stage.disk_mib for stage in stages if not stage.present),
    )


def _sample(request: FeatureRequest, recordings: int) -> Sampled:
    dataset, backend = request.dataset.build(), request.features.build()
    header = header_of(request, backend)
    indices = range(min(RECORDINGS, recordings))
    # The first call is slower than the others, so it is not timed.
    backend.audio(dataset.recording(request.split, 0).waveform)
    with fixed_numerics(1), TemporaryDirectory() as folder:  # One thread, as in a worker process.
        start = perf_counter()
        audio = AudioShard(
            Path(folder) / "audio.h5", header, request.features, request.dataset, request.split, indices
        )
        make_shard(audio)
        queries = audio.queries()
        sentences = tuple(sorted({query.query for query in queries}))
        text = TextShard(Path(folder) / "text.h5", header, request.features, sentences)
        make_shard(text)
        file = replace(open_feature_file(audio.file), text=open_feature_file(text.file).text)
        _ = file.audio.flat.flags, file.text.flat.flags  # Maps the rows now: the folder is deleted below.
        size = file.audio.flat.nbytes / MIB
        seconds = perf_counter() - start
    scale = recordings / len(indices)
    features = EncoderFeatures.of_file(file, cache_key(request, dataset, backend), text_by="sentence")
    forecast = SplitForecast(request.name, False, recordings, scale * seconds, scale * size)
    return Sampled(FeatureSource(tuple(queries), (features,)), forecast, scale)


@dataclass(frozen=True)
class _Measured:
    """Seconds of one step and of predicting one query, and the size of the weights."""

    step: float
    query: float
    disk_mib: float


def _stage(
    spec: StageSpec, scales: Mapping[str, float], store: Path, measured: dict[str, _Measured]
) -> StageForecast:
    epochs = spec.stage.epochs
    train = sum(len(source.queries) * scales[source.fingerprint] for source in spec.train)
    val = len(spec.select.queries) * scales[spec.select.fingerprint]
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
        start = perf_counter()
        predict(criterion.model, _repeated(select, indices), device=torch.device(spec.device))
        query = (perf_counter() - start) / len(indices)
    weights = criterion.state_dict().values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights) / MIB
    return _Measured(step, query, 2 * size)  # The weights of the best and of the last epoch are kept.


def _time_steps(spec: StageSpec, train: FeatureDataset, criterion: Criterion) -> float:
    training = spec.recipe.training
    updater = training.optimizer.build(criterion, TrainingLength(1, STEPS, training.clip))
    indices = np.resize(train.trainable, training.batch)
    batch, target = next(batches(spec, train, [indices], epoch=0))
    criterion.train()
    times = []
    for _ in range(STEPS):
        start = perf_counter()
        updater.step(lambda: criterion(batch, target)).total.item()  # `item` waits for the GPU.
        times.append(perf_counter() - start)
    return sum(times[1:]) / (STEPS - 1)


def _repeated(dataset: FeatureDataset, indices: Indices) -> FeatureDataset:
    return replace(
        dataset,
        queries=tuple(dataset.queries[index] for index in indices),
        recordings=dataset.recordings[indices],
        sentences=dataset.sentences[indices],
    )


def _end_of_last(specs: Mapping[str, StageSpec], stages: Sequence[StageForecast], jobs: int) -> float:
    """Return when the last stage ends if each starts once its parent has ended and a process is free."""
    free_at = [0.0] * jobs
    end: dict[str, float] = {}
    for stage in stages:
        parent = specs[stage.key].parent
        process = free_at.index(min(free_at))
        start = max(free_at[process], end[parent.key] if parent else 0.0)
        end[stage.key] = start + stage.seconds
        if stage.seconds:
            free_at[process] = end[stage.key]
    return max(end.values(), default=0.0)
