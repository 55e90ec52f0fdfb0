"""What a run says about how it was made: its `Result`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from amrbench.data.required_splits import Use, describe_part
from amrbench.evaluation.result import (
    Environment,
    PartRecord,
    ProtocolRecord,
    RecipeRecord,
    Result,
    Row,
    SplitRecord,
)
from amrbench.experiment.plan import PlannedRun, RunRequest
from amrbench.experiment.stage_logs import log_file
from amrbench.part import parts_in
from amrbench.training.numerics import accelerator, library_versions, processor, settings_of
from amrbench.training.stage_spec import DTYPE
from amrbench.training.stage_store import read_done
from amrbench.training.store_layout import ENGINE


def result_of(planned: PlannedRun, store: Path, rows: Sequence[Row], truth: str) -> Result:
    """Return the result of a run whose stages are trained.

    Args:
        planned: The run.
        store: The folder of all stages. One that an earlier run trained has the numbers of that run.
        rows: Its members with their metrics.
        truth: Name of the annotation file in its folder.
    """
    request, protocol = planned.request, planned.request.protocol
    return Result(
        recipe=RecipeRecord(
            name=request.recipe.name,
            options=request.resolved.model_dump(mode="json"),
            replaced=tuple(replaced_options(request)),
        ),
        protocol=ProtocolRecord(
            name=protocol.name,
            version=protocol.version,
            about=protocol.about,
            chains=protocol.chains,
            options=protocol.model_dump(mode="json"),
        ),
        stand_ins=protocol.stand_in_note(request.recipe),
        hash=planned.hash,
        conditions=planned.comparable,
        data=tuple(_splits(planned)),
        stages=tuple(
            # Another recipe may have trained the stage under a name of its own.
            read_done(store / spec.key).model_copy(update={"stage": spec.name, "log": log_file(spec)})
            for spec in planned.stages
        ),
        models={last.model_name: last.key for last in planned.chains},
        parts=tuple(part_records(request)),
        environment=Environment(
            device=request.device,
            dtype=DTYPE,
            threads=protocol.threads,
            cpu=processor(),
            gpu=accelerator(request.device),
            settings=settings_of(request.device),
            versions={
                "amrbench": version("amrbench"),
                **library_versions(request.device),
                "engine": str(ENGINE),
            },
        ),
        truth=truth,
        rows=tuple(rows),
    )


def _splits(planned: PlannedRun) -> list[SplitRecord]:
    uses: dict[str, list[Use]] = {}
    splits = {}
    for use, split in planned.request.splits.uses:
        splits[split.key] = split
        uses.setdefault(split.key, []).append(use)
    return [
        SplitRecord(
            uses=tuple(dict.fromkeys(uses[key])),
            dataset=describe_part(split.dataset),
            version=split.dataset.version,
            split=split.split,
            encoder=planned.sources[key].encoder,
            fingerprint=planned.sources[key].fingerprint,
            recordings=len({query.vid for query in planned.sources[key].queries}),
            queries=len(planned.sources[key].queries),
        )
        for key, split in splits.items()
    ]


def part_records(request: RunRequest) -> list[PartRecord]:
    """Return the parts that a recipe and a protocol use, and where they come from."""
    used = {f"{part.slot}/{part.use}": part for part in parts_in([request.resolved, request.protocol])}
    origins = [(part, request.registry.origin(part)) for _, part in sorted(used.items())]
    return [
        PartRecord(
            slot=part.slot,
            use=part.use,
            version=part.version,
            plugin=origin.plugin,
            distribution=origin.distribution,
            distribution_version=origin.version,
        )
        for part, origin in origins
    ]


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
