"""Build a recipe, train one step on noise and predict: what fails here would fail in a run, after hours.

`amrbench check`, `amrbench run` and its `--dry-run` do so, with the same messages.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch

from amrbench.config.recipe import Recipe
from amrbench.data.feature_dataset import FeatureDataset, load_dataset, visit_rngs
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsInMemory
from amrbench.data.out_of_memory import explained_memory
from amrbench.data.required_splits import RequiredSplits
from amrbench.errors import AmrbenchError, RecipeError
from amrbench.interfaces import ResultError, checked_result
from amrbench.plugin_errors import naming_plugins, third_party_parts, third_party_test
from amrbench.slots.model import ModelPart
from amrbench.slots.readout import Readout
from amrbench.training.block_calls import provided_fault, recorded_calls, refuse_wrong_results
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.numerics import fixed_numerics
from amrbench.training.predict import predict, ranked, read
from amrbench.training.reading import Examples, build_reading, fit_reading, fit_readouts
from amrbench.types import Batch, BuildContext, FeatureWidths, Losses, Moments, Query, Rows, TrainingLength

COPIES = 20
"""Of each query on noise, for ranking steps that learn."""
_SMALLER = "One batch of three queries does not fit: lower the widths, layers and counts of its parts."


def step_on_noise(splits: RequiredSplits) -> Criterion:
    """Build all parts of a recipe as its protocol runs it, train one step on noise and predict.

    Returns:
        The trained model with its losses.

    Raises:
        RecipeError: A part cannot be built, or the parts do not work together.
        RunError: The parts ask for more memory than there is.
        PluginError: A part of a third party fails.
    """
    name, resolved = splits.recipe.name, splits.resolved
    with naming_plugins(resolved):
        backend = resolved.features.build()
        for request in splits.all:
            request.dataset.build()
    try:
        with (
            naming_plugins(resolved),
            fixed_numerics(splits.protocol.threads),
            explained_memory(name, _SMALLER),
        ):
            widths = FeatureWidths(backend.audio_width, backend.text_width)
            return _one_batch(resolved, widths, backend.hop)
    except AmrbenchError:
        raise
    except Exception as error:
        raise RecipeError(
            f"{name}: the parts are well-formed, but one batch does not pass through them: "
            f"{type(error).__name__}: {error}. {_suspects(resolved)}"
        ) from error


def _suspects(recipe: Recipe) -> str:
    """Return which parts may have made the others fail, as sentences."""
    parts = third_party_parts(recipe)
    if not parts:
        return "Replace parts by those of recipes/cgdetr.yaml to find which one fails."
    return (
        f"Parts of third parties in it: {', '.join(parts)}. Try each with amrbench.testing.check_part "
        "(docs/plugins.md), or leave it out."
    )


def _one_batch(recipe: Recipe, widths: FeatureWidths, hop: float) -> Criterion:
    """Train one step on noise and predict; return the trained criterion."""
    dataset = load_dataset([noise_source(widths, hop)], recipe.limits)
    context = BuildContext(widths, 0, recipe.stages[0].input_dropout, dataset.window_widths())
    criterion, training = build_criterion(recipe, context), recipe.training
    batch, target = dataset.training_batch(
        dataset.trainable,
        labels=training.targets.build(),
        augments=[part.build(dataset) for part in training.augment],
        rng_of=visit_rngs(0, 0),
    )
    length = TrainingLength(1, 1, training.clip)
    updater, *_ = [recipe.training_of(stage).optimizer.build(criterion, length) for stage in recipe.stages]
    with recorded_calls(criterion.model, third_party_test()) as calls:
        try:
            losses = updater.step(partial(criterion, batch, target))
            _refuse_other_tensors(recipe.model, criterion.model, batch)
        finally:
            refuse_wrong_results(calls)  # What a block returned may be why another one fails.
    losses = checked_result(updater, "step", losses, Losses)
    updater.end_epoch()
    for name, value in losses.terms.items():
        if not math.isfinite(float(value)):
            raise RecipeError(f"{recipe.name}: the loss term {name!r} is not finite on the first batch.")

    recipe.soup.build()  # It has nothing to do here, but a run should not find out at its end.
    for moments in _predicted(recipe, criterion.model, dataset):
        if not np.isfinite(moments.windows).all():
            raise RecipeError(
                f"{recipe.name}: after one step the model predicts {moments.windows[0].tolist()}."
            )
    return criterion


def _predicted(recipe: Recipe, model: torch.nn.Module, dataset: FeatureDataset) -> list[Moments]:
    """Return the moments of the recipe's read-out after its ranking, and of the others without ranking."""
    queries, widths, device = dataset.queries, dataset.window_widths(), torch.device("cpu")

    def examples(readout: Readout) -> Examples:
        return (
            list(zip(read(model, dataset, {"": readout}, device=device)[""], queries, strict=True)) * COPIES
        )

    reading = build_reading(recipe, fit_reading(recipe, widths, examples))
    others = read(model, dataset, fit_readouts(recipe.training.readouts, widths), device=device).values()
    return [
        *predict(model, dataset, reading, device=device),
        *(moments for own in others for moments in ranked(own, queries, ())),
    ]


@torch.no_grad()
def _refuse_other_tensors(part: ModelPart, model: torch.nn.Module, batch: Batch) -> None:
    """Raise ResultError if a model provides other tensors than it declares."""
    encoded = model.encode(batch, views=part.views)  # type: ignore[operator]
    fault, owner = provided_fault(part, batch, encoded, model.decode(encoded))  # type: ignore[operator]
    if fault:
        raise ResultError(fault, type(owner), "build")


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
