"""A split for `--dry-run`: with its features, or with those of a few recordings that are encoded for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from amrbench.data.cut_notes import note_long_sentences
from amrbench.data.feature_dataset import usable_windows
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, concat_sources
from amrbench.data.prepare import FEATURES, CachedSplit, local_source, refuse_recordings
from amrbench.data.required_splits import FeatureRequest
from amrbench.data.shards import AudioShard, TextShard, forget_built
from amrbench.data.usable_splits import KnownSplit
from amrbench.files.feature_file import open_feature_file
from amrbench.training.numerics import fixed_numerics
from amrbench.training.progress_bars import Reporter
from amrbench.types import Query

RECORDINGS = 4
"""Encoded for each split without features."""
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
class SampledSplit:
    """A split or, if it has no features yet, some of its recordings with the fingerprint of the split.

    Attributes:
        source: The recordings that have features, and the queries about them.
        forecast: Of the split.
        queries: All queries of the split, or those of the source if the others are not known.
        scale: Number of queries of the split per query in `queries`.
    """

    source: FeatureSource
    forecast: SplitForecast
    queries: tuple[Query, ...]
    scale: float = 1.0

    @classmethod
    def whole(cls, source: FeatureSource, forecast: SplitForecast) -> SampledSplit:
        """Return a split whose features exist."""
        return cls(source, forecast, source.queries)

    @property
    def planned(self) -> FeatureSource:
        """Return the split for a plan; most of its recordings may have no features."""
        return replace(self.source, queries=self.queries)


def sample_split(
    request: FeatureRequest, cache: Path, reporter: Reporter, annotated: KnownSplit | None = None
) -> SampledSplit:
    """Return a split; a few recordings are encoded where it has no features.

    Args:
        request: The split.
        cache: The cache folder.
        reporter: Receives what is encoded.
        annotated: Its queries, if they are known without features.
    """
    samples = [_of_encoder(single, cache, reporter, annotated) for single in request.by_encoder]
    rows = [sample.forecast for sample in samples]
    forecast = SplitForecast(
        name=" + ".join(row.name for row in rows),
        present=all(row.present for row in rows),
        recordings=rows[0].recordings,
        seconds=sum(row.seconds for row in rows),
        disk_mib=sum(row.disk_mib for row in rows),
    )
    smallest, largest = (
        choose(samples, key=lambda sample: len(sample.source.queries)) for choose in (min, max)
    )
    source = replace(concat_sources([sample.source for sample in samples]), queries=smallest.source.queries)
    return SampledSplit(source, forecast, largest.queries, largest.scale)


def _of_encoder(
    request: FeatureRequest, cache: Path, reporter: Reporter, annotated: KnownSplit | None
) -> SampledSplit:
    """Return a split for one encoder."""
    if local := local_source(request):
        recordings = len({query.vid for query in local.queries})
        return SampledSplit.whole(local, SplitForecast(request.name, True, recordings, 0.0, 0.0))
    split = CachedSplit(request, cache)
    if split.is_made:
        size = (split.folder / FEATURES).stat().st_size / MIB
        forecast = SplitForecast(request.name, True, split.recordings, 0.0, size)
        return SampledSplit.whole(split.read(), forecast)
    if annotated is None:
        return _encoded(split, reporter, range(min(RECORDINGS, split.recordings)))
    refuse_recordings(split, reporter.data)
    sentences = list(dict.fromkeys(query.query for query in annotated.queries))
    note_long_sentences(request.location, sentences, split.backend)
    sample = _encoded(split, reporter, recordings_to_sample(annotated.queries))
    return replace(sample, queries=tuple(annotated.queries), scale=1.0)


def recordings_to_sample(queries: Sequence[Query]) -> list[int]:
    """Return the indices of the first recordings that can be trained on, or of the first if none can."""
    trainable = {query.vid for query in queries if len(usable_windows(query, query.duration, cut=False))}
    vids = list(dict.fromkeys(query.vid for query in queries))
    indices = [index for index, vid in enumerate(vids) if vid in trainable]
    return (indices or list(range(len(vids))))[:RECORDINGS]


def _encoded(split: CachedSplit, reporter: Reporter, indices: Sequence[int]) -> SampledSplit:
    """Return some recordings, which are encoded in a temporary folder."""
    request, recordings = split.request, split.recordings
    reporter.note(f"{request.name}: encoding {len(indices)} of {recordings} recordings")
    # The first call is slower than the others, so it is not timed.
    split.backend.audio(split.dataset.recording(request.split, indices[0]).waveform)
    with fixed_numerics(1), TemporaryDirectory() as folder:  # One thread, as in a worker process.
        start = perf_counter()
        audio = AudioShard(
            Path(folder) / "audio.h5", split.header, request.features, request.dataset, request.split, indices
        )
        forget_built(request.dataset)
        audio.make()
        queries = tuple(audio.queries())
        sentences = tuple(sorted({query.query for query in queries}))
        text = TextShard(Path(folder) / "text.h5", split.header, request.features, sentences)
        text.make()
        seconds = perf_counter() - start
        file = replace(open_feature_file(audio.file), text=open_feature_file(text.file).text)
        size = file.audio.flat.nbytes / MIB  # Also maps the rows, before the folder is deleted.
        file.text.flat.flags  # noqa: B018 - maps the rows
    scale = recordings / len(indices)
    forecast = SplitForecast(request.name, False, recordings, scale * seconds, scale * size)
    source = FeatureSource(queries, (EncoderFeatures.of_file(file, split.key),))
    return SampledSplit(source, forecast, queries, scale)
