"""The commands about runs and prediction files: `score`, `compare`, `analyze`, `report` and others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from amrbench.cli.options import (
    AsJson,
    FormatOption,
    MemberName,
    Without,
    print_json,
    print_table,
    refuse_together,
    registry_of,
    table_form,
)

Sources = Annotated[
    list[Path], typer.Argument(help="run folders, prediction files, or folders with one for each seed")
]
Against = Annotated[
    Path | None, typer.Option(help="source that the others are compared with", show_default="the first")
]
Truth = Annotated[Path | None, typer.Option(help="annotations of the prediction files")]

commands = typer.Typer()
command = partial(commands.command, rich_help_panel="Results")


@command(epilog="Example: amrbench score predictions.jsonl --truth castella_test_release.jsonl")
def score(
    predictions: Annotated[Path, typer.Argument(help="JSON lines with qid, vid, pred_relevant_windows")],
    truth: Annotated[Path, typer.Option(help="JSON lines with qid, query, duration, vid, relevant_windows")],
    partial: Annotated[
        bool, typer.Option("--partial", help="score the queries that both files have")
    ] = False,
    by: Annotated[str | None, typer.Option(help="score each value of this annotation key too")] = None,
    k: Annotated[
        list[int] | None, typer.Option("--k", help="R@k; may be repeated", show_default="1 and 5")
    ] = None,
    iou: Annotated[
        list[float] | None,
        typer.Option("--iou", help="threshold of R@k; may be repeated", show_default="0.5 and 0.7"),
    ] = None,
    form: FormatOption = None,
    as_json: AsJson = False,
) -> None:
    """Score any prediction file as the official evaluator does, and R@5."""
    from amrbench.evaluation.score_files import score_files
    from amrbench.functional.metrics import metrics_at
    from amrbench.notes import note

    metrics = metrics_at(k or (1, 5), iou or (0.5, 0.7))
    report = score_files(predictions, truth, partial=partial, by=by, metrics=metrics)
    for text in report.notes():
        note(text)
    shown_as = table_form(form, as_json=as_json)
    if shown_as == "json":
        print_json(report.as_json())
    else:
        print_table([dict(zip(report.headers(), row, strict=True)) for row in report.rows()], shown_as)


@command(epilog="Example: amrbench compare runs/ours3@* --against runs/cgdetr@synthetic-1f2e3d4c")
def compare(
    sources: Sources,
    against: Against = None,
    truth: Truth = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="e.g. R5@0.5; may be repeated", show_default="R@1 and R@5 at 0.5 and 0.7, and mAP"),
    ] = None,
    form: FormatOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs or prediction files query by query: difference, 95 % interval and p-value."""
    from amrbench.evaluation.compare import METRICS
    from amrbench.evaluation.compare import compare as compare_all

    comparison = compare_all(sources, against=against, truth=truth, metrics=metric or METRICS)
    shown_as = table_form(form, as_json=as_json)
    if shown_as == "json":
        print_json(comparison.as_json())
    else:
        typer.echo(comparison.text(shown_as))


@command(epilog="Example: amrbench analyze theirs.jsonl ours.jsonl --truth castella_test_release.jsonl")
def analyze(
    sources: Sources,
    against: Against = None,
    truth: Truth = None,
    iou: Annotated[
        list[float] | None,
        typer.Option("--iou", help="threshold; may be repeated", show_default="0.5 and 0.7"),
    ] = None,
    step: Annotated[
        list[float] | None,
        typer.Option(help="grid in seconds; may be repeated", show_default="1, 2 and 5"),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="annotation key to group queries by; may be repeated", show_default="all with few values"
        ),
    ] = None,
    form: FormatOption = None,
    as_json: AsJson = False,
) -> None:
    """Show why metrics are as they are: order and bounds of moments, kinds of queries, who answers what."""
    from amrbench.evaluation.analysis import IOUS, STEPS
    from amrbench.evaluation.analysis import analyze as analyze_all
    from amrbench.evaluation.analysis_tables import analysis_text

    analysis = analyze_all(
        sources, against=against, truth=truth, ious=iou or IOUS, steps=step or STEPS, keys=by
    )
    shown_as = table_form(form, as_json=as_json)
    if shown_as == "json":
        print_json(analysis.as_json())
    else:
        typer.echo(analysis_text(analysis, shown_as))


@command(epilog="Example: amrbench report runs/* --against runs/cgdetr@synthetic-1f2e3d4c -o report.html")
def report(
    sources: Sources,
    output: Annotated[Path, typer.Option("--output", "-o", help="page to write, a .html file")],
    truth: Truth = None,
    against: Against = None,
    audio: Annotated[
        Path | None,
        typer.Option(help="folder of the recordings: 20 queries get sound and a spectrogram"),
    ] = None,
) -> None:
    """Write one page about runs or prediction files: scores, curves, and what was answered to each query."""
    from amrbench.tools.report_page import ReportRequest, write_report

    write_report(ReportRequest(tuple(sources), against, truth, audio), output)
    typer.echo(f"{output}: {output.stat().st_size / 2**20:.1f} MiB", err=True)


@command(epilog="Example: amrbench fuse runs/ours3@synthetic-1f2e3d4c other.jsonl -o fused.jsonl")
def fuse(
    sources: Sources,
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


@command(epilog="Example: amrbench pack runs/ours3@dcase2026-1f2e3d4c --label Lee_KAIST_task6_1 -o lee.zip")
def pack(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    label: Annotated[str, typer.Option(help="<Surname>_<Institute>_task6_<1 to 4>")],
    output: Annotated[Path, typer.Option("--output", "-o", help="zip file to write")],
    member: MemberName = "",
    template: Annotated[
        Path | None, typer.Option(help="meta file to fill in, instead of the one that is shipped")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="predictions to submit instead of the member's, e.g. of an ensemble"),
    ] = None,
    not_a_submission: Annotated[
        bool,
        typer.Option("--not-a-submission", help="pack a run that makes no submission too; the files say so"),
    ] = False,
    without: Without = None,
) -> None:
    """Pack a run as a submission to DCASE 2026 Task 6: predictions and a partly filled meta file."""
    from amrbench.experiment.finished_run import open_run
    from amrbench.tools import pack_submission

    refuse_together(predictions=predictions, member=member)
    finished = open_run(run, registry_of(without), member=member)
    packed = pack_submission.pack(
        finished,
        label,
        output,
        template=template,
        predictions=predictions,
        not_a_submission=not_a_submission,
    )
    typer.echo(packed.text())


@command(epilog="Example: amrbench runs --remove stale --yes")
def runs(
    out: Annotated[
        list[Path] | None, typer.Option(help="folder of runs; repeat it for each", show_default="runs")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(help="stale, a name or a path; may be repeated. Without --yes it is only shown"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove it")] = False,
    form: FormatOption = None,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """List what lies in the cache and in folders of runs, and what is stale; remove things on request."""
    from amrbench.files.folders import RUNS, cache_folder
    from amrbench.tools import list_runs

    registry, shown_as = registry_of(without), table_form(form, as_json=as_json)
    known = list_runs.inventory(cache_folder(), out or [RUNS], registry, settle=bool(remove))
    shown = list_runs.remove(known.chosen(remove), yes=yes) if remove else known
    if shown_as == "json":
        print_json(shown.as_json())
    else:
        typer.echo(shown.text(shown_as))
