"""`amrbench check`: build a recipe, train one step on noise and predict. Needs no data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from amrbench.config.load import Method
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.required_splits import RequiredSplits
from amrbench.data.usable_splits import annotated_splits, refuse_missing_recordings, refuse_unusable
from amrbench.experiment.plan import compared_methods
from amrbench.registry import Registry
from amrbench.required_files import RequiredFile, missing_files
from amrbench.training.noise_step import step_on_noise


@dataclass(frozen=True)
class CheckResult:
    """A recipe that works under a protocol.

    Attributes:
        recipe: Its name in messages.
        protocol: Name of the protocol.
        stand_ins: Which encoders are replaced by stand-ins; empty for none.
        parameters: Trained parameters of the model and the losses.
        loss_parameters: Those of the losses, which prediction does not need.
        missing: Files that a run needs and that are not present.
    """

    recipe: str
    protocol: str
    stand_ins: str
    parameters: int
    loss_parameters: int
    missing: tuple[RequiredFile, ...]

    def text(self) -> str:
        """Return one line for people."""
        note = f"; {self.stand_ins}" if self.stand_ins else ""
        losses = f" ({self.loss_parameters:,} of them in losses)" if self.loss_parameters else ""
        return f"{self.recipe}: fine under {self.protocol}, {self.parameters:,} parameters{losses}{note}"


def check_recipe(name: str, recipe: Recipe, protocol: Protocol, protocol_file: Path) -> CheckResult:
    """Build all parts of a recipe as the protocol runs it, train one step on noise and predict.

    Args:
        name: The recipe's name in messages.
        recipe: As its file says.
        protocol: As its file says.
        protocol_file: Its file.

    Raises:
        RecipeError: A part cannot be built, or the parts do not work together.
        DataError: Annotation files that are present cannot be used for such a run.
    """
    splits = RequiredSplits(recipe, protocol, protocol_file)
    criterion = step_on_noise(splits)
    annotated, missing = annotated_splits(splits.all), missing_files(splits.required_files)
    refuse_unusable(splits, annotated)
    if not missing:
        refuse_missing_recordings(annotated.values())
    return CheckResult(
        name,
        protocol.name,
        protocol.stand_in_note(recipe),
        parameters=_count(criterion),
        loss_parameters=_count(criterion.losses),
        missing=tuple(missing),
    )


def compared_recipes(
    checked: Sequence[Method], protocol: Protocol, protocol_file: Path, registry: Registry
) -> list[Recipe]:
    """Return the recipes that are run together with others, and that are not checked yet.

    Raises:
        RecipeError: One is missing or wrong.
    """
    known = [method.recipe for method in checked]
    methods = compared_methods(checked, protocol, protocol_file, registry)
    return [method.recipe for method in methods if method.recipe not in known]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
