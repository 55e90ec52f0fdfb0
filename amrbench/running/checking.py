"""Try a recipe without training it: build everything and push one batch of noise through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray

from amrbench.annotations import Query
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.needs import Need, missing
from amrbench.data.split import Split, load_split, visits
from amrbench.errors import AmrbenchError, RecipeError
from amrbench.running.demand import Demand
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.inference import predict
from amrbench.training.train import steady
from amrbench.types import Context, Plan, Widths

Rows = NDArray[np.float32]
_SECONDS = (24, 17, 9)
_WORDS = (6, 1, 3)


@dataclass(frozen=True)
class Checked:
    """A recipe that works under a protocol."""

    recipe: str
    protocol: str
    stand_ins: str
    parameters: int
    losses: int
    """Parameters of the losses, which are trained along and not needed afterwards."""
    missing: tuple[Need, ...]
    """What must be placed before it can run."""

    def text(self) -> str:
        """Return a line for people."""
        note = f"; {self.stand_ins}" if self.stand_ins else ""
        inside = f" ({self.losses:,} of them in losses)" if self.losses else ""
        return f"{self.recipe}: fine under {self.protocol}, {self.parameters:,} parameters{inside}{note}"


def check_recipe(called: str, recipe: Recipe, protocol: Protocol) -> Checked:
    """Build all of a recipe as the protocol runs it, train one step on noise and predict.

    Args:
        called: What messages call it.
        recipe: As its file says.
        protocol: As its file says.

    No data is needed: what must be placed before the recipe can run is listed.

    Raises:
        RecipeError: What it describes does not work.
    """
    resolved = protocol.resolve(recipe)
    backend = resolved.features.build()
    for each in Demand(recipe, protocol).wanted:
        each.dataset.build()
    try:
        with steady(protocol.threads):
            criterion = _tried(resolved, Widths(backend.audio_width, backend.text_width), backend.hop)
    except AmrbenchError:
        raise
    except Exception as error:
        raise RecipeError(
            f"{called}: the parts are well-formed, but one batch does not pass through them: "
            f"{type(error).__name__}: {error}. Exchange parts for those of recipes/cgdetr.yaml to find which."
        ) from error
    return Checked(
        called,
        protocol.name,
        protocol.stand_in_note(recipe),
        _count(criterion),
        _count(criterion.losses),
        tuple(missing(Demand(recipe, protocol).needs)),
    )


def _tried(recipe: Recipe, widths: Widths, hop: float) -> Criterion:
    split = load_split([Noise(widths, hop)], recipe.limits)
    context = Context(widths, 0, recipe.stages[0].input_dropout, split.window_widths())
    criterion = build_criterion(recipe, context)
    _one_step(recipe, criterion, split)
    moments = predict(
        criterion.model,
        split,
        device=torch.device("cpu"),
        ranking=[part.build() for part in recipe.ranking],
    )
    for each in moments:
        if not np.isfinite(each.windows).all():
            raise RecipeError(f"{recipe.name}: after one step the model predicts {each.windows[0].tolist()}.")
    return criterion


def _one_step(recipe: Recipe, criterion: Criterion, split: Split) -> None:
    training = recipe.training
    batch, target = split.training_batch(
        range(len(split)),
        labels=training.targets.build(),
        augments=[part.build() for part in training.augment],
        rng_of=visits(0, 0),
    )
    updater = training.optimizer.build(criterion, Plan(epochs=1, steps_per_epoch=1, clip=training.clip))
    losses = updater.step(partial(criterion, batch, target))
    updater.end_epoch()
    wrong = [name for name, value in losses.terms.items() if not math.isfinite(float(value))]
    if wrong:
        raise RecipeError(f"{recipe.name}: the loss term {wrong[0]!r} is not finite on the first batch.")


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class Noise:
    """Recordings of noise of different lengths, the first with two queries."""

    place = "noise"
    encoder = "noise"
    fingerprint = "noise"

    def __init__(self, widths: Widths, hop: float) -> None:
        self.widths = widths
        self.hop = hop

    @cached_property
    def queries(self) -> Sequence[Query]:
        """Return three queries, one of them with two windows."""
        first, second, third = (float(seconds) for seconds in _SECONDS)
        return (
            Query("0", "noise", "a", first, ((2.0, 7.0), (12.0, 20.0)), {}),
            Query("1", "noise", "b", second, ((3.0, 9.5),), {}),
            Query("2", "noise", "c", third, ((0.0, 4.0),), {}),
        )

    def check(self) -> None:
        """Find nothing wrong."""

    def audio(self, vid: str) -> Rows:
        """Return (T, Da) of a recording."""
        seconds = dict(zip("abc", _SECONDS, strict=True))[vid]
        return self._noise(int(seconds / self.hop), self.widths.audio)

    def text_key(self, query: Query) -> str:
        """Return the query's id: every query has its own text."""
        return str(query.qid)

    def text(self, query: Query) -> Rows:
        """Return (L, Dt) of a query; one of them has a single token."""
        return self._noise(_WORDS[int(query.qid)], self.widths.text)

    def _noise(self, rows: int, width: int) -> Rows:
        return np.random.default_rng((rows, width)).standard_normal((rows, width)).astype(np.float32)
