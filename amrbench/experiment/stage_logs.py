"""The logs of a run's stages, copied into its folder: it shows how it was trained without the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from amrbench.experiment.finished_run import slug
from amrbench.files.atomic import write_bytes_atomic
from amrbench.training.log import FILE
from amrbench.training.stage_spec import StageSpec

LOGS = "logs"
"""Folder of a run."""


def log_file(spec: StageSpec) -> str:
    """Return the name of a stage's log in the folder of a run, e.g. "logs/3-ours3-finetune-seed-1.jsonl"."""
    return f"{LOGS}/{slug(f'{spec.index + 1} {spec.name}')}.jsonl"


def copy_logs(stages: Sequence[StageSpec], store: Path, folder: Path) -> None:
    """Copy the logs of finished stages; RunError if one cannot be written.

    Args:
        stages: Of a run.
        store: The folder of all stages.
        folder: Of the run.
    """
    (folder / LOGS).mkdir(exist_ok=True)
    for spec in stages:
        write_bytes_atomic(folder / log_file(spec), (store / spec.key / FILE).read_bytes())
