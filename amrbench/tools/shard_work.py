"""Work on the shards of an extraction: what a process on any machine needs, as a file, and what it does.

A process takes one shard after another of a list, each under a claim, and keeps the encoder. What it has
begun and finished goes into a journal beside its file. A shard of a process that was lost is free again when
its claim is void, so a process ends when all shards are there, not when none is free.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from amrbench.config.load import parse_part
from amrbench.data.file_shards import FileShard, read_shard_list
from amrbench.data.out_of_memory import explained_memory
from amrbench.data.shards import TextShard, header_for
from amrbench.data.worker_pool import LESS_MEMORY
from amrbench.errors import RunError, unreadable, unwritable
from amrbench.files.claim import claimed
from amrbench.files.feature_file import FeatureHeader
from amrbench.files.shard_manifest import ShardEntry, as_entry, entry_of
from amrbench.interrupts import refuse_to_go_on, stops_between_steps
from amrbench.part import Strict
from amrbench.registry import Registry
from amrbench.required_files import refuse_missing
from amrbench.slots.features import FeaturesPart
from amrbench.training.task_report import exit_code_of, reported

WORKERS = ".amrbench-workers"
"""Folder, beside the shards, of the claims of shards, and of a folder for each command."""
WAIT_SECONDS = 1.0
"""Time between two looks whether a shard is free, while other processes make all that are left."""


class ShardWork(Strict):
    """What a process is asked to do. All its paths are absolute.

    Attributes:
        shards: The list of shards; see `amrbench.data.file_shards`.
        folder: Where the shards are written.
        header: Of each shard.
        encoder: The part and its options.
        without: Plugins that are left out.
        environment: Variables that name the folders of data sets and of encoders.
        host: The machine that asks.
    """

    shards: Path
    folder: Path
    header: FeatureHeader
    encoder: Mapping[str, Any]
    without: tuple[str, ...]
    environment: Mapping[str, str]
    host: str

    @property
    def claims(self) -> Path:
        """Return the folder of the claims of shards, those that other commands have asked for included."""
        return self.folder / WORKERS

    @classmethod
    def read(cls, file: Path) -> ShardWork:
        """Read what a process is asked to do.

        Raises:
            DataError: The file cannot be read.
            RunError: It is none.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except OSError as error:
            raise unreadable(file, error) from error
        except ValidationError as error:
            raise RunError(
                f"{file}: is no work of this version of amrbench ({error.errors()[0]['msg']}). It is "
                "written by 'amrbench data extract --executor'; install the same version there and here."
            ) from error


class Journal:
    """What a process has begun and finished, a line each; another process may read it meanwhile."""

    def __init__(self, work: Path) -> None:
        """`work` is the file of what the process is asked to do."""
        self.path = work.with_suffix(".journal")
        self.position = 0

    def begin(self, shard: str) -> None:
        """Write that a shard is begun; RunError if that is not possible."""
        self._write({"begun": shard})

    def finish(self, entry: ShardEntry) -> None:
        """Write that a shard is finished; RunError if that is not possible."""
        self._write(asdict(entry))

    def new(self) -> Iterator[str | ShardEntry]:
        """Yield what was written since the last call: names of begun shards, and entries of finished ones."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.position)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # It is being written, or its writer was killed.
                self.position += len(line)
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # A line that was cut off, and the first of a process that began anew.
                yield row["begun"] if "begun" in row else as_entry(row)

    def _write(self, row: Mapping[str, Any]) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(row).encode() + b"\n")
        except OSError as error:
            raise unwritable(self.path, error) from error


def do_work(file: Path, registry_of: Callable[[Sequence[str]], Registry]) -> int:
    """Make shards until all of a list are there, and leave a report beside the file; return their number.

    Args:
        file: What to do; see `ShardWork`.
        registry_of: Returns the parts of all plugins except some.

    Raises:
        AmrbenchError: The work is none, the encoder is another one here, or a recording cannot be encoded.
        Interrupted: The process was asked to stop.
    """
    work = ShardWork.read(file)
    with reported(file, work.host):
        return _make_all(work, _encoder(work, registry_of(work.without)), Journal(file))


def work_in_worker(encoder: FeaturesPart, file: Path) -> int:
    """Do the same in a worker process of this machine, with an encoder that no plugin need offer here.

    Returns:
        See `exit_code_of`.
    """

    def make() -> None:
        work = ShardWork.read(file)
        with reported(file, work.host):
            _make_all(work, encoder, Journal(file))

    return exit_code_of(file, make)


def _make_all(work: ShardWork, encoder: FeaturesPart, journal: Journal) -> int:
    shards = [line.shard(work.folder, work.header, encoder) for line in read_shard_list(work.shards)]
    made, missing = 0, shards
    with stops_between_steps():
        while missing:
            before = made
            for shard in missing:
                made += _make_free(shard, work.claims, journal)
            missing = [shard for shard in missing if not shard.file.exists()]
            if missing and made == before:
                refuse_to_go_on("extracting")
                time.sleep(WAIT_SECONDS)
    return made


def _make_free(shard: FileShard | TextShard, folder: Path, journal: Journal) -> int:
    """Make a shard unless it is there or another process makes it; return whether it was made."""
    if shard.file.exists():
        return 0
    with claimed(folder / f"{shard.file.name}.claim") as claim:
        if claim is None or shard.file.exists():
            return 0
        journal.begin(shard.file.name)
        with explained_memory("extracting", LESS_MEMORY):
            shard.make()
        journal.finish(entry_of(shard.file))
    return 1


def _encoder(work: ShardWork, registry: Registry) -> FeaturesPart:
    """Return the encoder; RunError if it would make other features here."""
    text = json.dumps(work.encoder)
    encoder = parse_part(text, FeaturesPart, registry, called="the encoder")  # type: ignore[type-abstract]
    refuse_missing(f"encoder {encoder.label!r}", encoder.required_files())
    here = header_for(work.header.source, encoder.build(), half=work.header.half)
    if here != work.header:
        raise RunError(
            f"the encoder {here.backend!r} is another one than on {work.host} ({here.fingerprint}, not "
            f"{work.header.fingerprint}). The same versions of amrbench, of plugins and of weights must be "
            "on all machines."
        )
    return encoder
