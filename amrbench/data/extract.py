"""Features of audio files, into one feature file.

The work is done in shards by worker processes below `<output>.extracting/`; an extraction that was broken off
goes on after them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from amrbench.data.audio import SUFFIXES, open_audio, resampled
from amrbench.data.home import Home, PlacedRecording, text_id
from amrbench.data.needs import refuse_missing
from amrbench.data.prepare import Progress, Tell, told_waiting
from amrbench.data.shards import (
    RECORDINGS_A_SHARD,
    SENTENCES_A_SHARD,
    AudioShard,
    Shard,
    TextShard,
    fills_a_row,
    is_made,
    make,
)
from amrbench.data.workers import worker_pool
from amrbench.errors import DataError, RunError, some
from amrbench.files.locks import exclusive
from amrbench.files.store import Header, Table, open_store
from amrbench.files.store_writer import Chosen, Items, Joined, write_store
from amrbench.files.whole import drop_leftovers
from amrbench.slots import Backend, Dataset, DatasetPart, FeaturesPart

ALL = "all"


class AudioFiles(DatasetPart):
    """Audio files without queries; what a worker process is told to listen to. No part of any plugin."""

    use = "audio-files"
    files: tuple[tuple[str, Path], ...] = ()

    def build(self) -> Dataset:
        """Return the files as a data set with one split."""
        return _Listed(self.files)


@dataclass(frozen=True)
class _Listed:
    files: tuple[tuple[str, Path], ...]

    def splits(self) -> Sequence[str]:
        return [ALL]

    def size(self, split: str) -> int:  # noqa: ARG002 - there is one
        return len(self.files)

    def recording(self, split: str, index: int) -> PlacedRecording:  # noqa: ARG002
        name, path = self.files[index]
        file = open_audio(path)
        return PlacedRecording(name, file.rate, file.read(), ())

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.files).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Order:
    """What is to be extracted, and where to.

    Attributes:
        name: What the feature file says that these are features of.
        audio: Files by the name of the recording.
        texts: Sentences by the name under which they are kept.
        output: The feature file.
    """

    name: str
    audio: Mapping[str, Path]
    texts: Mapping[str, str]
    output: Path


def order_of_folder(folder: Path, output: Path) -> Order:
    """Return the order for all audio files below a folder; their names are their paths without the suffix.

    Raises:
        DataError: There are none, a folder cannot be read, two have one name, or a name is not UTF-8.
    """
    found: dict[str, Path] = {}
    for path in _audio_below(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{path}: {found[name].name} has the same name; rename one of them.")
        if not _is_text(name):
            raise DataError(f"{folder}: the name {name!r} is not UTF-8. Rename the file or its folder.")
        found[name] = path
    if not found:
        raise DataError(f"{folder}: there are no audio files ({', '.join(SUFFIXES)}).")
    return Order(str(folder), found, {}, output)


def _audio_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. Check the path.")
    places = os.walk(folder, onerror=_refuse_unreadable)
    files = (Path(place) / name for place, _, names in places for name in names)
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES and path.is_file())


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise DataError(
        f"{error.filename}: cannot be read ({error.strerror}). Make it readable, or move it away."
    ) from error


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def order_of_home(home: Home, encoder: FeaturesPart) -> Order:
    """Return the order for all recordings and queries of a data set whose annotations are placed.

    Raises:
        DataError: No annotations are placed, or recordings are missing.
    """
    queries = [query for split in home.placed for query in home.queries(split)]
    if not queries:
        names = ", ".join(home.annotations(split).name for split in home.facts)
        raise DataError(
            f"{home.name}: no annotations are placed in {home.root}. Put one of {names} there; or, to "
            "extract features of a folder of audio files alone, name the feature file to write with -o."
        )
    files = {vid: home.find_audio(vid) for vid in dict.fromkeys(query.vid for query in queries)}
    missing = [vid for vid, path in files.items() if path is None]
    if missing:
        raise DataError(
            f"{home.audio_folder}: {len(missing):,} of {len(files):,} recordings are missing: "
            f"{some(missing)}. They are published at {home.audio}."
        )
    audio = {vid: path for vid, path in files.items() if path is not None}
    return Order(home.name, audio, {text_id(query): query.query for query in queries}, home.store(encoder))


def extract(order: Order, encoder: FeaturesPart, *, jobs: int, tell: Tell) -> tuple[int, int]:
    """Write the feature file of an order.

    Args:
        order: What to extract; the feature file must not be there yet.
        encoder: With one member.
        jobs: Worker processes; without influence on the result.
        tell: Called as the work goes on.

    Returns:
        The numbers of recordings and texts.

    Raises:
        DataError: Audio or files of the encoder are missing or damaged, a recording is too short, or the
            output is there already or cannot be written.
        RunError: A worker process was killed.
    """
    refuse_missing(f"encoder {encoder.label!r}", encoder.needs())
    _refuse_existing(order.output)
    backend = encoder.build()
    _refuse_short(order.audio, backend)
    header = Header(
        source=order.name,
        backend=backend.name,
        fingerprint=backend.fingerprint(),
        hop=float(backend.hop),
        audio_width=backend.audio_width,
        text_width=backend.text_width,
    )
    work = _Work(order, encoder, header, order.output.with_suffix(".extracting"))
    with exclusive(order.output.with_suffix(".lock"), told_waiting(tell, str(order.output))):
        # The process that was waited for may have made it.
        _refuse_existing(order.output)
        drop_leftovers(order.output)
        _extract(work, jobs, tell)
    return len(order.audio), len(order.texts)


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise DataError(f"{output}: is there already, and nothing is overwritten. Move it away.")


def _refuse_short(files: Mapping[str, Path], backend: Backend) -> None:
    found = {path: open_audio(path) for path in files.values()}
    short = [
        f"{path} ({file.seconds:.3f} s)"
        for path, file in found.items()
        if not fills_a_row(resampled(file.samples, file.rate, backend.rate), backend)
    ]
    if short:
        raise DataError(
            f"{len(short):,} of {len(found):,} recordings are too short for the encoder {backend.name!r}, "
            f"which gives a row for each {backend.hop:g} s: {some(short)}. Leave them out, and queries about "
            "them."
        )


def _extract(work: _Work, jobs: int, tell: Tell) -> None:
    work.folder.mkdir(parents=True, exist_ok=True)
    try:
        with worker_pool(jobs) as pool:
            _run(work.shards, pool, work.order.name, tell)
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process that extracts features ended unasked. Start again: what it finished is kept."
        ) from error
    write_store(work.order.output, work.header, audio=work.audio, text=work.text)
    shutil.rmtree(work.folder, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class _Work:
    order: Order
    encoder: FeaturesPart
    header: Header
    folder: Path

    @cached_property
    def _heard(self) -> list[AudioShard]:
        files = tuple(self.order.audio.items())
        return [
            self._audio_shard(files[at : at + RECORDINGS_A_SHARD])
            for at in range(0, len(files), RECORDINGS_A_SHARD)
        ]

    def _audio_shard(self, files: tuple[tuple[str, Path], ...]) -> AudioShard:
        states = [(name, str(path), path.stat().st_size, path.stat().st_mtime_ns) for name, path in files]
        file = self.folder / f"audio-{_hash(states)}.h5"
        return AudioShard(file, self.header, self.encoder, AudioFiles(files=files), ALL, range(len(files)))

    @cached_property
    def _read(self) -> list[TextShard]:
        sentences = sorted(set(self.order.texts.values()))
        groups = [
            sentences[at : at + SENTENCES_A_SHARD] for at in range(0, len(sentences), SENTENCES_A_SHARD)
        ]
        return [
            TextShard(self.folder / f"text-{_hash(group)}.h5", self.header, self.encoder, tuple(group))
            for group in groups
        ]

    @property
    def shards(self) -> list[Shard]:
        return [*self._heard, *self._read]

    @property
    def audio(self) -> Table:
        return Joined(tuple(open_store(shard.file).audio for shard in self._heard))

    @property
    def text(self) -> Table:
        if not self.order.texts:
            return Items()
        return Chosen(Joined(tuple(open_store(shard.file).text for shard in self._read)), self.order.texts)


def _run(shards: Sequence[Shard], pool: Executor, name: str, tell: Tell) -> None:
    missing = [shard for shard in shards if not is_made(shard)]
    total = sum(shard.size for shard in shards)
    done = total - sum(shard.size for shard in missing)
    futures = [pool.submit(make, shard) for shard in missing]
    try:
        for future in as_completed(futures):
            done += future.result()
            tell(Progress(f"{name}: extracting", done, total))
    finally:
        for future in futures:
            future.cancel()


def _hash(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]
