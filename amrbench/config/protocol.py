"""Protocols: the conditions under which recipes are run, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from amrbench.config.recipe import MOST_SEEDS, Budget, Name, Recipe
from amrbench.errors import RecipeError, did_you_mean
from amrbench.part import Chooser, Strict, problem, unique
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart


def _known_encoder(name: str, info: ValidationInfo) -> str:
    """Return the name of an encoder; one that no recipe can have would replace nothing."""
    if info.context is not None:
        cast("Chooser", info.context).find(FeaturesPart.slot, name)
    return name


class Data(Strict):
    """The dataset for each role."""

    pretrain: DatasetPart
    midtrain: DatasetPart
    target: DatasetPart
    report: DatasetPart | None = Field(
        None, description="dataset of the reported split; the target dataset by default"
    )

    def of(self, role: str) -> DatasetPart:
        """Return the dataset of a role.

        Raises:
            RecipeError: There is no such role.
        """
        datasets: dict[str, DatasetPart] = {name: dataset for name, dataset in self if dataset}
        if role not in datasets:
            raise RecipeError(
                f"there is no role {role!r}.{did_you_mean(role, datasets)} Roles: {', '.join(datasets)}."
            )
        return datasets[role]


class Splits(Strict):
    """How splits of the target data are used; other roles train on `train` and select on `val`."""

    train: Annotated[tuple[str, ...], AfterValidator(unique)] = Field(
        min_length=1, description="splits to train on"
    )
    select: str = Field(description="split that chooses the epoch")
    report: str = Field(description="split to predict, and to score if its annotations are public")

    @model_validator(mode="after")
    def _splits_differ(self) -> Self:
        for use, split in (("report", self.report), ("select", self.select)):
            if split in self.train:
                raise problem(f"the split {split!r} is trained on, so it cannot also be the one to {use}.")
        if self.select == self.report:
            raise problem(f"the split {self.report!r} is reported, so it cannot choose the epoch.")
        return self


class Protocol(Strict):
    """The conditions of a run. Results under different protocols never share a table."""

    name: Name
    version: int = Field(
        1, ge=1, le=1_000_000, description="raised when the protocol changes in a way that scores show"
    )
    about: str = ""
    data: Data
    stand_ins: Mapping[Annotated[str, AfterValidator(_known_encoder)], FeaturesPart] = Field(
        default_factory=dict, description="replacements of encoders that are not available, by their names"
    )
    budget: Budget = Budget()
    seeds: int = Field(1, ge=1, le=MOST_SEEDS, description="number of fine-tunes of each recipe")
    chains: Literal["shared", "own"] = Field(
        "shared",
        description="whether all fine-tunes share the earlier stages, or each has earlier stages of its own",
    )
    threads: int = Field(
        1, ge=1, le=256, description="threads of one training process; another number changes rounding"
    )
    splits: Splits
    against: tuple[Name, ...] = Field((), description="recipes to run as well, for the same table")
    slices: tuple[str, ...] = Field((), description="keys of the annotations to slice the table by")

    def resolve(self, recipe: Recipe) -> Recipe:
        """Return the recipe as this protocol runs it: with its stand-ins and within its budget."""
        features = recipe.features.replaced(self.stand_ins)
        return self.budget.of(recipe.model_copy(update={"features": features}))

    def stand_in_note(self, recipe: Recipe) -> str:
        """Return e.g. "mini-clap stands in for clap", or an empty string."""
        features = recipe.features
        encoders = [features] if features.use in self.stand_ins else features.encoders
        stand_ins = {
            part.use: self.stand_ins[part.use].use for part in encoders if part.use in self.stand_ins
        }
        return ", ".join(f"{stand_in} stands in for {name}" for name, stand_in in stand_ins.items())
