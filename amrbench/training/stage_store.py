"""Stages of training, kept in a store and found by a hash of all that determines them.

`stages/<key>/` holds `weights.<readout>.safetensors` (the best epoch for each of `training.readouts`),
`last.safetensors`, `log.jsonl` and `done.json`, the checksums of these files, and `times.jsonl`. It is made
in `<key>.making-<process>/`, where `progress.json` says how far it is, and renamed at the end; `<key>.claim`
says which process trains it. A stage that was interrupted goes on from its last saved state, to the same
bits. A folder that is not as it was written is renamed to `<key>.damaged`, and the stage is trained again.
One that failed leaves `<key>.failed/` with the batch and the weights of the step, which nothing reads.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from amrbench.evaluation.result import StageRecord, TrainedStage, read_record
from amrbench.files.checksums import CHECKSUMS, has_checksums, set_aside_changed
from amrbench.files.owner import this_process
from amrbench.notes import note
from amrbench.training import log
from amrbench.training.saved_states import SavedStates
from amrbench.training.stage_spec import StageSpec
from amrbench.training.store_layout import CLAIM, DONE, FAILED, UNFINISHED

LAST = "last.safetensors"


def weights_file(readout: str) -> str:
    """Return the name of the file with the weights of the epoch that is best for a read-out."""
    return f"weights.{readout}.safetensors"


def is_finished(spec: StageSpec, store: Path) -> bool:
    """Whether the stage is in the store."""
    return has_checksums(store / spec.key)


def is_intact(spec: StageSpec, store: Path) -> bool:
    """Whether the stage is in the store as it was written; other content is set aside, with a note."""
    if changed := set_aside_changed(store / spec.key):
        note(f"{spec.name} is trained again: {changed}")
    return is_finished(spec, store)


def read_done(folder: Path) -> StageRecord:
    """Return what training recorded of a finished stage, or raise RunError if the file is damaged."""
    remedy = "run the recipe again; it trains the stage again"
    done = read_record(folder / DONE, TrainedStage, what="the record of a trained stage", remedy=remedy)
    epochs = log.read_epochs(folder)
    return StageRecord(
        **dict(done),
        stage="",
        seconds=round(sum(epoch.seconds for epoch in epochs), 3),
        memory_mib=max((epoch.memory_mib for epoch in epochs), default=0.0),
        hardware=log.hardware_of(folder),
    )


def claim_file(spec: StageSpec, store: Path) -> Path:
    """Return the claim of the process that trains a stage alone."""
    return store / f"{spec.key}{CLAIM}"


def unfinished_folder(spec: StageSpec, store: Path) -> Path:
    """Return the folder in which this process trains a stage; no other process writes there."""
    return store / f"{spec.key}{UNFINISHED}{this_process().label}"


def unfinished_folders(spec: StageSpec, store: Path) -> list[Path]:
    """Return the folders of all processes that train a stage or have begun to, the last changed one last."""
    folders = store.glob(f"{spec.key}{UNFINISHED}*")
    return sorted(folders, key=lambda folder: folder.stat().st_mtime)


def begin_folder(spec: StageSpec, store: Path) -> Path:
    """Return the folder in which this process trains a stage, with what processes that ended had saved."""
    own = unfinished_folder(spec, store)
    own.mkdir(parents=True, exist_ok=True)
    for folder in store.glob(f"{spec.key}{UNFINISHED}*"):
        if folder != own:
            SavedStates(own).take_from(folder)
            shutil.rmtree(folder, ignore_errors=True)
    return own


def finish_folder(spec: StageSpec, store: Path) -> None:
    """Give the folder of a trained stage, with its checksums, its final name, if no other process was faster.

    A note says so if the other process wrote other bytes.
    """
    own, folder = unfinished_folder(spec, store), store / spec.key
    log.remove_progress(own)
    with suppress(OSError):
        own.rename(folder)
        return
    same = (own / CHECKSUMS).read_bytes() == (folder / CHECKSUMS).read_bytes()
    if not same:
        note(f"{spec.name}: another process trained it at the same time, to other bytes; its files are kept")
    shutil.rmtree(own, ignore_errors=True)


def failed_folder(spec: StageSpec, store: Path) -> Path:
    """Return the folder with what is kept of a stage that failed."""
    return store / f"{spec.key}{FAILED}"
