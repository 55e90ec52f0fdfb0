"""What a recipe needs and does under a protocol: its data, its stages, and the folder of its run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe, Role
from amrbench.content_hash import content_hash
from amrbench.data.feature_source import FeatureSource
from amrbench.data.prepare import FeatureRequest
from amrbench.errors import RunError
from amrbench.part import Part, parts_in
from amrbench.registry import Registry
from amrbench.required_files import RequiredFile
from amrbench.slots.data import DatasetPart
from amrbench.training.stages import ENGINE, StageSpec

HASH_DIGITS = 8
"""Digits of the hash in the name of a run's folder."""
_OURS = "amrbench"


@dataclass(frozen=True)
class RequiredSplits:
    """The splits that a recipe needs under a protocol.

    Attributes:
        recipe: As its file says.
        protocol: As its file says.
    """

    recipe: Recipe
    protocol: Protocol

    @cached_property
    def resolved(self) -> Recipe:
        """Return the recipe with stand-ins and budget in place."""
        return self.protocol.resolve(self.recipe)

    def training(self, role: Role) -> list[FeatureRequest]:
        """Return the splits that a role trains on."""
        splits = self.protocol.splits.train if role == "target" else ("train",)
        return [self._request(self.protocol.data.of(role), split) for split in splits]

    def selection(self, role: Role) -> FeatureRequest:
        """Return the split that chooses the epoch for a role."""
        split = self.protocol.splits.select if role == "target" else "val"
        return self._request(self.protocol.data.of(role), split)

    @property
    def report(self) -> FeatureRequest:
        """Return the split that is predicted, and scored if its ground truth is public."""
        data = self.protocol.data
        return self._request(data.report or data.target, self.protocol.splits.report)

    @property
    def all(self) -> list[FeatureRequest]:
        """Return all splits that are needed, some of them possibly twice."""
        roles = dict.fromkeys(stage.data for stage in self.resolved.stages)
        used = [request for role in roles for request in (*self.training(role), self.selection(role))]
        return [*used, self.report]

    @property
    def required_files(self) -> list[RequiredFile]:
        """Return all files that must be present, each once."""
        return list(dict.fromkeys(file for request in self.all for file in request.required_files))

    def _request(self, dataset: DatasetPart, split: str) -> FeatureRequest:
        return FeatureRequest(dataset, split, self.resolved.features)


@dataclass(frozen=True, eq=False)
class RunRequest:
    """A recipe and a protocol, before any data is read.

    Attributes:
        source: The recipe's file, or that of the study which it was generated from.
        recipe: As the file says.
        protocol: As its file says, with the number of seeds that was asked for.
        protocol_file: The protocol's file.
        registry: Of the parts.
        device: That it is trained on.
        text: The recipe as it was given, for the run's folder.
    """

    source: Path
    recipe: Recipe
    protocol: Protocol
    protocol_file: Path
    registry: Registry
    device: str
    text: bytes = b""

    @cached_property
    def splits(self) -> RequiredSplits:
        """Return the splits that it needs."""
        return RequiredSplits(self.recipe, self.protocol)

    @property
    def resolved(self) -> Recipe:
        """Return the recipe with stand-ins and budget in place."""
        return self.splits.resolved


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A recipe under a protocol, with its data and stages.

    Attributes:
        request: The recipe and the protocol.
        chains: The last stage for each seed.
        report: The split that is scored.
    """

    request: RunRequest
    chains: tuple[StageSpec, ...]
    report: FeatureSource

    @cached_property
    def hash(self) -> str:
        """Return the hash of all that determines the metrics."""
        resolved, protocol = self.request.resolved, self.request.protocol
        after_training = (resolved.soup, *resolved.ranking)
        return content_hash(
            {
                "engine": ENGINE,
                "chains": [spec.key for spec in self.chains],
                "after": [part.model_dump(mode="json") for part in after_training],
                "versions": versions(after_training, self.request.registry),
                "report": self.report.fingerprint,
                "conditions": self.comparable,
                "slices": protocol.slices,
            }
        )

    @cached_property
    def comparable(self) -> str:
        """Return a hash; runs with equal hashes may be compared in one table."""
        protocol = self.request.protocol
        conditions = protocol.model_dump(mode="json", exclude={"about", "against", "slices", "seeds"})
        truth = [
            [str(query.qid), query.vid, query.query, query.duration, query.windows]
            for query in self.report.queries
        ]
        return content_hash({"protocol": conditions, "truth": truth})

    def folder(self, out: Path) -> Path:
        """Return the folder of the run."""
        request = self.request
        return out / f"{request.recipe.name}@{request.protocol.name}-{self.hash[:HASH_DIGITS]}"


def plan_run(request: RunRequest, sources: Mapping[str, FeatureSource]) -> PlannedRun:
    """Return the stages of a request.

    Args:
        request: The recipe and the protocol.
        sources: The splits that it needs, by `request_key`.

    Raises:
        RunError: A stage trains or selects on queries that are to be scored.
    """
    report = sources[request_key(request.splits.report)]
    last = _spec(request, sources, 0, None)
    for index in range(1, len(request.resolved.stages)):
        last = _spec(request, sources, index, last)
    for spec in last.chain:
        _refuse_known_answers(request, spec, report)
    seeds = range(request.protocol.seeds if last.stage.seeds == "many" else 1)
    seeded = _with_own_chain if request.protocol.chains == "own" else _with_seed
    return PlannedRun(request, tuple(seeded(last, seed) for seed in seeds), report)


def _with_seed(last: StageSpec, seed: int) -> StageSpec:
    """Return a chain with a seed in its last stage; all seeds share the stages before it."""
    return replace(last, seed=seed)


def _with_own_chain(last: StageSpec, seed: int) -> StageSpec:
    """Return a chain with a seed in all of its stages."""
    parent = None if last.parent is None else _with_own_chain(last.parent, seed)
    return replace(last, seed=seed, parent=parent)


def request_key(request: FeatureRequest) -> str:
    """Return a text that is equal for equal requests."""
    dataset, features = (part.model_dump(mode="json") for part in (request.dataset, request.features))
    return json.dumps([dataset, request.split, features], sort_keys=True)


def versions(options: Sequence[BaseModel], registry: Registry) -> dict[str, str]:
    """Return the versions of all parts at any depth, by slot and name.

    A part of a third party counts with the version of its distribution, because we cannot know whether its
    authors raise `version` with every change.
    """
    return {f"{part.slot}/{part.use}": _version(part, registry) for part in parts_in(options)}


def _version(part: Part, registry: Registry) -> str:
    origin = registry.origin(part)
    if origin.distribution == _OURS:
        return str(part.version)
    return f"{part.version} ({origin.distribution} {origin.version})"


def _spec(
    request: RunRequest, sources: Mapping[str, FeatureSource], index: int, parent: StageSpec | None
) -> StageSpec:
    recipe = request.resolved
    role = recipe.stages[index].data
    return StageSpec(
        recipe=recipe,
        index=index,
        seed=0,
        train=tuple(sources[request_key(split)] for split in request.splits.training(role)),
        select=sources[request_key(request.splits.selection(role))],
        versions=versions([recipe.model, recipe.training], request.registry),
        threads=request.protocol.threads,
        device=request.device,
        parent=parent,
    )


def _refuse_known_answers(request: RunRequest, spec: StageSpec, report: FeatureSource) -> None:
    # By recording and sentence: published files give the same query other ids, windows and durations.
    scored = {(query.vid, query.query) for query in report.queries}
    for source, use in (*((train, "trains on") for train in spec.train), (spec.select, "selects on")):
        shared = len(scored & {(query.vid, query.query) for query in source.queries})
        if shared:
            split = request.protocol.splits.report
            raise RunError(
                f"{request.protocol_file}: the split {split!r} is to be scored, but the stage "
                f"{spec.stage.name!r} {use} {shared} of its {len(scored)} queries, so its metrics would mean "
                f"nothing. Report another split, or give the role {spec.stage.data!r} other data."
            )
