"""Predict with the weights of another program, from published features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from pydantic_core import PydanticCustomError

from amrbench.annotations import Query, read_annotations
from amrbench.data.split import load_split
from amrbench.errors import CheckpointError
from amrbench.files.checkpoints import read_checkpoint
from amrbench.files.predictions import Moments, write_predictions
from amrbench.files.published import PublishedFeatures
from amrbench.slots import CheckpointPart
from amrbench.training.inference import Ranking, predict
from amrbench.types import ForeignModel

if TYPE_CHECKING:
    from amrbench.registry import Registry


def predict_from_checkpoint(
    checkpoint: Path, *, features: Path, annotations: Path, output: Path, registry: Registry
) -> int:
    """Write the moments that a foreign checkpoint finds for each query of an annotation file.

    Args:
        checkpoint: A `torch.save` file with entries `model` and `opt`.
        features: A folder in the layout of `amrbench.files.published`.
        annotations: The queries; their windows are not looked at.
        output: The prediction file to write.
        registry: The installed parts; one of slot `checkpoint` must know the model.

    Returns:
        The number of queries.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        DataError: Annotations or features are missing or wrong, or the output cannot be written.
    """
    foreign = load_foreign(checkpoint, registry)
    queries = read_annotations(annotations)
    found = predict_published(foreign, features, queries, ranking=foreign.ranking)
    said = [replace(each, query=query.query) for each, query in zip(found, queries, strict=True)]
    write_predictions(output, said)
    return len(said)


def load_foreign(checkpoint: Path, registry: Registry) -> ForeignModel:
    """Read a foreign checkpoint with the part that knows its model.

    Raises:
        CheckpointError: The checkpoint is damaged, or no part knows its model.
    """
    content = read_checkpoint(checkpoint)
    name = content.options.get("model_name")
    try:
        part = cast("type[CheckpointPart]", registry.find(CheckpointPart.slot, name))
    except PydanticCustomError as error:
        raise CheckpointError(f"{checkpoint}: option 'model_name' is {name!r}; {error.message()}") from None
    return part().build(content)


def predict_published(
    foreign: ForeignModel, features: Path, queries: Sequence[Query], *, ranking: Sequence[Ranking] = ()
) -> list[Moments]:
    """Return the moments of queries in their order; without ranking steps as the model gives them.

    Raises:
        DataError: Features are missing or wrong.
    """
    source = PublishedFeatures(features, foreign.audio, foreign.text, queries, foreign.widths, foreign.hop)
    split = load_split([source], foreign.limits)
    return predict(foreign.model, split, device=torch.device("cpu"), ranking=ranking)
