"""The command line: each command parses its arguments, calls one function and prints the result.

Heavy imports are inside the commands, so that `--help` and `score` do not import torch. Exit codes: 0
success, 1 a bug (with a traceback), 2 an error of the user's input or files (one message).
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amrbench.cli.data import data
from amrbench.cli.options import AsJson, Format, FormatOption, ProtocolName, Without, print_table, registry_of
from amrbench.errors import AmrbenchError

if TYPE_CHECKING:
    from amrbench.required_files import RequiredFile

app = typer.Typer(
    name="amrbench",
    help="Benchmark suite for Audio Moment Retrieval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data, name="data")


def main() -> None:
    """Run the command line; user errors become one message and exit code 2."""
    try:
        app()
    except AmrbenchError as error:
        _stop(str(error))
    except OSError as error:
        # With a file name it is a problem of the user's files; without one it is a bug.
        if not isinstance(error.filename, str | bytes | PathLike):
            raise
        _stop(
            f"{os.fsdecode(error.filename)}: {error.strerror or error}. Check that it is the right file or "
            "folder, that it may be read and written, and that the disk is not full."
        )


def _stop(text: str) -> None:
    typer.echo(f"error: {text}", err=True)
    sys.exit(2)


@app.command()
def run(
    recipes: Annotated[list[str], typer.Argument(help="recipes or studies by shipped name or file")],
    protocol: ProtocolName = "synthetic",
    seeds: Annotated[int | None, typer.Option(min=1, help="number of seeds [that of the protocol]")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="parallel processes [one a core; one to train on a GPU]")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of the runs")] = Path("runs"),
    by: Annotated[str, typer.Option(help="show the slices of this annotation key, e.g. kind")] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="only list the work and estimate its cost")] = False,
    form: FormatOption = Format.github,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Run recipes or studies: prepare data, train, predict, score, and print tables with comparisons."""
    from amrbench.config.study import expand
    from amrbench.evaluation.study_table import study_tables, with_more
    from amrbench.evaluation.table import table
    from amrbench.experiment.run import Settings, compare_with_baseline, run_all
    from amrbench.tools.dry_run import dry_run
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    settings = Settings(seeds=seeds, device=device, jobs=jobs, out=out)
    shown_as = Format.json if as_json else form
    runnables = [expand(recipe, registry) for recipe in recipes]
    if dry:
        forecast = dry_run(runnables, protocol, registry=registry, settings=settings)
        typer.echo(json.dumps(forecast.as_json(), indent=2) if shown_as is Format.json else forecast.text())
        return
    with progress() as reporter:
        runs = run_all(runnables, protocol, registry=registry, settings=settings, reporter=reporter)
    rows = table([results for run in runs for results in run.all_results], shown_as.value, by=by)
    tables = study_tables(runnables, [run.results for run in runs])
    typer.echo(with_more(rows, tables or compare_with_baseline(runs), shown_as.value))


@app.command()
def parts(
    slot: Annotated[str | None, typer.Argument(help="only this slot")] = None,
    name: Annotated[str | None, typer.Argument(help="the options of this part")] = None,
    without: Without = None,
    form: FormatOption = Format.github,
) -> None:
    """List the installed parts, or the options of one part."""
    from amrbench.tools import list_parts

    registry = registry_of(without)
    if slot is not None and name is not None:
        part = list_parts.find_part(registry, slot, name)
        if form is not Format.json:
            typer.echo(f"{slot} part '{name}', from {registry.origin(part)}\n\n{inspect.getdoc(part)}\n")
        print_table([vars(row) for row in list_parts.option_rows(part)], form)
    else:
        print_table([vars(row) for row in list_parts.part_rows(registry, slot)], form)


class Kind(StrEnum):
    """What a schema describes."""

    recipe = "recipe"
    protocol = "protocol"


@app.command()
def schema(
    kind: Annotated[Kind, typer.Argument(help="what the schema describes")] = Kind.recipe,
    without: Without = None,
) -> None:
    """Print a JSON Schema for editors, with all installed parts."""
    from amrbench.tools import json_schema

    typer.echo(json.dumps(json_schema.schema(kind.value, registry_of(without)), indent=2))


@app.command()
def check(
    recipes: Annotated[
        list[str] | None,
        typer.Argument(help="recipes or studies by name or file [all shipped recipes]"),
    ] = None,
    protocol: ProtocolName = "synthetic",
    without: Without = None,
) -> None:
    """Check recipes and studies: read and build each recipe, and train one step on noise.

    No data is needed. Files that a run needs and that are missing are listed, with where they are published.
    """
    from amrbench.config.load import load_protocol, shipped
    from amrbench.config.study import expand
    from amrbench.tools.check_recipe import check_recipe

    registry = registry_of(without)
    rules = load_protocol(protocol, registry)
    failed: list[str] = []
    missing: list[RequiredFile] = []
    for name in recipes or [file.stem for file in shipped("recipe")]:
        try:
            methods = expand(name, registry).methods
        except AmrbenchError as error:
            failed.append(str(error))
            continue
        for method in methods:
            recipe_name = name if len(methods) == 1 else method.recipe.name
            try:
                result = check_recipe(recipe_name, method.recipe, rules)
                typer.echo(result.text())
                missing += result.missing
            except AmrbenchError as error:
                failed.append(str(error))
    if missing:
        typer.echo("\nMissing files that a run needs:")
    for file in dict.fromkeys(missing):
        typer.echo(f"  {file.text()}")
    if failed:
        raise AmrbenchError("\n\n".join(failed))


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="JSON lines with qid, vid, pred_relevant_windows")],
    truth: Annotated[Path, typer.Option(help="JSON lines with qid, query, duration, vid, relevant_windows")],
    partial: Annotated[
        bool, typer.Option("--partial", help="score the queries that both files have")
    ] = False,
    by: Annotated[str | None, typer.Option(help="score each value of this annotation key too")] = None,
    k: Annotated[list[int] | None, typer.Option("--k", help="R@k; may be repeated [1, 5]")] = None,
    iou: Annotated[
        list[float] | None, typer.Option("--iou", help="threshold of R@k; may be repeated [0.5, 0.7]")
    ] = None,
    form: FormatOption = Format.github,
    as_json: AsJson = False,
) -> None:
    """Score any prediction file as the official evaluator does, and R@5."""
    from amrbench.evaluation.score_files import score_files
    from amrbench.functional.metrics import metrics_at

    metrics = metrics_at(k or (1, 5), iou or (0.5, 0.7))
    report = score_files(predictions, truth, partial=partial, by=by, metrics=metrics)
    for note in report.notes():
        typer.echo(note, err=True)
    if as_json or form is Format.json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        print_table([dict(zip(report.headers(), row, strict=True)) for row in report.rows()], form)


@app.command()
def compare(
    sources: Annotated[
        list[Path], typer.Argument(help="run folders, prediction files, or folders with one for each seed")
    ],
    against: Annotated[
        Path | None, typer.Option(help="source that the others are compared with [the first]")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="annotations of the prediction files")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="e.g. R5@0.5; may be repeated [R1@0.5, R1@0.7, mAP]")
    ] = None,
    form: FormatOption = Format.github,
    as_json: AsJson = False,
) -> None:
    """Compare runs or prediction files query by query: difference, 95 % interval and p-value."""
    from amrbench.evaluation.compare import METRICS
    from amrbench.evaluation.compare import compare as compare_all

    comparison = compare_all(sources, against=against, truth=truth, metrics=metric or METRICS)
    typer.echo(comparison.text(Format.json.value if as_json else form.value))


@app.command()
def fuse(
    sources: Annotated[
        list[Path], typer.Argument(help="run folders, prediction files, or folders with one for each seed")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="prediction file to write")],
    iou: Annotated[
        float, typer.Option(min=0.01, max=1, help="least IoU of moments that are fused into one")
    ] = 0.5,
    bounds: Annotated[
        str, typer.Option(help="start and end: leader, of the best moment; mean, of all fused ones")
    ] = "leader",
    points: Annotated[
        str, typer.Option(help="score: agreement, mean of each file's best with 0 for none; mean; max")
    ] = "agreement",
    weight: Annotated[list[float] | None, typer.Option(help="weight of a file; repeat it for each")] = None,
    top: Annotated[int, typer.Option(min=1, help="moments to keep for each query")] = 10,
) -> None:
    """Fuse the predictions of several models into one file: an ensemble."""
    from amrbench.evaluation.ensemble import EnsembleOptions, fuse_files

    options = EnsembleOptions(iou, bounds, points, tuple(weight) if weight else None, top)
    files, queries = fuse_files(sources, output, options)
    typer.echo(f"{output}: {queries} queries, from {files} prediction files", err=True)


@app.command()
def predict(
    recording: Annotated[Path, typer.Argument(help="audio file of any format, rate and length")],
    queries: Annotated[list[str], typer.Argument(help="what to find, one sentence each")],
    run: Annotated[Path | None, typer.Option(help="folder of a finished run [the newest in 'runs']")] = None,
    member: Annotated[
        str, typer.Option(help="which of its models predicts [its first soup, or seed 0]")
    ] = "",
    top: Annotated[int, typer.Option(min=1, help="moments to show for each query")] = 5,
    plot: Annotated[Path | None, typer.Option(help="picture to write: .png, .pdf or .svg")] = None,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Find moments in a recording with the model of a finished run."""
    from amrbench.experiment.finished_run import find_run, open_run
    from amrbench.tools.plot_timeline import draw, refuse_unwritable
    from amrbench.tools.predict_audio import find_moments
    from amrbench.training.progress_bars import progress

    if plot is not None:
        refuse_unwritable(plot)
    finished = open_run(find_run(run), registry_of(without), member=member)
    with progress() as reporter:
        result = find_moments(recording, queries, finished, report=reporter.data)
    if as_json:
        typer.echo(json.dumps(result.as_json(top), indent=2))
    else:
        typer.echo("\n".join(result.heading()))
        for answer in result.answers:
            typer.echo(f"\n{answer.query}")
            for start, end, points in answer.moments[:top].tolist():
                typer.echo(f"  {start:8.1f} - {end:8.1f} s   {points:.3f}")
    if plot is not None:
        rows = [(answer.query, answer.moments[:top], answer.saliency) for answer in result.answers]
        draw(plot, result.recording, rows, heading=result.heading(), hop=result.hop)


@app.command()
def pack(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    label: Annotated[str, typer.Option(help="<Surname>_<Institute>_task6_<1 to 4>")],
    output: Annotated[Path, typer.Option("--output", "-o", help="zip file to write")],
    member: Annotated[str, typer.Option(help="which of its models [its first soup, or seed 0]")] = "",
    template: Annotated[
        Path | None, typer.Option(help="meta file to fill in, instead of the one that is shipped")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="predictions to submit instead of the member's, e.g. of an ensemble"),
    ] = None,
    without: Without = None,
) -> None:
    """Pack a run as a submission to DCASE 2026 Task 6: predictions and a partly filled meta file."""
    from amrbench.experiment.finished_run import open_run
    from amrbench.tools import pack_submission

    finished = open_run(run, registry_of(without), member=member)
    packed = pack_submission.pack(finished, label, output, template=template, predictions=predictions)
    typer.echo(packed.text())


@app.command("predict-checkpoint")
def predict_checkpoint(
    checkpoint: Annotated[Path, typer.Option(help="a CG-DETR checkpoint of the reference implementation")],
    features: Annotated[
        Path, typer.Option(help="folder with <backend>/<vid>.npz and <backend>_text/qid<qid>.npz")
    ],
    annotations: Annotated[Path, typer.Option(help="JSON lines with the queries")],
    output: Annotated[Path, typer.Option("--output", "-o", help="prediction file to write")],
    without: Without = None,
) -> None:
    """Predict with a checkpoint of the reference implementation, from published features."""
    from amrbench.tools.predict_checkpoint import predict_from_checkpoint

    count = predict_from_checkpoint(
        checkpoint, features=features, annotations=annotations, output=output, registry=registry_of(without)
    )
    typer.echo(f"{output}: {count} queries", err=True)
