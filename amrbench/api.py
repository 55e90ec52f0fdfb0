"""The Python interface: the code behind the commands, with the parts of all installed plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amrbench.config import load
from amrbench.discovery import load_registry
from amrbench.evaluation.score_files import ScoreReport, score_files

if TYPE_CHECKING:
    from amrbench.config.protocol import Protocol
    from amrbench.config.recipe import Recipe
    from amrbench.experiment.run import Run, Settings
    from amrbench.registry import Registry
    from amrbench.tools.predict_audio import Answers
    from amrbench.training.progress_bars import Reporter


def load_recipe(recipe: str | Path, registry: Registry | None = None) -> Recipe:
    """Read and check a recipe.

    Args:
        recipe: A file, or the name of a shipped recipe.
        registry: The parts that it may name; None for all installed ones.

    Raises:
        RecipeError: There is no such recipe, or it is wrong; the text lists all mistakes with their lines.
    """
    return load.load_recipe(recipe, registry or load_registry())


def load_protocol(protocol: str | Path, registry: Registry | None = None) -> Protocol:
    """Read and check a protocol; see `load_recipe`."""
    return load.load_protocol(protocol, registry or load_registry())


def run(
    recipe: str | Path,
    protocol: str | Path = "synthetic",
    *,
    registry: Registry | None = None,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Prepare data, train, predict and score as a recipe and a protocol say.

    See `amrbench.experiment.run.run`.

    Raises:
        AmrbenchError: A file, the data or the training is wrong; the text names the remedy.
    """
    from amrbench.experiment import run as experiment
    from amrbench.training.progress_bars import NULL_REPORTER

    return experiment.run(
        recipe,
        protocol,
        registry=registry or load_registry(),
        settings=settings or experiment.Settings(),
        reporter=reporter or NULL_REPORTER,
    )


def score(
    predictions: str | Path, truth: str | Path, *, partial: bool = False, by: str | None = None
) -> ScoreReport:
    """Score a prediction file against an annotation file; see `amrbench.evaluation.score_files.score_files`.

    Raises:
        DataError: A file is wrong, or the two files have different queries.
    """
    return score_files(Path(predictions), Path(truth), partial=partial, by=by)


def predict(
    recording: str | Path,
    queries: Sequence[str],
    *,
    run: str | Path | None = None,
    member: str = "",
    cache: str | Path | None = None,
    registry: Registry | None = None,
) -> Answers:
    """Find moments in a recording with the model of a finished run.

    Args:
        recording: A file (WAV, FLAC, OGG, MP3, AIFF, AU, CAF or W64) of any rate and length.
        queries: What to find, one sentence each.
        run: Folder of the run; None for the newest finished one in `runs`.
        member: Which of its models predicts; empty for its first soup, else the first model that its `soup`
            names, else seed 0.
        cache: The cache folder of the run, if its `Settings` named one.
        registry: The parts that its recipe may name; None for all installed ones.

    Raises:
        DataError: The recording or a query cannot be used, or files of the encoder are missing.
        RunError: There is no such run or member, or its weights are missing.
        RecipeError: A part of the run is not installed.
    """
    from amrbench.experiment.finished_run import find_run, open_run
    from amrbench.tools.predict_audio import find_moments

    folder = find_run(None if run is None else Path(run))
    finished = open_run(
        folder, registry or load_registry(), member=member, cache=None if cache is None else Path(cache)
    )
    return find_moments(Path(recording), queries, finished)


def predict_checkpoint(
    checkpoint: str | Path,
    *,
    features: str | Path,
    annotations: str | Path,
    output: str | Path,
    registry: Registry | None = None,
) -> int:
    """Write the predictions of a reference checkpoint from published features; return the number of queries.

    See `amrbench.tools.predict_checkpoint.predict_from_checkpoint`.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        DataError: Annotations or features are missing or wrong, or the output cannot be written.
    """
    from amrbench.tools.predict_checkpoint import predict_from_checkpoint

    return predict_from_checkpoint(
        Path(checkpoint),
        features=Path(features),
        annotations=Path(annotations),
        output=Path(output),
        registry=registry or load_registry(),
    )
