"""The commands that run models: `run`, `predict`, `demo` and `predict-checkpoint`."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amrbench.cli.options import (
    AsJson,
    ExecutorOption,
    FormatOption,
    JobsOption,
    MemberName,
    ObserveOption,
    ProtocolName,
    Without,
    complete_recipe,
    executor_of,
    observers_of,
    print_json,
    registry_of,
    table_form,
)
from amrbench.files.folders import RUNS

if TYPE_CHECKING:
    from amrbench.evaluation.compare import Comparison
    from amrbench.evaluation.study_table import StudyTable
    from amrbench.evaluation.table import RunTable
    from amrbench.tools.dry_run import Forecast

RunFolders = Annotated[
    list[Path] | None,
    typer.Option(
        help="folder of a finished run; may be repeated to see models side by side",
        show_default="the newest in runs",
    ),
]

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Run")


@command(epilog="Example: amrbench run ours3 cgdetr --protocol synthetic --seeds 2")
def run(
    recipes: Annotated[
        list[str],
        typer.Argument(help="recipes or studies by shipped name or file", autocompletion=complete_recipe),
    ],
    protocol: ProtocolName = "synthetic",
    seeds: Annotated[
        int | None, typer.Option(min=1, help="number of seeds", show_default="that of the protocol")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(help="only this change of a study; may be repeated", show_default="all"),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
    jobs: JobsOption = None,
    executor: ExecutorOption = None,
    observe: ObserveOption = None,
    out: Annotated[Path, typer.Option(help="folder of the runs")] = RUNS,
    by: Annotated[
        str, typer.Option(help="slices to show, e.g. kind; the protocol names them in 'slices'")
    ] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="only list the work and estimate its cost")] = False,
    form: FormatOption = None,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Run recipes or studies: prepare data, train, predict, score, and print tables with comparisons."""
    from amrbench.config.load import load_protocol
    from amrbench.config.study import expand, with_changes
    from amrbench.evaluation.study_table import study_tables
    from amrbench.evaluation.table import refuse_unknown_slices, run_table
    from amrbench.experiment.run import Settings, compare_with_baseline, run_all
    from amrbench.tools.dry_run import dry_run
    from amrbench.training.progress_bars import progress

    registry, shown_as = registry_of(without), table_form(form, as_json=as_json)
    settings = Settings(
        seeds,
        device,
        jobs,
        out,
        executor=executor_of(executor, registry),
        without=tuple(without or ()),
        observers=observers_of(observe, registry),
    )
    runnables = with_changes([expand(recipe, registry) for recipe in recipes], change or ())
    if by:
        refuse_unknown_slices(by, load_protocol(protocol, registry).slices, f"the protocol {protocol!r}")
    if dry:
        with progress() as reporter:
            forecast = dry_run(runnables, protocol, registry=registry, settings=settings, reporter=reporter)
        _print_forecast(forecast, shown_as)
        return
    with progress() as reporter:
        runs = run_all(runnables, protocol, registry=registry, settings=settings, reporter=reporter)
    rows = run_table([results for run in runs for results in run.all_results], by=by)
    studies = study_tables(runnables, [run.result for run in runs])
    _print_tables(rows, studies, [] if studies else compare_with_baseline(runs), shown_as)


def _print_tables(
    rows: RunTable, studies: Sequence[StudyTable], comparisons: Sequence[Comparison], form: str
) -> None:
    if form == "json":
        document = rows.as_json()
        if studies:
            document["studies"] = [study.as_json() for study in studies]
        for comparison in comparisons:
            document["comparison"] = comparison.as_json()
        print_json(document)
    else:
        texts = [rows.text(form), *(study.text(form) for study in studies)]
        typer.echo("\n\n".join([*texts, *(comparison.text(form) for comparison in comparisons)]))


def _print_forecast(forecast: Forecast, form: str) -> None:
    if form == "json":
        print_json(forecast.as_json())
    else:
        typer.echo(forecast.text())


@command(hidden=True, epilog="Example: amrbench task task.json")
def task(
    file: Annotated[
        Path, typer.Argument(help="a task that 'amrbench run' or 'amrbench data extract' has written")
    ],
) -> None:
    """Do a task: train one stage of a run, or make shards of features. Executors call this."""
    from amrbench.slots.executors import SHARDS

    if file.name.endswith(SHARDS):
        _make_shards(file)
    else:
        _train_stage(file)


def _begin_task(environment: Mapping[str, str]) -> None:
    from amrbench.interrupts import stop_with_parent

    os.environ.update(environment)
    faulthandler.enable()  # What the command shows goes to the log of the task, where the location is read.
    # Batch systems send it to all processes of a job; the one that started this command stops it then.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    stop_with_parent()


def _train_stage(file: Path) -> None:
    from amrbench.experiment.stage_task import TaskFile, train_task
    from amrbench.training.progress_bars import progress

    _begin_task(TaskFile.read(file).environment)
    with progress() as reporter:
        spec = train_task(file, registry_of, reporter)
    typer.echo(f"{spec.name}: trained", err=True)


def _make_shards(file: Path) -> None:
    from amrbench.data.worker_process import THREADS

    os.environ.update(dict.fromkeys(THREADS, "1"))  # Read by libraries when they are imported, as below.
    from amrbench.tools.shard_work import ShardWork, do_work

    _begin_task(ShardWork.read(file).environment)
    typer.echo(f"{file}: {do_work(file, registry_of)} shards", err=True)


@command(epilog="Example: amrbench predict street.flac 'a dog barks' --html street.html --labels street.txt")
def predict(
    recording: Annotated[
        Path,
        typer.Argument(
            help="WAV, FLAC, OGG, MP3, AIFF, AU, CAF or W64, of any rate and length; with the extra 'video' "
            "also M4A, WebM and videos"
        ),
    ],
    queries: Annotated[list[str], typer.Argument(help="what to find, one sentence each")],
    run: RunFolders = None,
    member: MemberName = "",
    top: Annotated[int, typer.Option(min=1, help="moments to show for each query")] = 5,
    html: Annotated[
        Path | None, typer.Option(help="page to write: .html, to see and hear the moments")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="picture to write: .png, .pdf or .svg")] = None,
    labels: Annotated[Path | None, typer.Option(help="label file of Audacity to write, new or empty")] = None,
    csv: Annotated[Path | None, typer.Option(help="table to write, new or empty")] = None,
    clips: Annotated[
        Path | None, typer.Option(help="folder for the moments as WAV files, new or empty")
    ] = None,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Find moments in a recording with the model of a finished run, or with several."""
    from amrbench.experiment.finished_run import open_runs
    from amrbench.plugin_errors import naming_plugins
    from amrbench.tools.predict_audio import find_moments
    from amrbench.tools.requested_files import RequestedFiles
    from amrbench.training.progress_bars import progress

    files = RequestedFiles(html, plot, labels, csv, clips)
    runs = open_runs(run or [], registry_of(without), member=member)
    files.refuse_unwritable([recording, *(file for finished in runs for file in finished.files())])
    results = []
    with progress() as reporter:
        for finished in runs:
            with naming_plugins(finished.recipe):
                results.append(find_moments(recording, queries, finished, report=reporter.data))
    try:  # A file that cannot be written and an output that cannot be printed do not cost each other.
        files.write(results, top)
    finally:
        if as_json:
            print_json({"models": [result.as_json(top) for result in results]})
        else:
            typer.echo("\n\n".join(result.text(top) for result in results))


@command(epilog="Example: amrbench demo --run runs/ours3@synthetic-6ed7abff")
def demo(
    run: RunFolders = None,
    member: MemberName = "",
    top: Annotated[int, typer.Option(min=1, help="moments to show for each sentence")] = 5,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of this machine; 0 for any free one")] = 8765,
    without: Without = None,
) -> None:
    """Open a local page: drop or record audio, write sentences, see and hear the moments."""
    from amrbench.experiment.finished_run import open_runs
    from amrbench.tools.demo_server import HOST, Demo, listening, serve

    listener = listening(port)
    served = Demo(open_runs(run or [], registry_of(without), member=member), top)
    served.load()
    typer.echo(f"http://{HOST}:{listener.getsockname()[1]} shows the page until Ctrl-C.")
    serve(served, listener)


@command(
    "predict-checkpoint",
    epilog="Example: amrbench predict-checkpoint --checkpoint best.ckpt --features features/castella "
    "--annotations castella_test_release.jsonl -o predictions.jsonl",
)
def predict_checkpoint(
    checkpoint: Annotated[Path, typer.Option(help="CG-DETR or QD-DETR of the reference implementation")],
    features: Annotated[
        Path, typer.Option(help="folder with <backend>/<vid>.npz and <backend>_text/qid<qid>.npz")
    ],
    annotations: Annotated[Path, typer.Option(help="JSON lines with the queries")],
    output: Annotated[Path, typer.Option("--output", "-o", help="prediction file to write")],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="recipe, by shipped name or file, whose readout and ranking are used",
            show_default="those of the reference",
            autocompletion=complete_recipe,
        ),
    ] = None,
    without: Without = None,
) -> None:
    """Predict with a checkpoint of the reference implementation, from published features."""
    from amrbench.config.load import find, load_recipe
    from amrbench.files.atomic import refuse_replacing
    from amrbench.tools.predict_checkpoint import predict_from_checkpoint

    registry = registry_of(without)
    if recipe:
        refuse_replacing(output, [find("recipe", recipe)])
    count = predict_from_checkpoint(
        checkpoint,
        features=features,
        annotations=annotations,
        output=output,
        registry=registry,
        recipe=load_recipe(recipe, registry) if recipe else None,
    )
    typer.echo(f"{output}: {count} queries", err=True)
