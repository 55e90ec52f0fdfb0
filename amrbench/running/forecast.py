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

from amrbench.data.prepare import (
    FEATURES,
    Prepared,
    Wanted,
    header_of,
    key_of,
    lies_there,
    prepare,
    ready,
    refuse_lacking,
    side_by_side,
    size_of,
)
from amrbench.data.shards import AudioShard, TextShard, make, queries_of
from amrbench.data.split import Split, load_split
from amrbench.files.store import open_store
from amrbench.running.trial import name_of
from amrbench.sources import Source
from amrbench.training.criterion import Criterion
from amrbench.training.inference import AT_ONCE, predict
from amrbench.training.progress import duration
from amrbench.training.stages import Spec, batches, is_finished, untrained
from amrbench.training.train import memory_mib, steady
from amrbench.types import Plan

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
    """A split or, where it is not made yet, its beginning; with the fingerprint of the whole."""

    prepared: Source
    forecast: SplitForecast
    share: float
    """How many times more recordings the whole split has."""


def look_at(wanted: Sequence[Wanted], cache: Path) -> dict[str, Sampled]:
    """Return each split, sampled if it is not in the cache, by `name_of`.

    Raises:
        DataError: Something that a data set or an encoder needs is missing.
    """
    refuse_lacking(wanted)
    return {name_of(each): _together([_looked_at(one, cache) for one in each.members]) for each in wanted}


def _looked_at(wanted: Wanted, cache: Path) -> Sampled:
    return _placed(wanted) or _found(wanted, cache) or _sample(wanted)


def _together(parts: Sequence[Sampled]) -> Sampled:
    first, *others = parts
    if not others:
        return first
    said = [each.forecast for each in parts]
    whole = replace(
        first.forecast,
        name=" + ".join(each.name for each in said),
        found=all(each.found for each in said),
        seconds=sum(each.seconds for each in said),
        disk_mib=sum(each.disk_mib for each in said),
    )
    return Sampled(side_by_side([each.prepared for each in parts]), whole, share=first.share)


def _placed(wanted: Wanted) -> Sampled | None:
    source = ready(wanted)
    if source is None:
        return None
    recordings = len({query.vid for query in source.queries})
    return Sampled(source, SplitForecast(wanted.name, True, recordings, 0.0, 0.0), share=1.0)


def forecast(
    chains: Sequence[Spec],
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
    share = {each.prepared.fingerprint: each.share for each in splits.values()}
    specs = {spec.key: spec for last in chains for spec in last.chain}
    measured: dict[str, _Measured] = {}
    stages = [_stage(spec, share, store, measured) for spec in specs.values()]
    data = [each.forecast for each in splits.values()]
    seconds = sum(each.seconds for each in data) / jobs + _side_by_side(specs, stages, jobs)
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


def _found(wanted: Wanted, cache: Path) -> Sampled | None:
    dataset, backend = wanted.dataset.build(), wanted.features.build()
    recordings = size_of(dataset, wanted.dataset.use, wanted.split)
    folder = cache / "data" / key_of(wanted, dataset, backend)
    if not lies_there(folder):
        return None
    prepared = prepare(
        wanted.dataset, wanted.split, wanted.features, cache=cache, jobs=1, tell=lambda _: None
    )
    size = (folder / FEATURES).stat().st_size / MIB
    said = SplitForecast(wanted.name, True, recordings, 0.0, size)
    return Sampled(prepared, said, share=1.0)


def _sample(wanted: Wanted) -> Sampled:
    dataset, backend = wanted.dataset.build(), wanted.features.build()
    recordings = size_of(dataset, wanted.dataset.use, wanted.split)
    header = header_of(wanted, backend)
    taken = range(min(RECORDINGS, recordings))
    # The first of all takes longer than the rest, and the workers have one thread each.
    backend.audio(dataset.recording(wanted.split, 0).waveform)
    with steady(1), TemporaryDirectory() as folder:
        began = perf_counter()
        audio = AudioShard(
            Path(folder) / "audio.h5", header, wanted.features, wanted.dataset, wanted.split, taken
        )
        make(audio)
        queries = queries_of(audio)
        sentences = tuple(sorted({query.query for query in queries}))
        text = TextShard(Path(folder) / "text.h5", header, wanted.features, sentences)
        make(text)
        store = replace(open_store(audio.file), text=open_store(text.file).text)
        # The rows must outlive the folder.
        _ = store.audio.flat.flags, store.text.flat.flags
        size = store.audio.flat.nbytes / MIB
        seconds = perf_counter() - began
    share = recordings / len(taken)
    key = key_of(wanted, dataset, backend)
    said = SplitForecast(wanted.name, False, recordings, share * seconds, share * size)
    return Sampled(Prepared(tuple(queries), store, key), said, share)


@dataclass(frozen=True)
class _Measured:
    """Seconds of one step and of predicting one query, and the size of the weights."""

    step: float
    query: float
    disk_mib: float


def _stage(
    spec: Spec, share: Mapping[str, float], store: Path, measured: dict[str, _Measured]
) -> StageForecast:
    epochs = spec.stage.epochs
    train = sum(len(each.queries) * share[each.fingerprint] for each in spec.train)
    val = len(spec.select.queries) * share[spec.select.fingerprint]
    steps = epochs * -(-round(train) // spec.recipe.training.batch)
    if is_finished(spec, store):
        size = sum(file.stat().st_size for file in (store / spec.key).iterdir()) / MIB
        return StageForecast(spec.name, spec.key, True, steps, 0.0, size)
    kind = f"{spec.recipe.name} {spec.place}"
    if kind not in measured:
        measured[kind] = _measure(spec)
    cost = measured[kind]
    seconds = steps * cost.step + epochs * val * cost.query
    return StageForecast(spec.name, spec.key, False, steps, seconds, cost.disk_mib)


def _measure(spec: Spec) -> _Measured:
    with steady(spec.threads):
        train, select = (load_split(each, spec.recipe.limits) for each in (spec.train, (spec.select,)))
        criterion = untrained(spec)
        step = _time_steps(spec, train, criterion)
        some = np.resize(np.arange(len(select)), AT_ONCE)
        began = perf_counter()
        predict(criterion.model, _repeated(select, some), device=torch.device(spec.device))
        query = (perf_counter() - began) / len(some)
    size = sum(each.numel() * each.element_size() for each in criterion.state_dict().values()) / MIB
    return _Measured(step, query, 2 * size)


def _time_steps(spec: Spec, train: Split, criterion: Criterion) -> float:
    training = spec.recipe.training
    updater = training.optimizer.build(criterion, Plan(1, STEPS, training.clip))
    places = np.resize(train.trainable, training.batch)
    batch, target = next(batches(spec, train, [places], epoch=0))
    criterion.train()
    times = []
    for _ in range(STEPS):
        began = perf_counter()
        updater.step(lambda: criterion(batch, target)).total.item()
        times.append(perf_counter() - began)
    return sum(times[1:]) / (STEPS - 1)


def _repeated(split: Split, places: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Split:
    return replace(
        split,
        queries=tuple(split.queries[place] for place in places),
        recordings=split.recordings[places],
        sentences=split.sentences[places],
    )


def _side_by_side(specs: Mapping[str, Spec], stages: Sequence[StageForecast], jobs: int) -> float:
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
