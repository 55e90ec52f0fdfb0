"""`amrbench predict-checkpoint`: predict with the weights of another program, from published features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from pydantic_core import PydanticCustomError, ValidationError

from amrbench.data.cut_notes import note_cut_split
from amrbench.data.feature_dataset import load_dataset
from amrbench.data.published_features import published_source
from amrbench.errors import CheckpointError, RecipeError, dotted
from amrbench.evaluation.result import Fitted
from amrbench.files.annotations import NAMES_OF_FILES, read_annotations
from amrbench.files.archives import ARRAYS
from amrbench.files.atomic import refuse_replacing
from amrbench.files.folder_files import files_below
from amrbench.files.predictions import write_predictions
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.files.writable_folder import refuse_missing_parent
from amrbench.plugin_errors import naming_plugins
from amrbench.slots.checkpoint import CheckpointPart, ForeignModel
from amrbench.training.predict import predict
from amrbench.training.reading import Reading, build_reading
from amrbench.types import Moments, Query

if TYPE_CHECKING:
    from amrbench.config.recipe import Recipe
    from amrbench.registry import Registry


def predict_from_checkpoint(
    checkpoint: Path,
    *,
    features: Path,
    annotations: Path,
    output: Path,
    registry: Registry,
    recipe: Recipe | None = None,
) -> int:
    """Write the predictions of a foreign checkpoint for the queries of an annotation file.

    Args:
        checkpoint: A `torch.save` file with entries `model` and `opt`.
        features: A folder in the layout of `amrbench.data.published_features`.
        annotations: The queries; their windows are not used.
        output: The prediction file to write.
        registry: The installed parts; one of slot `checkpoint` must support the model.
        recipe: Its read-out and ranking are used, instead of those of the other program.

    Returns:
        The number of queries.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        DataError: Annotations or features are missing or wrong, or the output is an input or is not writable.
        RecipeError: The read-out or the ranking of the recipe cannot be used with the checkpoint.
    """
    refuse_missing_parent(output)
    refuse_replacing(output, chain([checkpoint, annotations], _feature_files(features)))
    foreign = load_foreign(checkpoint, registry)
    with naming_plugins(recipe or ()):
        own = Reading(foreign.readout, foreign.ranking)
        reading = reading_of(recipe, foreign) if recipe else own
        queries = read_annotations(annotations, NAMES_OF_FILES)
        predictions = predict_published(foreign, features, queries, reading)
    with_sentences = [
        replace(moments, query=query.query) for moments, query in zip(predictions, queries, strict=True)
    ]
    write_predictions(output, with_sentences)
    return len(predictions)


def _feature_files(folder: Path) -> Iterator[Path]:
    """Yield the feature files below a folder; other files there may be outputs."""
    if folder.is_dir():
        yield from (path for path in files_below(folder).files if path.suffix.lower() in ARRAYS)


def load_foreign(checkpoint: Path, registry: Registry) -> ForeignModel:
    """Read a foreign checkpoint with the part that its option `model_name` names.

    Raises:
        CheckpointError: The checkpoint is damaged, or no installed part supports its model.
    """
    content = read_checkpoint(checkpoint)
    name = content.options.get("model_name")
    if name is None:
        models = ", ".join(registry.names(CheckpointPart.slot)) or "none"
        raise CheckpointError(
            f"{checkpoint}: there is no option 'model_name' in 'opt', so it is not known which model the "
            f"weights belong to. Set it to the name of a checkpoint part ({models}) and save again."
        )
    try:
        part = cast("type[CheckpointPart]", registry.find(CheckpointPart.slot, name))
    except PydanticCustomError as error:
        raise CheckpointError(f"{checkpoint}: option 'model_name' is {name!r}; {error.message()}") from None
    try:
        return part().build(content)
    except ValidationError as error:
        mistakes = "; ".join(f"{dotted(item['loc'])}: {item['msg']}" for item in error.errors())
        raise CheckpointError(
            f"{checkpoint}: the model of its options cannot be built: {mistakes} Check its entry 'opt'."
        ) from error


def reading_of(recipe: Recipe, foreign: ForeignModel) -> Reading:
    """Return the read-out and the ranking of a recipe for a foreign model.

    Its training windows are not known, so the read-out gets no widths.

    Raises:
        RecipeError: They read what the model does not provide, or need a selection split.
    """
    readout, provided = recipe.readout, ", ".join(sorted(foreign.provides))
    missing = sorted(readout.requires - foreign.provides)
    if missing:
        raise RecipeError(
            f"{recipe.name}: readout {readout.use!r} requires {', '.join(missing)}, which the model of the "
            f"checkpoint does not provide. It provides: {provided}."
        )
    for step in recipe.ranking:
        if step.learns:
            raise RecipeError(
                f"{recipe.name}: ranking {step.use!r} learns from the selection split, but a checkpoint "
                "comes without one. Leave the step out, or let a recipe train the model."
            )
        if fault := readout.evidence_fault(step, foreign.provides, "the model of the checkpoint"):
            raise RecipeError(f"{recipe.name}: {fault}")
    return build_reading(recipe, Fitted(readout=readout.fit(())))


def predict_published(
    foreign: ForeignModel, features: Path, queries: Sequence[Query], reading: Reading
) -> list[Moments]:
    """Return the moments of each query in their order.

    Raises:
        DataError: Features are missing or wrong.
    """
    source = published_source(
        features,
        queries,
        audio=foreign.audio,
        text=foreign.text,
        widths=foreign.widths,
        hop=foreign.hop,
    )
    dataset = load_dataset([source], foreign.limits)
    note_cut_split(source.location, source, foreign.limits)
    return predict(foreign.model, dataset, reading, device=torch.device("cpu"))
