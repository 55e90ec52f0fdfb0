"""Make the shards of an extraction with an executor: processes, on any machine, that keep the encoder.

Each takes one shard after another; see `amrbench.tools.shard_work`. One that is lost is replaced, and what it
had begun is made again.
"""

from __future__ import annotations

import platform
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeAlias

from amrbench.config.paths import with_resolved_paths
from amrbench.data.file_shards import FileShard, write_shard_list
from amrbench.data.shards import TextShard
from amrbench.data.worker_pool import Progress, Report
from amrbench.errors import DataError, RunError, some
from amrbench.files.atomic import write_text_atomic
from amrbench.files.folders import DATA_VARIABLE, MODELS_VARIABLE, data_folder, models_folder
from amrbench.files.owner import Owner, this_process
from amrbench.files.shard_manifest import ShardEntry
from amrbench.notes import note
from amrbench.slots.executors import SHARDS, Executor, Job, Task
from amrbench.tools.shard_work import WORKERS, Journal, ShardWork, work_in_worker
from amrbench.training.stage_queue import MOST_STARTS
from amrbench.training.task_report import FINAL, TaskReport, how_lost

POLL_SECONDS = 0.3
"""Time between two looks at the processes."""
PAUSE_SECONDS = 10.0
"""Time before a lost process is replaced, for each loss at the same shard: clusters notice some seconds later
that a machine is gone, and send processes there until then."""
_CLAIM = re.compile(r"\.?(.+)\.claim(\..+)?")
"""Names of the claim of a shard and of its short-lived files."""
_LABEL = re.compile(r"([0-9a-f]+)-([0-9]{1,9})")
"""Names of the folders of commands: `Owner.label`."""
AnyShard: TypeAlias = FileShard | TextShard


@dataclass(frozen=True, eq=False)
class _Running:
    """A process that makes shards."""

    task: Task
    job: Job
    journal: Journal


class ShardWorkers:
    """Makes shards with an executor."""

    def __init__(self, executor: Executor, *, without: Sequence[str]) -> None:
        """`without` are the plugins that are left out."""
        self.executor, self.without = executor, without

    def make(self, shards: Sequence[AnyShard], *, what: str, report: Report) -> dict[str, ShardEntry]:
        """Make the shards that do not exist yet; return the entries of those that were made, by their names.

        Args:
            shards: Of one encoder, in one folder that all machines share.
            what: For messages and the progress.
            report: Called with the progress.

        Raises:
            DataError: The encoder or a recording cannot be used; shards that are begun are left.
            RunError: The processes at a shard were lost again and again.
        """
        missing = {shard.file.name: shard for shard in shards if not shard.is_made()}
        if not missing:
            return {}
        for shard in missing.values():
            shard.file.unlink(missing_ok=True)  # Damaged; a process would take it as made.
        total = sum(shard.size for shard in shards)
        progress = Progress(what, total - sum(shard.size for shard in missing.values()), total)
        with _work_files(missing, self.without) as work_files:
            return _Extraction(self.executor, work_files, missing, progress, report).run()


class _Extraction:
    """Shards that are left, and the processes that make them."""

    def __init__(
        self,
        executor: Executor,
        work_files: Iterator[Path],
        missing: dict[str, AnyShard],
        progress: Progress,
        report: Report,
    ) -> None:
        self.executor, self.work_files, self.missing = executor, work_files, missing
        self.progress, self.report = progress, report
        self.running: list[_Running] = []
        self.begun: dict[Path, str] = {}
        self.losses: Counter[str] = Counter()
        self.entries: dict[str, ShardEntry] = {}
        self.pause_until = 0.0

    def run(self) -> dict[str, ShardEntry]:
        """Make all shards; return their entries, except those that no journal has."""
        self.report(self.progress)
        try:
            while self.missing or self.running:
                self._start()
                time.sleep(POLL_SECONDS)
                for one in list(self.running):
                    self._look(one)
        except BaseException:
            for one in self.running:
                one.job.terminate()
            raise
        return self.entries

    def _start(self) -> None:
        if not self.missing or time.monotonic() < self.pause_until:
            return  # The processes end when they see that all shards are there.
        free = min(self.executor.slots(), len(self.missing)) - len(self.running)
        tasks = [self._task(next(self.work_files)) for _ in range(free)]
        for task, job in zip(tasks, self.executor.submit(tasks) if tasks else (), strict=True):
            self.running.append(_Running(task, job, Journal(task.file)))

    def _task(self, file: Path) -> Task:
        encoder = next(iter(self.missing.values())).features
        return Task(self.progress.what, file, "cpu", 1, partial(work_in_worker, encoder, file))

    def _look(self, one: _Running) -> None:
        """Report what is new of a process, and collect it if it has ended."""
        code = one.job.poll()
        for item in one.journal.new():
            if isinstance(item, str):
                self.begun[one.task.file] = item
            else:
                self.entries[item.shard] = item
                self.begun.pop(one.task.file, None)
                self._count(item.shard)
        if code is not None:
            self.running.remove(one)
            self._collect(one, code)

    def _count(self, name: str) -> None:
        if shard := self.missing.pop(name, None):
            self.progress = replace(self.progress, done=self.progress.done + shard.size)
            self.report(self.progress)

    def _collect(self, one: _Running, code: int) -> None:
        report = TaskReport.read(one.task.file)
        for text in report.notes:
            note(text)
        if code in FINAL:
            raise DataError(
                report.error or f"{self.progress.what}: a job ended with exit code {code}; see {one.task.log}"
            )
        at = self.begun.pop(one.task.file, "")
        for name in [name for name, shard in self.missing.items() if shard.file.exists()]:
            self._count(name)  # Its line was lost with its process.
        if code == 0 and not at:
            return
        self.losses[at] += 1
        how, remedy = how_lost(one.task, code, self._where(at))
        if self.losses[at] >= MOST_STARTS:
            raise RunError(f"{how}, {MOST_STARTS} times. {remedy}")
        self.pause_until = time.monotonic() + PAUSE_SECONDS * self.losses[at]
        note(f"{how}; another one goes on")

    def _where(self, name: str) -> str:
        """Return the recordings or sentences of a shard for a message."""
        shard = self.missing.get(name)
        if shard is None:
            return "its start"
        names = [own for own, _ in shard.files] if isinstance(shard, FileShard) else shard.sentences
        return some(names, 2)


@contextmanager
def _work_files(missing: Mapping[str, AnyShard], without: Sequence[str]) -> Iterator[Iterator[Path]]:
    """Write the list of shards, and offer files that ask for them, one for each process.

    They lie in a folder of this command, with what the processes leave; it is removed if the work succeeds.
    """
    first, label = next(iter(missing.values())), this_process().label
    workers = first.file.parent.absolute() / WORKERS
    folder = workers / label
    shutil.rmtree(folder, ignore_errors=True)  # Of an earlier process with the same number.
    folder.mkdir(parents=True, exist_ok=True)
    shards = folder / "shards.jsonl"
    write_shard_list(shards, missing.values())
    encoder = with_resolved_paths(first.features, Path.cwd() / "encoder")
    work = ShardWork(
        shards=shards,
        folder=workers.parent,
        header=first.header,
        encoder={"use": encoder.use} | encoder.model_dump(mode="json"),
        without=tuple(without),
        environment={DATA_VARIABLE: str(data_folder()), MODELS_VARIABLE: str(models_folder())},
        host=platform.node(),
    )

    def files() -> Iterator[Path]:
        for number in count(1):
            file = folder / f"work-{number}{SHARDS}"
            write_text_atomic(file, work.model_dump_json(indent=1))
            yield file

    yield files()
    _tidy(workers, label)


def _tidy(workers: Path, own: str) -> None:
    """Remove what this command and ended ones of this machine have left, and claims of shards that are there.

    Args:
        workers: The folder; it is removed too unless another command has something in it.
        own: The label of this process.
    """
    with suppress(OSError):
        for path in list(workers.iterdir()):
            claim = _CLAIM.fullmatch(path.name)
            if claim and (workers.parent / claim[1]).exists():
                path.unlink(missing_ok=True)
            elif path.name == own or _is_of_ended(path.name):
                shutil.rmtree(path, ignore_errors=True)
        workers.rmdir()


def _is_of_ended(name: str) -> bool:
    """Whether a folder has the label of a process of this machine that has ended."""
    label = _LABEL.fullmatch(name)
    return bool(label and Owner("", int(label[2]), label[1]).has_ended())
