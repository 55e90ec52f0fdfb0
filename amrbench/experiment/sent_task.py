"""Tasks on machines that do not share the folders of the one that asks.

What goes there is the text of the task and the finished stages that it starts from; what comes back are the
stages that it trains, its report and its log: texts and bytes. That machine makes generated data in a cache
folder of its own, and keeps it. All other data must lie at the same paths there.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from amrbench.errors import AmrbenchError, RunError
from amrbench.experiment.stage_task import TaskFile
from amrbench.files.atomic import write_bytes_atomic, write_text_atomic
from amrbench.files.checksums import CHECKSUMS, has_checksums, set_aside_changed
from amrbench.files.folders import cache_folder
from amrbench.files.packed_folder import pack_folder, unpack_folder
from amrbench.notes import note
from amrbench.slots.executors import SHARDS, log_of
from amrbench.training.store_layout import TASKS, store_of
from amrbench.training.task_report import TaskReport, remove_files

Packed = Mapping[str, bytes]
"""Files of stages, by the key of the stage, a slash and their name; and of `REPORT` and `LOG`."""
REPORT, LOG = "report", "log"


def is_shared(file: Path, text: str) -> bool:
    """Whether this machine has the file of a task with this text, and so the folders of the one that asks."""
    try:
        return file.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def pack_needed(file: Path) -> dict[str, bytes]:
    """Return the stages that the stage of a task starts from."""
    if file.name.endswith(SHARDS):
        return {}
    task = TaskFile.read(file)
    return _packed(task.starts_from, store_of(task.cache))


def do_sent(name: str, text: str, needed: Packed, run: Callable[[Path], int]) -> tuple[int, dict[str, bytes]]:
    """Do a task in the cache folder of this machine.

    Args:
        name: Of the file of the task on the machine that asks.
        text: Its content.
        needed: See `pack_needed`.
        run: Runs the command of a task, which a file says, and returns its exit code.

    Returns:
        The exit code, which is 2 if the task is refused, and what `accept` takes.
    """
    file = cache_folder().absolute() / TASKS / name
    try:
        task = _own_task(name, text)
        file.parent.mkdir(parents=True, exist_ok=True)
        for key in task.starts_from:
            _unpack(key, needed, store_of(task.cache))
        write_text_atomic(file, task.model_dump_json(indent=1))
        code = run(file)
        result = _packed(task.group, store_of(task.cache)) if code == 0 else {}
    except AmrbenchError as error:
        report = TaskReport(error=f"on {platform.node()}: {error}")
        return 2, {REPORT: report.model_dump_json().encode()}
    for kind, path in ((REPORT, TaskReport.file_of(file)), (LOG, log_of(file))):
        if path.exists():
            result[kind] = path.read_bytes()
    remove_files(file, trained=True)
    return code, result


def accept(file: Path, result: Packed) -> None:
    """Put what came back of a task where it would be if it had been done here.

    Args:
        file: Of the task.
        result: See `do_sent`.

    Raises:
        RunError: A stage is not as it was sent, or a file cannot be written.
    """
    for kind, path in ((REPORT, TaskReport.file_of(file)), (LOG, log_of(file))):
        if kind in result:
            write_bytes_atomic(path, result[kind])
    if any("/" in name for name in result):
        task = TaskFile.read(file)
        for key in task.group:
            _unpack(key, result, store_of(task.cache))


def _own_task(name: str, text: str) -> TaskFile:
    """Return a task with the cache folder of this machine; RunError if it needs that of the other one."""
    if name.endswith(SHARDS):
        raise RunError(
            "features are made on machines that share the folders of audio and output, and this one does "
            "not. Mount them at the same paths here, or leave the machine out."
        )
    try:
        task = TaskFile.model_validate_json(text)
    except ValidationError as error:
        raise RunError(
            f"{name}: is no task of this version of amrbench ({error.errors()[0]['msg']}). Install the same "
            "version there and here."
        ) from error
    return task.model_copy(update={"cache": cache_folder().absolute(), "away": True})


def _packed(keys: tuple[str, ...], store: Path) -> dict[str, bytes]:
    return {f"{key}/{name}": data for key in keys for name, data in pack_folder(store / key).items()}


def _unpack(key: str, packed: Packed, store: Path) -> None:
    """Write a stage into a store that does not have it."""
    if changed := set_aside_changed(store / key):
        note(f"{store / key} is fetched again: {changed}")
    if not has_checksums(store / key):
        store.mkdir(parents=True, exist_ok=True)
        files = {name.partition("/")[2]: data for name, data in packed.items() if name.startswith(f"{key}/")}
        if differs := unpack_folder(files or {CHECKSUMS: b""}, store / key):
            note(differs)
