"""What lock.json says: everything that was resolved, and who offered it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from amrbench.part import Part, parts_in
from amrbench.running.trial import Trial
from amrbench.training.stages import DTYPE, ENGINE

FILE = "lock.json"
_PACKAGES = ("amrbench", "torch", "numpy")


def lock_of(trial: Trial) -> dict[str, object]:
    """Return the content of lock.json."""
    plan = trial.plan
    return {
        "hash": trial.hash,
        "versions": environment(),
        "recipe": plan.resolved.model_dump(mode="json"),
        "protocol": plan.protocol.model_dump(mode="json"),
        "replaced": changes(plan.recipe.model_dump(mode="json"), plan.resolved.model_dump(mode="json")),
        "parts": _origins(trial),
        "stages": {spec.name: spec.key for last in trial.chains for spec in last.chain},
        "weights": {last.member: last.key for last in trial.chains},
        "report": trial.report.fingerprint,
        "device": plan.device,
        "dtype": DTYPE,
    }


def environment() -> dict[str, str]:
    """Return the versions of what computes; no package is imported for it."""
    installed = {name: version(name) for name in _PACKAGES}
    return {**installed, "python": platform.python_version(), "engine": str(ENGINE)}


def changes(before: object, after: object, place: str = "") -> list[str]:
    """Return what differs between two plain documents, e.g. "model.width: 256 -> 64".

    >>> changes({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]})
    ['a.1.b: 2 -> 3']
    """
    inside, other = _items(before), _items(after)
    if inside is None or other is None or inside.keys() != other.keys() or _use(inside) != _use(other):
        return [] if before == after else [f"{place}: {_short(before)} -> {_short(after)}"]
    found = []
    for name in inside:
        found += changes(inside[name], other[name], f"{place}.{name}" if place else name)
    return found


def _items(value: object) -> dict[str, Any] | None:
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items()}
    return {str(at): each for at, each in enumerate(value)} if isinstance(value, list) else None


def _use(options: Mapping[str, object]) -> object:
    return options.get("use")


def _short(value: object) -> str:
    return str(value["use"]) if isinstance(value, Mapping) and "use" in value else json.dumps(value)


def _origins(trial: Trial) -> list[dict[str, str | int]]:
    registry = trial.plan.registry
    found = {f"{part.slot}/{part.use}": part for part in parts_in([trial.plan.resolved, trial.plan.protocol])}
    return [_origin(part, registry.origin(part)) for _, part in sorted(found.items())]


def _origin(part: Part, origin: Any) -> dict[str, str | int]:
    return {
        "slot": part.slot,
        "use": part.use,
        "part_version": part.version,
        "plugin": origin.plugin,
        "distribution": origin.distribution,
        "version": origin.version,
    }
