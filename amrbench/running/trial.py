"""What a recipe comes to under a protocol: its data, its stages, and the folder of its run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel

from amrbench.annotations import Query
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.prepare import Wanted
from amrbench.errors import RunError
from amrbench.part import Part, parts_in
from amrbench.registry import Registry
from amrbench.running.demand import Demand
from amrbench.sources import Source
from amrbench.training.stages import ENGINE, Spec

SHORT = 8
_OURS = "amrbench"


@dataclass(frozen=True, eq=False)
class Plan:
    """A recipe and a protocol, before any data is touched.

    Attributes:
        source: The recipe's file, or that of the study which it was generated from.
        recipe: As the file says.
        protocol: As its file says, with the number of seeds that was asked for.
        conditions: The protocol's file.
        registry: Who offers the parts.
        device: Where it is trained.
        text: The recipe as it was given, for the run's folder.
    """

    source: Path
    recipe: Recipe
    protocol: Protocol
    conditions: Path
    registry: Registry
    device: str
    text: bytes = b""

    @cached_property
    def demand(self) -> Demand:
        """Return the splits that it needs."""
        return Demand(self.recipe, self.protocol)

    @property
    def resolved(self) -> Recipe:
        """Return the recipe with stand-ins and budget in place."""
        return self.demand.resolved


@dataclass(frozen=True, eq=False)
class Trial:
    """A recipe under a protocol, with its data at hand.

    Attributes:
        plan: What was asked for.
        chains: The last stage for each seed.
        report: The split that is scored.
    """

    plan: Plan
    chains: tuple[Spec, ...]
    report: Source

    @cached_property
    def hash(self) -> str:
        """Return the hash of all that determines the figures."""
        resolved, protocol = self.plan.resolved, self.plan.protocol
        after = (resolved.soup, *resolved.ranking)
        return _hash(
            {
                "engine": ENGINE,
                "chains": [spec.key for spec in self.chains],
                "after": [part.model_dump(mode="json") for part in after],
                "versions": versions(after, self.plan.registry),
                "report": self.report.fingerprint,
                "conditions": self.comparable,
                "slices": protocol.slices,
            }
        )

    @cached_property
    def comparable(self) -> str:
        """Return the hash of what must be equal for figures to stand in one table."""
        protocol = self.plan.protocol
        dump = protocol.model_dump(mode="json", exclude={"about", "against", "slices", "seeds"})
        return _hash({"protocol": dump, "truth": [_truth(query) for query in self.report.queries]})

    def folder(self, out: Path) -> Path:
        """Return the folder of the run."""
        plan = self.plan
        return out / f"{plan.recipe.name}@{plan.protocol.name}-{self.hash[:SHORT]}"


def try_out(plan: Plan, prepared: Mapping[str, Source]) -> Trial:
    """Return the trial of a plan.

    Args:
        plan: What was asked for.
        prepared: The splits that it wants, by `name_of`.

    Raises:
        RunError: The split that is to be scored has a part in training.
    """
    report = prepared[name_of(plan.demand.report)]
    last: Spec | None = None
    for place in range(len(plan.resolved.stages)):
        last = _spec(plan, prepared, place, last)
        _refuse_known_answers(plan, last, report)
    if last is None:
        raise RunError(f"{plan.source}: the recipe has no stage, so there is nothing to run.")
    seeds = range(plan.protocol.seeds if last.stage.seeds == "many" else 1)
    seeded = _seeded if plan.protocol.chains == "own" else _last_seeded
    return Trial(plan, tuple(seeded(last, seed) for seed in seeds), report)


def _last_seeded(last: Spec, seed: int) -> Spec:
    """Return a chain whose last stage has a seed, after stages that all share."""
    return replace(last, seed=seed)


def _seeded(last: Spec, seed: int) -> Spec:
    """Return a chain all of whose stages have a seed."""
    parent = None if last.parent is None else _seeded(last.parent, seed)
    return replace(last, seed=seed, parent=parent)


def name_of(wanted: Wanted) -> str:
    """Return a text that is equal for equal wishes."""
    parts = [wanted.dataset.model_dump(mode="json"), wanted.split, wanted.features.model_dump(mode="json")]
    return json.dumps(parts, sort_keys=True)


def versions(options: Sequence[BaseModel], registry: Registry) -> dict[str, str]:
    """Return the versions of all parts at any depth; those of strangers with their distribution's."""
    return {f"{part.slot}/{part.use}": _version(part, registry) for part in parts_in(options)}


def _version(part: Part, registry: Registry) -> str:
    origin = registry.origin(part)
    stranger = origin.distribution != _OURS
    return f"{part.version} ({origin.distribution} {origin.version})" if stranger else str(part.version)


def _spec(plan: Plan, prepared: Mapping[str, Source], place: int, parent: Spec | None) -> Spec:
    recipe = plan.resolved
    role = recipe.stages[place].data
    return Spec(
        recipe=recipe,
        place=place,
        seed=0,
        train=tuple(prepared[name_of(each)] for each in plan.demand.training(role)),
        select=prepared[name_of(plan.demand.selection(role))],
        versions=versions([recipe.model, recipe.training], plan.registry),
        threads=plan.protocol.threads,
        device=plan.device,
        parent=parent,
    )


def _refuse_known_answers(plan: Plan, spec: Spec, report: Source) -> None:
    # Whatever else a file says of it: windows, duration and id of the same question may differ.
    asked = {(query.vid, query.query) for query in report.queries}
    for source, use in (*((each, "trains on") for each in spec.train), (spec.select, "selects on")):
        shared = len(asked & {(query.vid, query.query) for query in source.queries})
        if shared:
            split = plan.protocol.splits.report
            raise RunError(
                f"{plan.conditions}: the split {split!r} is to be scored, but the stage "
                f"{spec.stage.name!r} {use} {shared} of its {len(asked)} queries. Figures on it would mean "
                f"nothing: report another split, or give the role {spec.stage.data!r} other data."
            )


def _truth(query: Query) -> str:
    return json.dumps([str(query.qid), query.vid, query.query, query.duration, query.windows])


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
