"""The trained stages in the cache, and what processes left that trained others. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from amrbench.errors import RunError
from amrbench.evaluation.result import TrainedStage, read_record
from amrbench.experiment.part_versions import version_of
from amrbench.files.checksums import has_checksums, is_set_aside
from amrbench.registry import Registry
from amrbench.tools.stored_items import Claims, StoredItem, entries, size_of
from amrbench.training import log
from amrbench.training.store_layout import CLAIM, DONE, ENGINE, FAILED, RUNNING, TASKS, UNFINISHED, store_of

KEY = re.compile(r"[0-9a-f]{24}")


class StoredStages:
    """The stages in a cache folder.

    Attributes:
        records: What training recorded of each finished stage, by key.
    """

    def __init__(self, cache: Path, registry: Registry) -> None:
        self.store, self.tasks, self.registry = store_of(cache), cache / TASKS, registry
        self.paths = [path for path in entries(self.store) if KEY.match(path.name)]
        self.running = [path for path in entries(cache / RUNNING) if path.suffix == CLAIM]
        self.claims = Claims([*self.running, *(path for path in self.paths if path.suffix == CLAIM)])
        self.records: dict[str, TrainedStage] = {}
        for path in self.paths:
            if KEY.fullmatch(path.name) and has_checksums(path):
                self._read(path)

    def _read(self, path: Path) -> None:
        with suppress(RunError):
            self.records[path.name] = read_record(
                path / DONE, TrainedStage, what="the record of a stage", remedy="run the recipe again"
            )

    def items(self, users: Mapping[str, tuple[str, ...]], busy: str, *, known: bool) -> list[StoredItem]:
        """Return the stages and all that is left of others.

        Args:
            users: Folders of the runs that a stage is of, by its key.
            busy: A process that works with this cache and may read any stage; empty for none.
            known: Whether there are runs, and all can be read; otherwise nothing is called unused.
        """
        stages = [self._stage(key, users.get(key, ()), busy, known) for key in self.records]
        return [*stages, *self._leftovers(), *self._leftover_tasks()]

    def _stage(self, key: str, users: tuple[str, ...], busy: str, known: bool) -> StoredItem:
        path, record = self.store / key, self.records[key]
        held = self.claims.holder(self._claim(path)) or busy
        old = self.outdated(record)
        unused = known and not users and not held
        stale = "; ".join(["no run uses it", *([old] if old else [])]) if unused else ""
        about = f"{record.content['model']['use']}, seed {record.content['seed']}, {record.epochs} epochs"
        about += f"; {old}" if old and users else ""
        return StoredItem("stage", path, self._claim(path), about, size_of(path), users, stale, held)

    def outdated(self, record: TrainedStage) -> str:
        """Return what has a new version since a stage was trained, so that no run finds it; or nothing."""
        engine = record.content.get("engine")
        if engine != ENGINE:
            return f"trained by version {engine} of the loop, now {ENGINE}"
        for name, version in dict(record.content.get("versions", {})).items():
            slot, _, use = name.partition("/")
            if use in self.registry.names(slot):
                now = version_of(self.registry.entry(slot, use).part, self.registry)
                if now != version:
                    return f"trained with version {version} of {name}, now {now}"
        return ""

    def _leftovers(self) -> Iterator[StoredItem]:
        for path in (*self.running, *self.paths):
            name = path.name
            if name in self.records:
                continue
            if path.suffix == CLAIM:
                held = self.claims.holder(path)
                why, claim = "claim of a process that has ended", path
            else:
                claim = self._claim(path)
                held = self.claims.holder(claim, name.partition(UNFINISHED)[2])
                why = self._why_stale(path)
            stale = "" if held else why
            yield StoredItem("leftover", path, claim, "stage", size_of(path), (), stale, held)

    def _why_stale(self, path: Path) -> str:
        if UNFINISHED in path.name:
            progress = log.read_progress(path)
            at = f" at {progress.where()}" if progress else ""
            return f"its training was stopped{at}; a run would go on with what it saved"
        if path.name.endswith(FAILED):
            return "the step of a training that failed; nothing reads it"
        if is_set_aside(path):
            return "set aside because its files had changed"
        return "not as training leaves a stage today"

    def _leftover_tasks(self) -> Iterator[StoredItem]:
        for path in entries(self.tasks):
            key, _, rest = path.name.partition(".")
            held = self.claims.holder(self.store / f"{key}{CLAIM}", rest.partition(".")[0])
            stale = "" if held else "a task for an executor whose process has ended"
            yield StoredItem(
                "leftover", path, self.store / f"{key}{CLAIM}", "task", size_of(path), (), stale, held
            )

    def _claim(self, path: Path) -> Path:
        return self.store / f"{path.name.partition('.')[0]}{CLAIM}"
