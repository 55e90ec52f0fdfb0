"""Try a recipe without training it: build everything and push one batch of noise through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.feature_dataset import FeatureDataset, load_dataset, visit_rngs
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsInMemory
from amrbench.errors import AmrbenchError, RecipeError
from amrbench.experiment.plan import RequiredSplits
from amrbench.required_files import RequiredFile, missing_files
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.loop import fixed_numerics
from amrbench.training.predict import predict
from amrbench.types import BuildContext, FeatureWidths, Query, Rows, TrainingLength

_SECONDS = (24, 17, 9)
_WORDS = (6, 1, 3)


@dataclass(frozen=True)
class CheckResult:
    """A recipe that works under a protocol."""

    recipe: str
    protocol: str
    stand_ins: str
    parameters: int
    losses: int
    """Parameters of the losses, which are trained with the model and not needed afterwards."""
    missing: tuple[RequiredFile, ...]
    """Files that must be provided before it can run."""

    def text(self) -> str:
        """Return a line for people."""
        note = f"; {self.stand_ins}" if self.stand_ins else ""
        inside = f" ({self.losses:,} of them in losses)" if self.losses else ""
        return f"{self.recipe}: fine under {self.protocol}, {self.parameters:,} parameters{inside}{note}"


def check_recipe(called: str, recipe: Recipe, protocol: Protocol) -> CheckResult:
    """Build all of a recipe as the protocol runs it, train one step on noise and predict.

    Args:
        called: What messages call it.
        recipe: As its file says.
        protocol: As its file says.

    No data is needed: files that must be provided before the recipe can run are listed.

    Raises:
        RecipeError: What it describes does not work.
    """
    resolved = protocol.resolve(recipe)
    backend = resolved.features.build()
    splits = RequiredSplits(recipe, protocol)
    for request in splits.all:
        request.dataset.build()
    try:
        with fixed_numerics(protocol.threads):
            criterion = _try_one_batch(
                resolved, FeatureWidths(backend.audio_width, backend.text_width), backend.hop
            )
    except AmrbenchError:
        raise
    except Exception as error:
        raise RecipeError(
            f"{called}: the parts are well-formed, but one batch does not pass through them: "
            f"{type(error).__name__}: {error}. Exchange parts for those of recipes/cgdetr.yaml to find which."
        ) from error
    return CheckResult(
        called,
        protocol.name,
        protocol.stand_in_note(recipe),
        _count(criterion),
        _count(criterion.losses),
        tuple(missing_files(splits.required_files)),
    )


def _try_one_batch(recipe: Recipe, widths: FeatureWidths, hop: float) -> Criterion:
    dataset = load_dataset([noise_source(widths, hop)], recipe.limits)
    context = BuildContext(widths, 0, recipe.stages[0].input_dropout, dataset.window_widths())
    criterion = build_criterion(recipe, context)
    _one_step(recipe, criterion, dataset)
    moments = predict(
        criterion.model,
        dataset,
        device=torch.device("cpu"),
        ranking=[part.build() for part in recipe.ranking],
    )
    for predicted in moments:
        if not np.isfinite(predicted.windows).all():
            raise RecipeError(
                f"{recipe.name}: after one step the model predicts {predicted.windows[0].tolist()}."
            )
    return criterion


def _one_step(recipe: Recipe, criterion: Criterion, dataset: FeatureDataset) -> None:
    training = recipe.training
    batch, target = dataset.training_batch(
        range(len(dataset)),
        labels=training.targets.build(),
        augments=[part.build() for part in training.augment],
        rng_of=visit_rngs(0, 0),
    )
    length = TrainingLength(epochs=1, steps_per_epoch=1, clip=training.clip)
    updater = training.optimizer.build(criterion, length)
    losses = updater.step(partial(criterion, batch, target))
    updater.end_epoch()
    wrong = [name for name, value in losses.terms.items() if not math.isfinite(float(value))]
    if wrong:
        raise RecipeError(f"{recipe.name}: the loss term {wrong[0]!r} is not finite on the first batch.")


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def noise_source(widths: FeatureWidths, hop: float) -> FeatureSource:
    """Return three queries about recordings of noise of different lengths, one of them with two windows."""
    first, second, third = (float(seconds) for seconds in _SECONDS)
    queries = (
        Query("0", "noise", "a", first, ((2.0, 7.0), (12.0, 20.0)), {}),
        Query("1", "noise", "b", second, ((3.0, 9.5),), {}),
        Query("2", "noise", "c", third, ((0.0, 4.0),), {}),
    )
    audio = {query.vid: _noise(int(query.duration / hop), widths.audio) for query in queries}
    text = {str(query.qid): _noise(words, widths.text) for query, words in zip(queries, _WORDS, strict=True)}
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
