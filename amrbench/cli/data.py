"""The commands of `amrbench data`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from amrbench.cli.options import (
    MOST_JOBS,
    AsJson,
    FormatOption,
    ProtocolName,
    Without,
    complete_recipe,
    executor_of,
    print_json,
    print_table,
    refuse_together,
    registry_of,
    shipped_names,
    table_form,
)
from amrbench.errors import DataError

DataName = Annotated[
    str,
    typer.Argument(
        help="a data set, e.g. castella, a folder with train.jsonl, ..., or (verify) feature files"
    ),
]
Encoder = Annotated[str, typer.Option(help="an encoder, e.g. clap")]

commands = typer.Typer(
    help="List, verify, compare, import, extract, convert and synthesize data.", no_args_is_help=True
)


@commands.command(epilog="Example: amrbench data synthesize --count 3 --audio wav -o audio")
def synthesize(
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write to; missing or empty")],
    name: Annotated[
        str,
        typer.Argument(
            help="a generated data set, e.g. intermediate300", show_default="that of the protocol"
        ),
    ] = "",
    role: Annotated[
        str | None,
        typer.Option(help="pretrain, midtrain or target of the protocol", show_default="target"),
    ] = None,
    split: Annotated[str, typer.Option(help="split of the data set")] = "test",
    count: Annotated[int | None, typer.Option(min=1, help="recordings to write", show_default="5")] = None,
    everything: Annotated[bool, typer.Option("--all", help="write all recordings of the split")] = False,
    audio: Annotated[str, typer.Option(help="flac or wav")] = "flac",
    jobs: Annotated[int, typer.Option(min=1, max=MOST_JOBS, help="parallel processes")] = 1,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="protocol: a shipped name or a file",
            show_default="synthetic",
            autocompletion=shipped_names("protocol"),
        ),
    ] = None,
    without: Without = None,
) -> None:
    """Write recordings of a data set as audio files, with annotations and the sources of their sounds."""
    from amrbench.config.load import find, load_protocol, parse_part
    from amrbench.config.paths import with_resolved_paths
    from amrbench.slots.data import DatasetPart
    from amrbench.tools import synthesize_audio
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    refuse_together(all=everything, count=count)
    if name:
        for option, value in (("--role", role), ("--protocol", protocol)):
            if value:
                raise DataError(
                    f"{option} is for a data set of the protocol, not for {name!r}. Leave one of them out."
                )
        dataset = parse_part(name, DatasetPart, registry, called="the data set")  # type: ignore[type-abstract]
    else:
        file = find("protocol", protocol or "synthetic")
        dataset = with_resolved_paths(load_protocol(file, registry), file).data.of(role or "target")
    job = synthesize_audio.SynthesisJob(dataset, split, None if everything else count or 5, output, audio)
    with progress() as reporter:
        files = synthesize_audio.synthesize(job, jobs=jobs, report=reporter.data)
    typer.echo(f"{output}: {len(files)} recordings and annotations.jsonl", err=True)


@commands.command(epilog="Example: amrbench data status ours3 --protocol castella")
def status(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="recipes or studies by shipped name or file; or data sets by name or folder",
            show_default="all shipped recipes",
            autocompletion=complete_recipe,
        ),
    ] = None,
    protocol: ProtocolName = "castella",
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """List the files that recipes need under a protocol, or those of a data set.

    Each is present, missing, or faulty; with where it is published and its size.
    """
    from amrbench.notes import note
    from amrbench.slots.data import DatasetPart
    from amrbench.tools.data_status import required_splits, status_of_folder, status_of_requests
    from amrbench.tools.named_data import dataset_folder, is_dataset, refuse_unknown

    registry = registry_of(without)
    datasets = [name for name in names or () if is_dataset(name, registry)]
    recipes = [name for name in names or () if name not in datasets]
    known = {
        "Recipes": shipped_names("recipe")(),
        "Studies": shipped_names("study")(),
        "Data sets": registry.names(DatasetPart.slot),
    }
    for name in recipes:
        refuse_unknown(name, "recipe, study or data set", known)
    requests = [] if datasets and not recipes else required_splits(recipes, protocol, registry)
    own = [file for name in datasets for file in status_of_folder(dataset_folder(name, registry))]
    files = [*own, *status_of_requests(requests)]
    for text in dict.fromkeys(text for file in files for text in (*file.faults, *file.notes)):
        note(text)
    rows = [file.as_row() for file in files]
    if as_json:
        print_json({"files": rows})
    elif rows:
        print_table(rows, table_form(None))
        faulty = sum(bool(file.faults) for file in files)
        more = f", {faulty} faulty" if faulty else ""
        typer.echo(f"{sum(file.usable for file in files)} of {len(rows)} are here{more}.")
    else:
        typer.echo(f"The protocol {protocol} needs only this package.")


@commands.command(epilog="Example: amrbench data statistics castella '{use: procedural, preset: scenes}'")
def statistics(
    names: Annotated[
        list[str], typer.Argument(help="annotation files; data sets by name with options, or by folder")
    ],
    form: FormatOption = None,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Compare annotations in numbers: recordings, windows, shares. No audio is read or made."""
    from amrbench.tools.annotation_statistics import annotation_statistics
    from amrbench.tools.named_data import annotations_of

    registry, shown_as = registry_of(without), table_form(form, as_json=as_json)
    splits = {
        title: annotation_statistics(title, queries)
        for name in names
        for title, queries in annotations_of(name, registry)
    }
    if shown_as == "json":
        print_json({"annotations": {title: asdict(one) for title, one in splits.items()}})
    else:
        print_table([one.as_row(title) for title, one in splits.items()], shown_as)


@commands.command(epilog="Example: amrbench data verify castella")
def verify(
    name: DataName,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Find defects in annotations and features; with a fault that must be corrected, the exit code is 2."""
    from amrbench.tools.named_data import dataset_folder, holds_shards
    from amrbench.tools.verify_data import verify_data
    from amrbench.tools.verify_shards import verify_shards

    registry = registry_of(without)
    if holds_shards(name, registry):
        report = verify_shards(Path(name))
    else:
        report = verify_data(dataset_folder(name, registry))
    if as_json:
        print_json(report.as_json())
    else:
        typer.echo(report.text())
    if report.faults:
        raise DataError(f"{report.name}: {report.faults} faults must be corrected before it can be used.")


@commands.command("import", epilog="Example: amrbench data import castella CLAP.tar.gz --encoder clap")
def import_(
    name: DataName,
    sources: Annotated[list[Path], typer.Argument(help="folders and archives with .npz files")],
    encoder: Encoder,
    split: Annotated[
        str, typer.Option(help="split that the files belong to", show_default="all splits")
    ] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="accept that features are missing or damaged")
    ] = False,
    without: Without = None,
) -> None:
    """Read published features into the feature file of a data set; an interrupted import continues."""
    from amrbench.tools.import_features import import_features
    from amrbench.tools.named_data import dataset_folder, encoder_of
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    folder = dataset_folder(name, registry)
    encoder_part = encoder_of(encoder, registry)
    with progress() as reporter:
        result = import_features(
            folder, encoder_part, sources, split=split, partial=partial, report=reporter.data
        )
    typer.echo(result.text())


@commands.command(epilog="Example: amrbench data extract recordings --encoder mini-clap -o features.h5")
def extract(
    name: Annotated[
        str, typer.Argument(help="a data set whose recordings are present, or a folder of audio files")
    ],
    encoder: Encoder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="feature file to write, for a folder of audio files")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="store rows in half precision")] = False,
    shard_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="write a folder of feature files of so many recordings, with a manifest",
            show_default="one feature file",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_JOBS, help="parallel processes", show_default="1; what an executor has room for"
        ),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            help="where features are made: local, ray, '{use: ray, address: HOST:PORT}', submitit or others; "
            "machines share the folders of audio and output",
            show_default="processes of this command",
        ),
    ] = None,
    without: Without = None,
) -> None:
    """Extract features of audio files (WAV, FLAC, OGG, MP3, AIFF, AU, CAF or W64) of any rate.

    With the extra 'video' also of M4A, WebM and videos. An interrupted extraction continues.
    """
    from dataclasses import replace

    from amrbench.tools.extract_features import extract_features, job_for_dataset, job_for_folder
    from amrbench.tools.named_data import dataset_folder, encoder_of
    from amrbench.tools.shard_workers import ShardWorkers
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    encoder_part = encoder_of(encoder, registry)
    if output is None:
        if shard_size:
            raise DataError("--shard-size needs -o: the features of a data set are one file in its folder.")
        job = job_for_dataset(dataset_folder(name, registry), encoder_part)
    else:
        job = job_for_folder(Path(name), output)
    job = replace(job, half=half, shard_size=shard_size or 0)
    part = executor_of(executor, registry)
    workers = ShardWorkers(part.build(jobs), without=without or ()) if part else None
    with progress() as reporter:
        recordings, sentences = extract_features(
            job, encoder_part, jobs=jobs or 1, report=reporter.data, workers=workers
        )
    typer.echo(f"{job.output}: {recordings:,} recordings and {sentences:,} sentences")


@commands.command(epilog="Example: amrbench data convert labels.csv -o test.jsonl")
def convert(
    source: Annotated[
        Path,
        typer.Argument(help="CASTELLA JSON, a table, or a label file (Audacity, Raven) or folder of them"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON lines to write; new or empty")],
    form: Annotated[
        str,
        typer.Option("--form", help="castella, csv, audacity or raven", show_default="from name and content"),
    ] = "",
    audio: Annotated[
        Path | None, typer.Option(help="folder of the recordings, where the source has no durations")
    ] = None,
) -> None:
    """Write annotations of another form as JSON lines."""
    from amrbench.tools import convert_annotations

    count = convert_annotations.convert(source, output, form=form, audio=audio)
    typer.echo(f"{output}: {count:,} queries")
