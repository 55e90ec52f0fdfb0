"""From a data set and an encoder to queries and features, made once and found by content.

Features that lie ready in the home of a data set are taken as they are. All others are made:
`<cache>/data/<key>/` holds `annotations.jsonl` and `features.h5`; the key is a hash of all that determines
them. They are made in `<key>.making/`, in shards that worker processes write: a shard that lies there is
finished, so a killed preparation goes on where it was, and what is made does not depend on the number of
workers. The folder gets its name at the end, so one that has it is complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from amrbench.annotations import Query, read_annotations, write_annotations
from amrbench.data.beside import Beside
from amrbench.data.needs import Need, missing, refuse_missing
from amrbench.data.shards import (
    RECORDINGS_A_SHARD,
    SENTENCES_A_SHARD,
    AudioShard,
    Shard,
    TextShard,
    is_made,
    make,
    named,
    queries_of,
)
from amrbench.data.workers import worker_pool
from amrbench.errors import DataError, RunError, did_you_mean
from amrbench.files.locks import exclusive
from amrbench.files.store import SCHEMA, FeatureStore, Header, Rows, open_store
from amrbench.files.store_writer import Joined, write_store
from amrbench.part import parts_in
from amrbench.slots import Backend, Dataset, DatasetPart, FeaturesPart
from amrbench.sources import Source
from amrbench.types import Widths

ANNOTATIONS = "annotations.jsonl"
FEATURES = "features.h5"


@dataclass(frozen=True)
class Progress:
    """How far some work is."""

    what: str
    done: int
    total: int


Tell = Callable[[Progress], None]


def told_waiting(tell: Tell, what: str) -> Callable[[str], None]:
    """Return what to call with the number of a process that is waited for; see `exclusive`."""
    return lambda holder: tell(Progress(f"{what}: waiting for process {holder}, which makes it", 0, 1))


@dataclass(frozen=True)
class Prepared:
    """The queries of a split and the features of their recordings and sentences."""

    queries: tuple[Query, ...]
    features: FeatureStore
    fingerprint: str
    """Hash of all that determines queries and features."""

    @property
    def place(self) -> str:
        """Return where the data lies, for messages."""
        return str(self.features.path.parent)

    @property
    def encoder(self) -> str:
        """Return what made the features; only features of one encoder may be mixed."""
        return f"{self.features.header.backend} {self.features.header.fingerprint}"

    @property
    def hop(self) -> float:
        """Return the seconds between two audio rows."""
        return self.features.header.hop

    @property
    def widths(self) -> Widths:
        """Return the widths of the rows."""
        return Widths(self.features.header.audio_width, self.features.header.text_width)

    def check(self) -> None:
        """Compare all rows with their checksums; DataError if bytes have changed."""
        self.features.verify()

    def audio(self, vid: str) -> Rows:
        """Return (T, Da) of a recording."""
        return self.features.audio.rows(vid)

    def text_key(self, query: Query) -> str:
        """Return a name that queries with the same text features share."""
        return query.query

    def text(self, query: Query) -> Rows:
        """Return (L, Dt) of a query."""
        return self.features.text.rows(query.query)


@dataclass(frozen=True)
class Wanted:
    """A split of a data set, as an encoder hears and reads it."""

    dataset: DatasetPart
    split: str
    features: FeaturesPart

    @property
    def members(self) -> list[Wanted]:
        """Return the same split for each member of the encoder."""
        return [replace(self, features=member) for member in self.features.members]

    @property
    def name(self) -> str:
        """Return e.g. "castella train for clap"."""
        return f"{named(self.dataset)} {self.split} for {self.features.label}"

    @property
    def needs(self) -> list[Need]:
        """Return what must be at hand."""
        return [need for each in self.members for need in each.dataset.needs(each.split, each.features)]


def prepare(
    dataset: DatasetPart, split: str, features: FeaturesPart, *, cache: Path, jobs: int, tell: Tell
) -> Source:
    """Return the queries and features of a split; they are made unless they lie in the cache.

    Args:
        dataset: The data set.
        split: One of its splits.
        features: The encoder.
        cache: The cache folder.
        jobs: Number of worker processes; has no influence on the result.
        tell: Called as the work goes on.

    Raises:
        DataError: The data set has no such split or is broken, something that it or the encoder needs is
            missing, or the cache holds damaged files or cannot be written to.
        RunError: A worker process was killed.
    """
    return prepare_all([Wanted(dataset, split, features)], cache=cache, jobs=jobs, tell=tell)[0]


def prepare_all(wanted: Sequence[Wanted], *, cache: Path, jobs: int, tell: Tell) -> list[Source]:
    """Do the same as `prepare` for several splits with the same worker processes."""
    refuse_lacking(wanted)
    with worker_pool(jobs) as pool:
        try:
            return [
                side_by_side([_source(one, cache=cache, pool=pool, tell=tell) for one in each.members])
                for each in wanted
            ]
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process that prepares data ended unasked; was it killed, or is memory short? "
                "What it finished is kept: start again. In a script of your own, put the call under "
                "`if __name__ == '__main__':`, because workers import the script."
            ) from error


def refuse_lacking(wanted: Sequence[Wanted]) -> None:
    """Raise DataError naming all that any of the splits needs and that is not at hand; or do nothing."""
    lacking = {each.name: missing(each.needs) for each in wanted}
    names = [name for name, needs in lacking.items() if needs]
    who = names[0] if len(names) == 1 else "the run"
    refuse_missing(who, [need for needs in lacking.values() for need in needs])


def side_by_side(sources: Sequence[Source]) -> Source:
    """Return the only source, or one that puts several side by side."""
    return sources[0] if len(sources) == 1 else Beside(sources)


def ready(wanted: Wanted) -> Source | None:
    """Return a split whose features lie in the home of its data set; None if they are to be made.

    Args:
        wanted: With an encoder that has one member.
    """
    home = wanted.dataset.home
    return home.source(wanted.split, wanted.features) if home else None


@dataclass(frozen=True)
class _Making:
    """One split that is being made."""

    wanted: Wanted
    dataset: Dataset
    header: Header
    folder: Path
    pool: Executor
    tell: Tell

    def audio_shards(self) -> list[AudioShard]:
        size = self.dataset.size(self.wanted.split)
        return [
            AudioShard(self._file("audio", at), self.header, self.wanted.features, self.wanted.dataset,
                       self.wanted.split, range(at, min(at + RECORDINGS_A_SHARD, size)))
            for at in range(0, size, RECORDINGS_A_SHARD)
        ]  # fmt: skip

    def text_shards(self, sentences: Sequence[str]) -> list[TextShard]:
        return [
            TextShard(self._file("text", at), self.header, self.wanted.features,
                      tuple(sentences[at : at + SENTENCES_A_SHARD]))
            for at in range(0, len(sentences), SENTENCES_A_SHARD)
        ]  # fmt: skip

    def _file(self, kind: str, at: int) -> Path:
        return self.folder / f"{kind}-{at:06d}.h5"


def _source(wanted: Wanted, *, cache: Path, pool: Executor, tell: Tell) -> Source:
    return ready(wanted) or _prepared(wanted, cache=cache, pool=pool, tell=tell)


def _prepared(wanted: Wanted, *, cache: Path, pool: Executor, tell: Tell) -> Prepared:
    dataset, backend = wanted.dataset.build(), wanted.features.build()
    size_of(dataset, wanted.dataset.use, wanted.split)
    key = key_of(wanted, dataset, backend)
    folder = cache / "data" / key
    if not lies_there(folder):
        waiting = told_waiting(tell, f"{wanted.dataset.use} {wanted.split}")
        with exclusive(folder.with_name(f"{key}.lock"), waiting):
            if not lies_there(folder):
                making = folder.with_name(f"{key}.making")
                _make(_Making(wanted, dataset, header_of(wanted, backend), making, pool, tell), folder)
    return Prepared(tuple(read_annotations(folder / ANNOTATIONS)), open_store(folder / FEATURES), key)


def lies_there(folder: Path) -> bool:
    """Whether a folder of the cache holds a finished split."""
    return (folder / ANNOTATIONS).is_file() and (folder / FEATURES).is_file()


def size_of(dataset: Dataset, name: str, split: str) -> int:
    """Return the number of recordings of a split, or raise DataError when there is no such split."""
    splits = list(dataset.splits())
    if split not in splits:
        raise DataError(
            f"data set {name!r} has no split {split!r}.{did_you_mean(split, splits)} "
            f"Splits: {', '.join(splits) or 'none'}."
        )
    return dataset.size(split)


def key_of(wanted: Wanted, dataset: Dataset, backend: Backend) -> str:
    """Return the name of a split in the cache: a hash of all that determines it."""
    used = parts_in([wanted.dataset, wanted.features])
    versions = {f"{part.slot}/{part.use}": part.version for part in used}
    parts = [SCHEMA, dataset.fingerprint(), wanted.split, backend.fingerprint(), versions]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def header_of(wanted: Wanted, backend: Backend) -> Header:
    """Return what the feature file of a split will say about itself."""
    return Header(
        source=f"{named(wanted.dataset)} {wanted.split}",
        backend=backend.name,
        fingerprint=backend.fingerprint(),
        hop=float(backend.hop),
        audio_width=backend.audio_width,
        text_width=backend.text_width,
    )


def _make(making: _Making, folder: Path) -> None:
    try:
        _make_in(making, folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error}). Check the folder and the disk.") from error


def _make_in(making: _Making, folder: Path) -> None:
    making.folder.mkdir(parents=True, exist_ok=True)
    audio = making.audio_shards()
    _run(making, "audio", audio)
    queries = [query for shard in audio for query in queries_of(shard)]
    if not queries:
        raise DataError(f"{making.header.source}: the split has no queries, so there is nothing to prepare.")
    text = making.text_shards(sorted({query.query for query in queries}))
    _run(making, "text", text)
    done = making.folder / "done"
    shutil.rmtree(done, ignore_errors=True)
    done.mkdir()
    write_annotations(done / ANNOTATIONS, queries)
    write_store(done / FEATURES, making.header, audio=_joined(audio, "audio"), text=_joined(text, "text"))
    read_annotations(done / ANNOTATIONS)
    shutil.rmtree(folder, ignore_errors=True)
    done.rename(folder)
    shutil.rmtree(making.folder, ignore_errors=True)


def _joined(shards: Sequence[Shard], kind: str) -> Joined:
    stores = [open_store(shard.file) for shard in shards]
    return Joined(tuple(store.audio if kind == "audio" else store.text for store in stores))


def _run(making: _Making, kind: str, shards: Sequence[Shard]) -> None:
    what = f"{making.wanted.dataset.use} {making.wanted.split}: {kind} for {making.header.backend}"
    total = sum(shard.size for shard in shards)
    missing = [shard for shard in shards if not is_made(shard)]
    done = total - sum(shard.size for shard in missing)
    making.tell(Progress(what, done, total))
    for size in _sizes_as_finished([making.pool.submit(make, shard) for shard in missing]):
        done += size
        making.tell(Progress(what, done, total))


def _sizes_as_finished(futures: Sequence[Future[int]]) -> Iterator[int]:
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
