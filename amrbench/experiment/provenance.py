"""What a run writes about how it was made: lock.json and stages.json."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from amrbench.experiment.plan import PlannedRun, RunRequest
from amrbench.part import parts_in
from amrbench.training import log
from amrbench.training.stages import DTYPE, ENGINE, StageSpec

_PACKAGES = ("amrbench", "torch", "numpy")


def lock_content(planned: PlannedRun) -> dict[str, object]:
    """Return the content of lock.json: all that was resolved, and which distributions the parts are from."""
    request = planned.request
    used = {f"{part.slot}/{part.use}": part for part in parts_in([request.resolved, request.protocol])}
    return {
        "hash": planned.hash,
        "versions": environment(),
        "recipe": request.resolved.model_dump(mode="json"),
        "protocol": request.protocol.model_dump(mode="json"),
        "replaced": replaced_options(request),
        "parts": [
            {
                "slot": part.slot,
                "use": part.use,
                "part_version": part.version,
                **asdict(request.registry.origin(part)),
            }
            for _, part in sorted(used.items())
        ],
        "stages": {spec.name: spec.key for last in planned.chains for spec in last.chain},
        "weights": {last.model_name: last.key for last in planned.chains},
        "report": planned.report.fingerprint,
        "device": request.device,
        "dtype": DTYPE,
    }


def stage_costs(chains: Sequence[StageSpec], store: Path) -> list[dict[str, str | int | float]]:
    """Return the content of stages.json: each stage once, with its time and memory, in the order of training.

    `chains` has the last stage of each seed. A stage that an earlier run trained has the numbers of that run.
    The memory is the peak of the process up to the end of the stage, so it may be that of a stage that the
    process trained before.
    """
    stages = {spec.key: spec for last in chains for spec in last.chain}
    return [
        {
            "stage": spec.name,
            "key": spec.key,
            "epochs": spec.stage.epochs,
            **log.cost_of(log.read_epochs(store / spec.key / log.FILE)),
        }
        for spec in stages.values()
    ]


def environment() -> dict[str, str]:
    """Return the versions of Python, the training loop and the main packages, without importing these."""
    installed = {name: version(name) for name in _PACKAGES}
    return {**installed, "python": platform.python_version(), "engine": str(ENGINE)}


def replaced_options(request: RunRequest) -> list[str]:
    """Return what the protocol replaces in the recipe; see `changes`."""
    return changes(request.recipe.model_dump(mode="json"), request.resolved.model_dump(mode="json"))


def changes(before: object, after: object, path: str = "") -> list[str]:
    """Return the differences of two plain documents, e.g. "model.width: 256 -> 64".

    >>> changes({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]})
    ['a.1.b: 2 -> 3']
    """
    old, new = _items(before), _items(after)
    if old is None or new is None or old.keys() != new.keys() or old.get("use") != new.get("use"):
        return [] if before == after else [f"{path}: {_short(before)} -> {_short(after)}"]
    return [
        change for name in old for change in changes(old[name], new[name], f"{path}.{name}" if path else name)
    ]


def _items(value: object) -> dict[str, object] | None:
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    return {str(index): item for index, item in enumerate(value)} if isinstance(value, list) else None


def _short(value: object) -> str:
    return str(value["use"]) if isinstance(value, Mapping) and "use" in value else json.dumps(value)
