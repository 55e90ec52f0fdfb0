"""Recipes: the method, as a file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter, ValidationError, model_validator

from amrbench.config.budgeted_fields import Replace, budgeted_names, with_replaced
from amrbench.errors import AmrbenchError, RecipeError, did_you_mean
from amrbench.functional.metrics import Metric
from amrbench.part import Part, Strict, budgeted, parts_in, problem, problem_at, unique
from amrbench.slots.data import AugmentPart, TargetsPart
from amrbench.slots.features import FeaturesPart
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import Limits, ModelPart
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
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
Rate = Annotated[float, Field(gt=0, le=1e9)]
"""A learning rate; the optimizer may have a narrower range."""


class Training(Strict):
    """How weights are trained; the same in every stage, but for a learning rate and a schedule of its own."""

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
    select_over: Literal[1, 3, 5, 7, 9] = Field(
        1,
        description="how many epochs in a row the metrics are averaged over to choose the one in the middle; "
        "fewer at the ends of a stage",
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
    lr: Rate | None = budgeted(
        None, "lr", description="learning rate of this stage; by default that of training.optimizer"
    )
    schedule: SchedulePart | None = Field(
        None, description="learning rate over this stage; by default that of training.optimizer"
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
        for index, loss in enumerate(self.training.losses):
            path = ("training", "losses", index)
            _require(path, loss, loss.requires, self.model)
            for view, names in loss.views.items():
                if view not in self.model.views:
                    raise problem_at(
                        path,
                        f"loss {loss.use!r} needs the view {view!r}, which {self.model.use!r} does not "
                        f"provide.{_provided(view, self.model.views)}",
                    )
                _require(path, loss, names, self.model)
        matcher = self.training.matcher
        _require(("training", "matcher"), matcher, matcher.requires, self.model)
        return self

    @model_validator(mode="after")
    def _readouts_get_their_tensors(self) -> Self:
        for index, readout in enumerate(self.training.readouts):
            _require(("training", "readouts", index), readout, readout.requires, self.model)
        _require(("readout",), self.readout, self.readout.requires, self.model)
        for index, step in enumerate(self.ranking):
            if fault := self.readout.evidence_fault(step, self.model.provides, "this model"):
                raise problem_at(("ranking", index), fault)
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
            raise problem_at(
                ("soup",),
                f"soup {self.soup.use!r} reads losses that training does not have: {', '.join(missing)}; "
                f"let its option 'losses' name some of {', '.join(own)}.",
            )
        return self

    @model_validator(mode="after")
    def _stages_are_a_chain(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise problem_at(("stages",), f"two stages have one name: {', '.join(names)}.")
        for index, stage in enumerate(self.stages[:-1]):
            if stage.seeds == "many":
                raise problem_at(
                    ("stages", index, "seeds"),
                    "only the last stage may run many seeds; the others are shared by all of them.",
                )
        if self.stages[-1].data != "target":
            raise problem_at(
                ("stages", len(names) - 1, "data"),
                "the last stage must train on 'target', which is what is scored.",
            )
        return self

    @model_validator(mode="after")
    def _stages_fit_the_optimizer(self) -> Self:
        optimizer = self.training.optimizer
        has_rate = "lr" in budgeted_names(optimizer)
        has_schedule = any(isinstance(part, SchedulePart) for part in parts_in(optimizer))
        for index, stage in enumerate(self.stages):
            who = f"the stage {stage.name!r} has"
            rate, schedule = (("stages", index, name) for name in ("lr", "schedule"))
            if stage.lr is not None and not has_rate:
                raise problem_at(
                    rate, f"{who} an 'lr', but 'training.optimizer' has no learning rate; leave it out."
                )
            if stage.schedule and not has_schedule:
                raise problem_at(
                    schedule, f"{who} a 'schedule', but 'training.optimizer' takes none; leave it out."
                )
            try:
                self.training_of(stage)
            except ValidationError as error:
                mistakes = "; ".join(mistake["msg"] for mistake in error.errors())
                text = f"{who} an 'lr' that 'training.optimizer' refuses: {mistakes}"
                raise problem_at(rate, text) from None
        return self

    def training_of(self, stage: Stage) -> Training:
        """Return how weights are trained in a stage.

        Its learning rate and its schedule take the place of those of the optimizer, however deep they are in
        optimizers around others.
        """

        def replace(value: object, name: str) -> object:
            if name == "lr" and stage.lr is not None:
                return stage.lr
            return stage.schedule if stage.schedule and isinstance(value, SchedulePart) else value

        if stage.lr is None and stage.schedule is None:
            return self.training
        return self.training.model_copy(update={"optimizer": with_replaced(self.training.optimizer, replace)})


def _require(path: tuple[int | str, ...], part: Part, names: frozenset[str], model: ModelPart) -> None:
    missing = sorted(names - model.provides.keys())
    if missing:
        raise problem_at(
            path,
            f"{part.slot} {part.use!r} requires {', '.join(missing)}, which no chosen part of {model.use!r} "
            f"provides.{_provided(missing[0], model.provides)}",
        )


def _provided(missing: str, provided: Collection[str]) -> str:
    """Return what a model provides, and which of it is near to what is missing, for a message."""
    return f"{did_you_mean(missing, provided)} It provides: {', '.join(sorted(provided)) or 'none'}."


_CAPS = ("width", "attention_heads", "feedforward", "layers", "dummies", "epochs")
"""Numbers of a budget that are upper limits."""


_RATE = TypeAdapter(Rate | None)
_RATES = TypeAdapter(Mapping[Role, Rate])


def _rates(value: object) -> object:
    """Return a learning rate, or one for each of some roles; a mistake is that of the one that was meant."""
    return _RATES.validate_python(value) if isinstance(value, Mapping) else _RATE.validate_python(value)


class Budget(Strict):
    """Numbers of a recipe that a protocol may replace, so that it fits the protocol's time.

    Sizes (width, attention heads, feedforward, layers, dummies) and epochs are upper limits; the rest is
    replaced. A learning rate is that of all stages, or of the stages of some roles.
    """

    epochs: Mapping[Role, Annotated[int, Field(ge=0, le=MOST_EPOCHS)]] = Field(default_factory=dict)
    width: int | None = Field(None, ge=1, le=1_000_000)
    attention_heads: int | None = Field(None, ge=1, le=64)
    feedforward: int | None = Field(None, ge=1, le=1_000_000)
    layers: int | None = Field(None, ge=1, le=1_000_000)
    dummies: int | None = Field(None, ge=1, le=1_000_000)
    batch: int | None = Field(None, ge=1, le=LARGEST_BATCH)
    lr: Annotated[
        Rate | Mapping[Role, Rate] | None,
        PlainValidator(_rates, json_schema_input_type=Rate | Mapping[Role, Rate] | None),
    ] = None
    warmup: float | None = Field(None, ge=0, le=1)
    input_dropout: float | None = Field(None, ge=0, lt=1)

    def of(self, recipe: Recipe) -> Recipe:
        """Return the recipe with this budget's numbers in place of its own.

        Raises:
            RecipeError: Each number is valid alone, but not together with the others.
        """
        numbers = {name: number for name, number in self if isinstance(number, int | float)}
        has_rate = "lr" in budgeted_names(recipe.training.optimizer)
        stages = tuple(self._stage(stage, has_rate=has_rate) for stage in recipe.stages)
        try:
            return with_replaced(recipe.model_copy(update={"stages": stages}), _by_numbers(numbers))
        except ValidationError as error:
            mistakes = "; ".join(mistake["msg"] for mistake in error.errors())
            raise RecipeError(
                f"the protocol's budget does not fit the recipe {recipe.name}: {mistakes}"
            ) from error

    def _stage(self, stage: Stage, *, has_rate: bool) -> Stage:
        """Return a stage with the numbers of its role."""
        rates = self.lr if isinstance(self.lr, Mapping) and has_rate else {}
        epochs = min(stage.epochs, self.epochs.get(stage.data, stage.epochs))
        return stage.model_copy(update={"epochs": epochs, "lr": rates.get(stage.data, stage.lr)})


def _by_numbers(numbers: Mapping[str, float]) -> Replace:
    """Return what replaces each budgeted field that has a number; an option that is None stays so."""

    def replace(value: object, name: str) -> object:
        if name not in numbers or value is None:
            return value
        number = numbers[name]
        return min(number, value) if name in _CAPS and isinstance(value, int) else number

    return replace
