"""Protocols: the conditions under which a recipe is tried, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from amrbench.config.recipe import Budget, Name, Recipe
from amrbench.errors import RecipeError, did_you_mean
from amrbench.part import Strict, problem
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart


class Data(Strict):
    """Which data set plays which role."""

    pretrain: DatasetPart
    midtrain: DatasetPart
    target: DatasetPart
    report: DatasetPart | None = Field(
        None, description="where the split to report is from; without it, the target data"
    )

    def of(self, role: str) -> DatasetPart:
        """Return the data set of a role.

        Raises:
            RecipeError: There is no such role.
        """
        roles = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if role not in roles:
            raise RecipeError(
                f"there is no role {role!r}.{did_you_mean(role, roles)} Roles: {', '.join(roles)}."
            )
        part: DatasetPart = getattr(self, role)
        return part


class Splits(Strict):
    """What the splits of the target data are used for; the other roles train on `train`, select on `val`."""

    train: tuple[str, ...] = Field(min_length=1, description="splits that are trained on")
    select: str = Field(description="split that chooses the epoch")
    report: str = Field(description="split that is predicted, and scored if its answers are public")

    @model_validator(mode="after")
    def _score_nothing_that_was_trained_on(self) -> Self:
        for use, split in (("report", self.report), ("select", self.select)):
            if split in self.train:
                raise problem(f"the split {split!r} is trained on, so it cannot also be the one to {use}.")
        if self.select == self.report:
            raise problem(f"the split {self.report!r} is reported, so it cannot choose the epoch.")
        return self


class Protocol(Strict):
    """The conditions of a trial. Results under different protocols are never put into one table."""

    name: Name
    about: str = ""
    data: Data
    stand_ins: Mapping[str, FeaturesPart] = Field(
        default_factory=dict, description="what takes the place of an encoder that is not at hand"
    )
    budget: Budget = Budget()
    seeds: int = Field(1, ge=1, description="fine-tunes of a recipe")
    chains: Literal["shared", "own"] = Field(
        "shared",
        description="whether fine-tunes start from the same earlier stages, or each from stages of its own",
    )
    threads: int = Field(1, ge=1, description="threads of one training process; their number changes bits")
    splits: Splits
    against: tuple[Name, ...] = Field((), description="recipes that are run too and stand in the same table")
    slices: tuple[str, ...] = Field(
        (), description="keys of the annotations by which the table can be sliced"
    )

    def resolve(self, recipe: Recipe) -> Recipe:
        """Return the recipe as this protocol runs it: stand-ins and budget in place."""
        features = recipe.features.replaced(self.stand_ins)
        return self.budget.of(recipe.model_copy(update={"features": features}))

    def stand_in_note(self, recipe: Recipe) -> str:
        """Return e.g. "mini-clap stands in for clap", or an empty string."""
        whole = recipe.features
        names = [whole.use] if whole.use in self.stand_ins else [each.use for each in whole.encoders]
        found = {name: self.stand_ins[name].use for name in names if name in self.stand_ins}
        return ", ".join(f"{use} stands in for {name}" for name, use in found.items())
