"""Recipes: the method, as a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from amrbench.errors import AmrbenchError, RecipeError
from amrbench.functional.metrics import Metric
from amrbench.part import Strict, budgeted, problem, unique
from amrbench.slots.data import AugmentPart, TargetsPart
from amrbench.slots.features import FeaturesPart
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import Limits, ModelPart
from amrbench.slots.optimizers import OptimizerPart
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import ReadoutPart
from amrbench.slots.soups import SoupPart

LONGEST_NAME = 100
"""Characters of a name; folders are called after recipe, protocol and stage."""
LARGEST_BATCH = 10_000
MOST_EPOCHS = 100_000
MOST_SEEDS = 1000

Role = Literal["pretrain", "midtrain", "target"]
"""What a dataset is for: many short clips, long synthetic clips, or the data of the task."""


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise problem(f"{name!r} becomes a file name: use small letters, digits and '-'.")
    if len(name) > LONGEST_NAME:
        raise problem(f"{name!r} becomes a file name: use at most {LONGEST_NAME} letters.")
    return name


def _metric_name(name: str) -> str:
    try:
        return Metric.parse(name).name
    except AmrbenchError as error:
        raise problem(str(error)) from None


Name = Annotated[str, AfterValidator(_file_name)]
MetricName = Annotated[str, AfterValidator(_metric_name)]


class Training(Strict):
    """How weights are trained; the same in every stage."""

    batch: int = budgeted(32, "batch", ge=1, le=LARGEST_BATCH, description="queries per step")
    clip: float = Field(0.1, ge=0, le=1e9, description="largest gradient norm of a step; 0 does not clip")
    targets: TargetsPart
    augment: Annotated[tuple[AugmentPart, ...], AfterValidator(unique)] = ()
    matcher: MatcherPart
    losses: Annotated[tuple[LossPart, ...], AfterValidator(unique)] = Field(min_length=1)
    optimizer: OptimizerPart
    readouts: Annotated[tuple[ReadoutPart, ...], AfterValidator(unique)] = Field(
        min_length=1,
        description="read-outs that are validated after each epoch; the weights that are best for each are "
        "kept, and the next stage starts from those of the first",
    )
    select: tuple[MetricName, ...] = Field(
        ("R1@0.7", "R1@0.5"),
        min_length=1,
        description="metrics on the selection split that choose the epoch; later ones break ties",
    )


class Stage(Strict):
    """One stage of training; it starts from the weights of the stage before."""

    name: Name
    data: Role
    epochs: int = budgeted(200, "epochs", ge=0, le=MOST_EPOCHS, description="passes over the training splits")
    input_dropout: float = budgeted(
        0.5, "input_dropout", ge=0, lt=1, description="dropout before the input projections"
    )
    seeds: Literal["one", "many"] = Field(
        "one", description="train once, or once for each seed of the protocol"
    )
    fresh: tuple[str, ...] = Field(
        (), description="modules of the model to initialise again, by path, e.g. query.anchors"
    )


class Recipe(Strict):
    """A method, complete in one file."""

    name: Name
    about: str = ""
    features: FeaturesPart
    limits: Limits = Limits()
    model: ModelPart
    training: Training
    stages: tuple[Stage, ...] = Field(min_length=1)
    soup: SoupPart
    readout: ReadoutPart
    ranking: Annotated[tuple[RankingPart, ...], AfterValidator(unique)] = ()
    against: tuple[Name, ...] = Field(
        (),
        description="recipes to run as well, for the same table; e.g. another read-out of the same stages",
    )

    @model_validator(mode="after")
    def _losses_get_their_tensors(self) -> Self:
        for loss in self.training.losses:
            who = f"loss {loss.use!r}"
            _require(who, loss.requires, self.model)
            for view, names in loss.views.items():
                if view not in self.model.views:
                    raise problem(
                        f"{who} needs the view {view!r}, which {self.model.use!r} does not provide."
                    )
                _require(who, names, self.model)
        _require(f"matcher {self.training.matcher.use!r}", self.training.matcher.requires, self.model)
        return self

    @model_validator(mode="after")
    def _readouts_get_their_tensors(self) -> Self:
        for readout in (*self.training.readouts, self.readout):
            _require(f"readout {readout.use!r}", readout.requires, self.model)
        for step in self.ranking:
            if fault := self.readout.evidence_fault(step, self.model.provides, "this model"):
                raise problem(fault)
        return self

    @property
    def selected_by(self) -> str:
        """Return the read-out in `training.readouts` whose best epoch the read-out of this recipe uses.

        It is the first of those that the read-out joins; the first of all where there is none of them.
        """
        kept = [readout.use for readout in self.training.readouts]
        return next((part.use for part in self.readout.readouts if part.use in kept), kept[0])

    @model_validator(mode="after")
    def _soup_gets_its_losses(self) -> Self:
        own = [loss.use for loss in self.training.losses]
        missing = sorted(self.soup.losses_read.difference(own))
        if missing:
            raise problem(
                f"soup {self.soup.use!r} reads losses that training does not have: {', '.join(missing)}; "
                f"let its option 'losses' name some of {', '.join(own)}."
            )
        return self

    @model_validator(mode="after")
    def _stages_are_a_chain(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise problem(f"two stages have one name: {', '.join(names)}.")
        if any(stage.seeds == "many" for stage in self.stages[:-1]):
            raise problem("only the last stage may run many seeds; the others are shared by all of them.")
        if self.stages[-1].data != "target":
            raise problem("the last stage must train on 'target', which is what is scored.")
        return self


def _require(who: str, names: frozenset[str], model: ModelPart) -> None:
    missing = sorted(names - model.provides.keys())
    if missing:
        raise problem(f"{who} requires {', '.join(missing)}, which no chosen part of {model.use!r} provides.")


S = TypeVar("S", bound=Strict)
_CAPS = ("width", "attention_heads", "feedforward", "layers", "dummies", "epochs")
"""Numbers of a budget that are upper limits."""


class Budget(Strict):
    """Numbers of a recipe that a protocol may replace, so that it fits the protocol's time.

    Sizes (width, attention heads, feedforward, layers, dummies) and epochs are upper limits; the rest is
    replaced.
    """

    epochs: Mapping[Role, Annotated[int, Field(ge=0, le=MOST_EPOCHS)]] = Field(default_factory=dict)
    width: int | None = Field(None, ge=1, le=1_000_000)
    attention_heads: int | None = Field(None, ge=1, le=64)
    feedforward: int | None = Field(None, ge=1, le=1_000_000)
    layers: int | None = Field(None, ge=1, le=1_000_000)
    dummies: int | None = Field(None, ge=1, le=1_000_000)
    batch: int | None = Field(None, ge=1, le=LARGEST_BATCH)
    lr: float | None = Field(None, gt=0, le=1e9)
    warmup: float | None = Field(None, ge=0, le=1)
    input_dropout: float | None = Field(None, ge=0, lt=1)

    def of(self, recipe: Recipe) -> Recipe:
        """Return the recipe with this budget's numbers in place of its own.

        Raises:
            RecipeError: Each number is valid alone, but not together with the others.
        """
        numbers = {name: number for name, number in self if name != "epochs" and number is not None}
        try:
            stages = tuple(
                _with_numbers(stage, numbers | {"epochs": self.epochs.get(stage.data, stage.epochs)})
                for stage in recipe.stages
            )
            return _with_numbers(recipe, numbers).model_copy(update={"stages": stages})
        except ValidationError as error:
            mistakes = "; ".join(mistake["msg"] for mistake in error.errors())
            raise RecipeError(
                f"the protocol's budget does not fit the recipe {recipe.name}: {mistakes}"
            ) from error


def _with_numbers(options: S, numbers: Mapping[str, float]) -> S:
    """Return the options, at any depth, with the budgeted numbers replaced and validated again."""
    fields = type(options).model_fields
    return type(options).model_validate(
        {name: _replaced(value, fields[name], numbers) for name, value in options}
    )


def _replaced(value: object, field: FieldInfo | None, numbers: Mapping[str, float]) -> object:
    """Return the new value of a field, or of an item of a tuple, which has no field."""
    if isinstance(value, Strict):
        return _with_numbers(value, numbers)
    if isinstance(value, tuple):
        return tuple(_replaced(item, None, numbers) for item in value)
    extra = field.json_schema_extra if field else None
    name = extra.get("budget") if isinstance(extra, dict) else None
    if not isinstance(name, str) or name not in numbers:
        return value
    number = numbers[name]
    if name not in _CAPS:
        return number
    return min(number, value) if isinstance(value, int) else value  # None: as another part, which has a limit
