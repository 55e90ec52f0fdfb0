"""What a recipe does under a protocol: its stages, and the folder of its run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

from amrbench.config.load import Method, find_near
from amrbench.config.paths import without_paths
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.config.study import expand
from amrbench.content_hash import content_hash
from amrbench.data.feature_source import FeatureSource
from amrbench.data.required_splits import FeatureRequest, RequiredSplits
from amrbench.data.usable_splits import refuse_known_answers
from amrbench.errors import RecipeError
from amrbench.experiment.part_versions import versions
from amrbench.registry import Registry
from amrbench.training.stage_group import grouped_seeds, in_group
from amrbench.training.stage_spec import StageSpec, distinct_stages
from amrbench.training.store_layout import ENGINE

HASH_DIGITS = 8
"""Digits of the hash in the name of a run's folder."""


@dataclass(frozen=True, eq=False)
class RunRequest:
    """A recipe and a protocol, before any data is read.

    Attributes:
        method: The recipe and its text.
        protocol: As its file says, with the number of seeds that was asked for.
        protocol_file: The protocol's file.
        registry: Of the parts.
        device: That it is trained on.
        protocol_text: The content of the protocol's file when it was read, which the run keeps.
    """

    method: Method
    protocol: Protocol
    protocol_file: Path
    registry: Registry
    device: str
    protocol_text: bytes = b""

    @property
    def recipe(self) -> Recipe:
        """Return the recipe as its file says."""
        return self.method.recipe

    @cached_property
    def splits(self) -> RequiredSplits:
        """Return the splits that it needs."""
        return RequiredSplits(self.recipe, self.protocol, self.protocol_file)

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
        sources: Splits by `FeatureRequest.key`, at least those that it needs.
    """

    request: RunRequest
    chains: tuple[StageSpec, ...]
    sources: Mapping[str, FeatureSource]

    @property
    def report(self) -> FeatureSource:
        """Return the split that is scored."""
        return self.sources[self.request.splits.report.key]

    @property
    def stages(self) -> list[StageSpec]:
        """Return its stages, each once and after the stage that it starts from."""
        return distinct_stages(self.chains)

    @cached_property
    def hash(self) -> str:
        """Return the hash of all that determines the metrics."""
        resolved, protocol = self.request.resolved, self.request.protocol
        after_training = (resolved.soup, resolved.readout, *resolved.ranking)
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
        protocol = without_paths(self.request.protocol)
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


def compared_methods(
    methods: Iterable[Method], protocol: Protocol, protocol_file: Path, registry: Registry
) -> list[Method]:
    """Return what is run as well: the recipes of the protocol, and then those that recipes name.

    Raises:
        RecipeError: One is missing or wrong.
    """
    files = [find_near("recipe", name, protocol_file) for name in protocol.against]
    files += [find_near("recipe", name, one.source) for one in methods for name in one.recipe.against]
    return [method for file in files for method in expand(file, registry).methods]


def refuse_shared_names(requests: Sequence[RunRequest]) -> None:
    """Raise RecipeError if different recipes have one name: their rows could not be told apart."""
    for one, two in combinations(requests, 2):
        if one.recipe.name == two.recipe.name and one.resolved != two.resolved:
            raise RecipeError(
                f"{one.method.source} and {two.method.source} are different recipes with the name "
                f"{one.recipe.name!r}, so their results could not be told apart. Change 'name' in one of "
                "them."
            )


def distinct_splits(requests: Iterable[RunRequest]) -> dict[str, FeatureRequest]:
    """Return the splits that some requests need, each once, by `FeatureRequest.key`."""
    return {split.key: split for request in requests for split in request.splits.all}


def plan_run(request: RunRequest, sources: Mapping[str, FeatureSource]) -> PlannedRun:
    """Return the stages of a request.

    Args:
        request: The recipe and the protocol.
        sources: Splits by `FeatureRequest.key`, at least those that it needs.

    Raises:
        RunError: A stage trains or selects on queries that are to be scored.
    """
    recipe, splits = request.resolved, request.splits
    refuse_known_answers(splits, {key: source.queries for key, source in sources.items()})
    chain: list[StageSpec] = []
    for index, stage in enumerate(recipe.stages):
        spec = StageSpec(
            recipe=recipe,
            index=index,
            seed=0,
            train=tuple(sources[split.key] for split in splits.training(stage.data)),
            select=sources[splits.selection(stage.data).key],
            versions=versions([recipe.model, recipe.training_of(stage)], request.registry),
            threads=request.protocol.threads,
            device=request.device,
            parent=chain[-1] if chain else None,
        )
        chain.append(spec)
    last = chain[-1]
    seeds = request.protocol.seeds if last.stage.seeds == "many" else 1
    if request.protocol.chains == "own":
        chains = [_with_seed(last, seed) for seed in range(seeds)]
    else:
        groups = grouped_seeds(last, seeds)
        chains = [in_group(last, seed, group) for group in groups for seed in group]
    return PlannedRun(request, tuple(chains), sources)


def _with_seed(last: StageSpec, seed: int) -> StageSpec:
    """Return a chain with a seed in all of its stages."""
    return replace(last, seed=seed, parent=_with_seed(last.parent, seed) if last.parent else None)
