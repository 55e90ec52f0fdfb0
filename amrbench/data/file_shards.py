"""Shards of audio files without queries, and lists of shards that processes on other machines read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from typing_extensions import override

from amrbench.data.audio import open_audio
from amrbench.data.shards import Shard, TextShard, audio_rows, built
from amrbench.data.worker_status import report_part
from amrbench.errors import DataError, unreadable
from amrbench.files.atomic import write_bytes_atomic
from amrbench.files.feature_file import FeatureHeader
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.interrupts import refuse_to_go_on
from amrbench.part import Strict
from amrbench.slots.data import Recording
from amrbench.slots.features import FeaturesPart


@dataclass(frozen=True)
class FileShard(Shard):
    """Some audio files."""

    files: tuple[tuple[str, Path], ...]
    """Name and path of each."""

    @property
    @override
    def size(self) -> int:
        return len(self.files)

    @override
    def make(self) -> None:
        backend, rows = built(self.features), []
        for done, (name, path) in enumerate(self.files):
            refuse_to_go_on(f"recording {name!r}")
            report_part(f"recording {name!r}", done)
            file = open_audio(path)
            recording = Recording(name, file.rate, file.read(), ())
            rows.append(audio_rows(recording, backend, self.header.source))
        audio = InMemoryTable(tuple(name for name, _ in self.files), tuple(rows))
        write_feature_file(self.file, self.header, audio=audio, text=InMemoryTable())


class ShardLine(Strict):
    """A shard in a list: what is encoded into which file beside the list."""

    file: str
    files: tuple[tuple[str, Path], ...] = ()
    sentences: tuple[str, ...] = ()

    @classmethod
    def of(cls, shard: FileShard | TextShard) -> ShardLine:
        """Return the line of a shard; paths become absolute."""
        if isinstance(shard, TextShard):
            return cls(file=shard.file.name, sentences=shard.sentences)
        return cls(file=shard.file.name, files=tuple((name, path.absolute()) for name, path in shard.files))

    def shard(self, folder: Path, header: FeatureHeader, features: FeaturesPart) -> FileShard | TextShard:
        """Return the shard, whose file lies in a folder."""
        file = folder / self.file
        if self.sentences:
            return TextShard(file, header, features, self.sentences)
        return FileShard(file, header, features, self.files)


def write_shard_list(path: Path, shards: Iterable[FileShard | TextShard]) -> None:
    """Write a list of shards, one JSON object a line.

    Raises:
        RunError: The file cannot be written.
    """
    lines = (ShardLine.of(shard).model_dump_json(exclude_defaults=True).encode() for shard in shards)
    write_bytes_atomic(path, b"".join(line + b"\n" for line in lines))


def read_shard_list(path: Path) -> Iterator[ShardLine]:
    """Yield the lines of a list of shards.

    Raises:
        DataError: The list cannot be read, or is none of this version.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                yield ShardLine.model_validate_json(line)
    except OSError as error:
        raise unreadable(path, error) from error
    except ValidationError as error:
        raise DataError(
            f"{path}:{number}: is no shard of this version of amrbench ({error.errors()[0]['msg']}). Install "
            "the same version on all machines."
        ) from error
