"""The command line: parse, call, print. Nothing is decided here.

Heavy imports stand inside the commands, so that `--help` and `score` need no torch. Exit codes: 0 fine,
2 the user's input or a file is wrong (one message, no traceback), 1 a bug.
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

from amrbench.cli.common import As, AsJson, Format, ProtocolName, Without, registry_of, table_of
from amrbench.cli.data import data
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
        # What the system says of a file is the user's to mend; without a file, it is a bug.
        if not isinstance(error.filename, str | bytes | PathLike):
            raise
        _stop(
            f"{os.fsdecode(error.filename)}: {error.strerror or error}. Look whether it is the right file or "
            "folder, may be read and written, and whether the disk has room."
        )


def _stop(text: str) -> None:
    typer.echo(f"error: {text}", err=True)
    sys.exit(2)


@app.command()
def run(
    recipes: Annotated[list[str], typer.Argument(help="recipes or studies by shipped name or file")],
    protocol: ProtocolName = "synthetic",
    seeds: Annotated[
        int | None, typer.Option(min=1, help="fine-tunes, instead of the protocol's number")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="processes side by side [one a core; one to train on a GPU]")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of the runs")] = Path("runs"),
    by: Annotated[str, typer.Option(help="show the slices of this annotation key, e.g. kind")] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="say what would be done, found and needed")] = False,
    form: As = Format.github,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Do everything a recipe asks for; ends with the table and a comparison, a study with its grid."""
    from amrbench.config.study import expand
    from amrbench.evaluation.study_table import study_tables, with_more
    from amrbench.evaluation.table import table
    from amrbench.experiment.run import Settings, compare_with_baseline, run_all
    from amrbench.tools.dry_run import dry_run
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    settings = Settings(seeds=seeds, device=device, jobs=jobs, out=out)
    shape = Format.json if as_json else form
    runnables = [expand(recipe, registry) for recipe in recipes]
    if dry:
        forecast = dry_run(runnables, protocol, registry=registry, settings=settings)
        typer.echo(json.dumps(forecast.as_json(), indent=2) if shape is Format.json else forecast.text())
        return
    with progress() as reporter:
        runs = run_all(runnables, protocol, registry=registry, settings=settings, reporter=reporter)
    rows = table([results for run in runs for results in run.all_results], shape.value, by=by)
    grids = study_tables(runnables, [run.results for run in runs])
    typer.echo(with_more(rows, grids or compare_with_baseline(runs), shape.value))


@app.command()
def parts(
    slot: Annotated[str | None, typer.Argument(help="only this slot")] = None,
    name: Annotated[str | None, typer.Argument(help="the options of this part")] = None,
    without: Without = None,
    form: As = Format.github,
) -> None:
    """List the installed parts, or the options of one part."""
    from amrbench.tools import list_parts

    registry = registry_of(without)
    if slot is not None and name is not None:
        part = list_parts.find_part(registry, slot, name)
        if form is not Format.json:
            typer.echo(f"{slot} part '{name}', from {registry.origin(part)}\n\n{inspect.getdoc(part)}\n")
        table_of([vars(row) for row in list_parts.option_rows(part)], form)
    else:
        table_of([vars(row) for row in list_parts.part_rows(registry, slot)], form)


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
    from amrbench.tools.json_schema import schema as of

    typer.echo(json.dumps(of(kind.value, registry_of(without)), indent=2))


@app.command()
def check(
    recipes: Annotated[
        list[str] | None,
        typer.Argument(help="recipes or studies by name or file [all shipped recipes]"),
    ] = None,
    protocol: ProtocolName = "synthetic",
    without: Without = None,
) -> None:
    """Check recipes and studies: read, build, and push one batch through each recipe. Trains nothing.

    No data is needed; what must be placed before a run is listed, with where it is published.
    """
    from amrbench.config.load import load_protocol, shipped
    from amrbench.config.study import expand
    from amrbench.tools.check_recipe import check_recipe

    registry = registry_of(without)
    conditions = load_protocol(protocol, registry)
    failed: list[str] = []
    missing: list[RequiredFile] = []
    for each in recipes or [file.stem for file in shipped("recipe")]:
        try:
            methods = expand(each, registry).methods
        except AmrbenchError as error:
            failed.append(str(error))
            continue
        for method in methods:
            called = each if len(methods) == 1 else method.recipe.name
            try:
                checked = check_recipe(called, method.recipe, conditions)
                typer.echo(checked.text())
                missing += checked.missing
            except AmrbenchError as error:
                failed.append(str(error))
    if missing:
        typer.echo("\nNot here yet, and needed to run:")
    for need in dict.fromkeys(missing):
        typer.echo(f"  {need.text()}")
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
    k: Annotated[list[int] | None, typer.Option("--k", help="R@k; may be given several times [1, 5]")] = None,
    iou: Annotated[
        list[float] | None, typer.Option("--iou", help="threshold of R@k; several [0.5, 0.7]")
    ] = None,
    form: As = Format.github,
    as_json: AsJson = False,
) -> None:
    """Score any prediction file as the official evaluator does, with R@5 besides."""
    from amrbench.evaluation.score_files import score_files
    from amrbench.functional.metrics import metrics_at

    metrics = metrics_at(k or (1, 5), iou or (0.5, 0.7))
    report = score_files(predictions, truth, partial=partial, by=by, metrics=metrics)
    for note in report.notes():
        typer.echo(note, err=True)
    if as_json or form is Format.json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        table_of([dict(zip(report.headers(), row, strict=True)) for row in report.rows()], form)


@app.command()
def compare(
    sources: Annotated[
        list[Path], typer.Argument(help="run folders, prediction files, or folders with one for each seed")
    ],
    against: Annotated[
        Path | None, typer.Option(help="what the others are compared with [the first]")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="annotations of the prediction files")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="e.g. R5@0.5; several [R1@0.5, R1@0.7, mAP]")
    ] = None,
    form: As = Format.github,
    as_json: AsJson = False,
) -> None:
    """Compare runs or prediction files query by query: difference, 95 % interval and p-value."""
    from amrbench.evaluation.compare import METRICS
    from amrbench.evaluation.compare import compare as compare_all

    found = compare_all(sources, against=against, truth=truth, metrics=metric or METRICS)
    typer.echo(found.text(Format.json.value if as_json else form.value))


@app.command()
def fuse(
    sources: Annotated[
        list[Path], typer.Argument(help="run folders, prediction files, or folders with one for each seed")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="prediction file to write")],
    iou: Annotated[float, typer.Option(min=0.01, max=1, help="from here on moments can be the same")] = 0.5,
    bounds: Annotated[str, typer.Option(help="leader: of the best moment; mean: their mean")] = "leader",
    points: Annotated[
        str, typer.Option(help="agreement: mean of each file's best, none counts 0; mean; max")
    ] = "agreement",
    weight: Annotated[list[float] | None, typer.Option(help="of each file; several")] = None,
    top: Annotated[int, typer.Option(min=1, help="moments to keep for each query")] = 10,
) -> None:
    """Fuse the predictions of several models into one file: an ensemble."""
    from amrbench.evaluation.ensemble import EnsembleOptions, fuse_files

    how = EnsembleOptions(iou, bounds, points, tuple(weight) if weight else None, top)
    files, queries = fuse_files(sources, output, how)
    typer.echo(f"{output}: {queries} queries, from {files} prediction files", err=True)


@app.command()
def predict(
    recording: Annotated[Path, typer.Argument(help="audio file of any format, rate and length")],
    queries: Annotated[list[str], typer.Argument(help="what to find, one sentence each")],
    run: Annotated[Path | None, typer.Option(help="folder of a finished run [the newest in 'runs']")] = None,
    member: Annotated[str, typer.Option(help="which of its models answers [its first soup, or seed 0]")] = "",
    top: Annotated[int, typer.Option(min=1, help="moments to show for each query")] = 5,
    plot: Annotated[Path | None, typer.Option(help="picture to write: .png, .pdf or .svg")] = None,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Find moments in a recording of your own with the model of a finished run."""
    from amrbench.experiment.finished_run import find_run, open_run
    from amrbench.tools.plot_timeline import draw, refuse_unwritable
    from amrbench.tools.predict_audio import find_moments
    from amrbench.training.progress_bars import progress

    if plot is not None:
        refuse_unwritable(plot)
    finished = open_run(find_run(run), registry_of(without), member=member)
    with progress() as reporter:
        found = find_moments(recording, queries, finished, report=reporter.data)
    if as_json:
        typer.echo(json.dumps(found.as_json(top), indent=2))
    else:
        typer.echo("\n".join(found.heading()))
        for each in found.answers:
            typer.echo(f"\n{each.query}")
            for start, end, points in each.moments[:top].tolist():
                typer.echo(f"  {start:8.1f} - {end:8.1f} s   {points:.3f}")
    if plot is not None:
        rows = [(each.query, each.moments[:top], each.saliency) for each in found.answers]
        draw(plot, found.recording, rows, heading=found.heading(), hop=found.hop)


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
        Path | None, typer.Option(help="file to submit instead of the run's own, e.g. of fused models")
    ] = None,
    without: Without = None,
) -> None:
    """Pack a run as a submission to DCASE 2026 Task 6: predictions, and a meta file with what is known."""
    from amrbench.experiment.finished_run import open_run
    from amrbench.tools.pack_submission import pack as write

    finished = open_run(run, registry_of(without), member=member)
    typer.echo(write(finished, label, output, template=template, predictions=predictions).text())


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
    """Predict what a checkpoint of the reference implementation predicts, from published features."""
    from amrbench.tools.predict_checkpoint import predict_from_checkpoint

    count = predict_from_checkpoint(
        checkpoint, features=features, annotations=annotations, output=output, registry=registry_of(without)
    )
    typer.echo(f"{output}: {count} queries", err=True)
