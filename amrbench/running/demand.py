"""Which splits a recipe needs under a protocol, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe, Role
from amrbench.data.needs import Need
from amrbench.data.prepare import Wanted
from amrbench.slots import DatasetPart


@dataclass(frozen=True)
class Demand:
    """The data of a recipe.

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

    def training(self, role: Role) -> list[Wanted]:
        """Return the splits that a role trains on."""
        splits = self.protocol.splits.train if role == "target" else ("train",)
        return [self._wanted(self.protocol.data.of(role), split) for split in splits]

    def selection(self, role: Role) -> Wanted:
        """Return the split that chooses the epoch for a role."""
        split = self.protocol.splits.select if role == "target" else "val"
        return self._wanted(self.protocol.data.of(role), split)

    @property
    def report(self) -> Wanted:
        """Return the split that is predicted, and scored if its answers are public."""
        data = self.protocol.data
        return self._wanted(data.report or data.target, self.protocol.splits.report)

    @property
    def wanted(self) -> list[Wanted]:
        """Return all splits that are needed."""
        roles = dict.fromkeys(stage.data for stage in self.resolved.stages)
        used = [each for role in roles for each in (*self.training(role), self.selection(role))]
        return [*used, self.report]

    @property
    def needs(self) -> list[Need]:
        """Return all that must be at hand, each once."""
        return list(dict.fromkeys(need for each in self.wanted for need in each.needs))

    def _wanted(self, dataset: DatasetPart, split: str) -> Wanted:
        return Wanted(dataset, split, self.resolved.features)
