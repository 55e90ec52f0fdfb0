"""`amrbench check`: build a recipe, train one step on noise and predict. Needs no data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.feature_dataset import load_dataset, visit_rngs
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsInMemory
from amrbench.data.required_splits import RequiredSplits
from amrbench.errors import AmrbenchError, RecipeError
from amrbench.required_files import RequiredFile, missing_files
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.loop import fixed_numerics
from amrbench.training.predict import predict
from amrbench.types import BuildContext, FeatureWidths, Query, Rows, TrainingLength


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


def check_recipe(name: str, recipe: Recipe, protocol: Protocol) -> CheckResult:
    """Build all parts of a recipe as the protocol runs it, train one step on noise and predict.

    Args:
        name: The recipe's name in messages.
        recipe: As its file says.
        protocol: As its file says.

    Raises:
        RecipeError: A part cannot be built, or the parts do not work together.
    """
    resolved = protocol.resolve(recipe)
    backend = resolved.features.build()
    splits = RequiredSplits(recipe, protocol)
    for request in splits.all:
        request.dataset.build()
    try:
        with fixed_numerics(protocol.threads):
            widths = FeatureWidths(backend.audio_width, backend.text_width)
            criterion = _try_one_batch(resolved, widths, backend.hop)
    except AmrbenchError:
        raise
    except Exception as error:
        raise RecipeError(
            f"{name}: the parts are well-formed, but one batch does not pass through them: "
            f"{type(error).__name__}: {error}. Replace parts by those of recipes/cgdetr.yaml to find which "
            "one fails."
        ) from error
    return CheckResult(
        name,
        protocol.name,
        protocol.stand_in_note(recipe),
        parameters=_count(criterion),
        loss_parameters=_count(criterion.losses),
        missing=tuple(missing_files(splits.required_files)),
    )


def _try_one_batch(recipe: Recipe, widths: FeatureWidths, hop: float) -> Criterion:
    """Train one step on noise and predict; return the trained criterion."""
    dataset = load_dataset([noise_source(widths, hop)], recipe.limits)
    context = BuildContext(widths, 0, recipe.stages[0].input_dropout, dataset.window_widths())
    criterion, training = build_criterion(recipe, context), recipe.training
    batch, target = dataset.training_batch(
        range(len(dataset)),
        labels=training.targets.build(),
        augments=[part.build() for part in training.augment],
        rng_of=visit_rngs(0, 0),
    )
    updater = training.optimizer.build(criterion, TrainingLength(1, 1, training.clip))
    losses = updater.step(partial(criterion, batch, target))
    updater.end_epoch()
    for name, value in losses.terms.items():
        if not math.isfinite(float(value)):
            raise RecipeError(f"{recipe.name}: the loss term {name!r} is not finite on the first batch.")

    ranking = [part.build() for part in recipe.ranking]
    for moments in predict(criterion.model, dataset, device=torch.device("cpu"), ranking=ranking):
        if not np.isfinite(moments.windows).all():
            raise RecipeError(
                f"{recipe.name}: after one step the model predicts {moments.windows[0].tolist()}."
            )
    return criterion


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def noise_source(widths: FeatureWidths, hop: float) -> FeatureSource:
    """Return queries about three recordings of noise of different lengths, one of them with two windows."""
    queries = (
        Query("0", "noise", "a", 24.0, ((2.0, 7.0), (12.0, 20.0))),
        Query("1", "noise", "b", 17.0, ((3.0, 9.5),)),
        Query("2", "noise", "c", 9.0, ((0.0, 4.0),)),
    )
    audio = {query.vid: _noise(int(query.duration / hop), widths.audio) for query in queries}
    text = {qid: _noise(words, widths.text) for qid, words in (("0", 6), ("1", 1), ("2", 3))}
    features = EncoderFeatures(
        location="noise",
        encoder="noise",
        hop=hop,
        widths=widths,
        fingerprint="noise",
        audio=RowsInMemory(audio),
        text=RowsInMemory(text),
        text_by="qid",
    )
    return FeatureSource(queries, (features,))


def _noise(rows: int, width: int) -> Rows:
    return np.random.default_rng((rows, width)).standard_normal((rows, width)).astype(np.float32)
