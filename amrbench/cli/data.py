"""The commands of `amrbench data`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    registry_of,
    shipped_names,
    table_form,
)
from amrbench.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from amrbench.data.local_dataset import DatasetFolder
    from amrbench.data.required_splits import FeatureRequest
    from amrbench.registry import Registry
    from amrbench.slots.data import DatasetPart
    from amrbench.slots.features import FeaturesPart
    from amrbench.types import Query

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
    role: Annotated[str, typer.Option(help="pretrain, midtrain or target of the protocol")] = "target",
    split: Annotated[str, typer.Option(help="split of the data set")] = "test",
    count: Annotated[int, typer.Option(min=1, help="recordings to write")] = 5,
    everything: Annotated[bool, typer.Option("--all", help="write all recordings of the split")] = False,
    audio: Annotated[str, typer.Option(help="flac or wav")] = "flac",
    jobs: Annotated[int, typer.Option(min=1, max=MOST_JOBS, help="parallel processes")] = 1,
    protocol: ProtocolName = "synthetic",
    without: Without = None,
) -> None:
    """Write recordings of a data set as audio files, with annotations and the sources of their sounds."""
    from amrbench.config.load import find, load_protocol, parse_part
    from amrbench.config.paths import with_resolved_paths
    from amrbench.slots.data import DatasetPart
    from amrbench.tools import synthesize_audio
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    if name:
        dataset = parse_part(name, DatasetPart, registry, called="the data set")  # type: ignore[type-abstract]
    else:
        file = find("protocol", protocol)
        dataset = with_resolved_paths(load_protocol(file, registry), file).data.of(role)
    job = synthesize_audio.SynthesisJob(dataset, split, None if everything else count, output, audio)
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
    from amrbench.tools.data_status import status_of_folder, status_of_requests

    registry = registry_of(without)
    datasets = [name for name in names or () if _is_dataset(name, registry)]
    recipes = [name for name in names or () if name not in datasets]
    known = {
        "Recipes": shipped_names("recipe")(),
        "Studies": shipped_names("study")(),
        "Data sets": registry.names(DatasetPart.slot),
    }
    for name in recipes:
        _refuse_unknown(name, "recipe, study or data set", known)
    requests = [] if datasets and not recipes else _required_splits(recipes, protocol, registry)
    own = [file for name in datasets for file in status_of_folder(_dataset_folder(name, registry))]
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

    registry = registry_of(without)
    splits = {
        title: annotation_statistics(title, queries)
        for name in names
        for title, queries in _annotations_of(name, registry)
    }
    if as_json:
        print_json({"annotations": {title: asdict(one) for title, one in splits.items()}})
    else:
        print_table([one.as_row(title) for title, one in splits.items()], table_form(form))


@commands.command(epilog="Example: amrbench data verify castella")
def verify(
    name: DataName,
    as_json: AsJson = False,
    without: Without = None,
) -> None:
    """Find defects in annotations and features; with a fault that must be corrected, the exit code is 2."""
    from amrbench.tools.verify_data import verify_data
    from amrbench.tools.verify_shards import verify_shards

    registry = registry_of(without)
    if _holds_shards(name, registry):
        report = verify_shards(Path(name))
    else:
        report = verify_data(_dataset_folder(name, registry))
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
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    folder = _dataset_folder(name, registry)
    encoder_part = _encoder(encoder, registry)
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
    from amrbench.tools.shard_workers import ShardWorkers
    from amrbench.training.progress_bars import progress

    registry = registry_of(without)
    encoder_part = _encoder(encoder, registry)
    if output is None:
        if shard_size:
            raise DataError("--shard-size needs -o: the features of a data set are one file in its folder.")
        job = job_for_dataset(_dataset_folder(name, registry), encoder_part)
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
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON lines to write")],
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


def _is_dataset(name: str, registry: Registry) -> bool:
    """Whether a name is that of a data set, or of a folder with annotations."""
    from amrbench.slots.data import DatasetPart

    folder = Path(name)
    return name in registry.names(DatasetPart.slot) or (folder.is_dir() and any(folder.glob("*.jsonl")))


def _holds_shards(name: str, registry: Registry) -> bool:
    """Whether a name is that of a folder of feature files with a manifest, and not of a data set."""
    from amrbench.slots.data import DatasetPart
    from amrbench.tools.verify_shards import has_manifest

    if name in registry.names(DatasetPart.slot) or not has_manifest(Path(name)):
        return False
    return not _dataset_folder(name, registry).present_splits


def _refuse_unknown(name: str, what: str, known: Mapping[str, Sequence[str]]) -> None:
    """Raise DataError unless a name is a path that exists, or one of those that are known of each kind."""
    names = [own for listed in known.values() for own in listed]
    if name in names or Path(name).exists():
        return
    lists = " ".join(f"{kind}: {', '.join(listed) or 'none'}." for kind, listed in known.items())
    raise DataError(
        f"there is no {what} {name!r}: no such file or folder, and none of this name."
        f"{did_you_mean(name, names)} {lists}"
    )


def _dataset_part(name: str, registry: Registry) -> DatasetPart:
    """Return the data set of a name, or of a name with options."""
    from amrbench.config.load import parse_part
    from amrbench.slots.data import DatasetPart

    if ":" not in name:  # Options have colons: {use: files, folder: x}.
        names = registry.names(DatasetPart.slot)
        _refuse_unknown(name, "data set", {"Data sets": names})
        if Path(name).is_file() and name not in names:
            raise DataError(f"{name}: is a file. Name a data set, or the folder of its annotations.")
    return parse_part(name, DatasetPart, registry, called="the data set")  # type: ignore[type-abstract]


def _required_splits(recipes: list[str], protocol: str, registry: Registry) -> list[FeatureRequest]:
    """Return the splits that recipes need under a protocol; those of all shipped recipes by default."""
    from amrbench.config.load import find, load_protocol, shipped
    from amrbench.config.study import expand
    from amrbench.data.required_splits import RequiredSplits

    file = find("protocol", protocol)
    rules = load_protocol(file, registry)
    names = recipes or [path.stem for path in shipped("recipe")]
    methods = [method for name in names for method in expand(name, registry).methods]
    return [request for method in methods for request in RequiredSplits(method.recipe, rules, file).all]


def _dataset_folder(name: str, registry: Registry) -> DatasetFolder:
    """Return the folder of a data set, given by its name or by the folder itself."""
    from amrbench.data.local_dataset import HasDatasetFolder
    from amrbench.slots.data import DatasetPart

    is_folder = name not in registry.names(DatasetPart.slot) and Path(name).is_dir()
    options = json.dumps({"use": "files", "folder": name}, ensure_ascii=False) if is_folder else name
    part = _dataset_part(options, registry)
    if not isinstance(part, HasDatasetFolder):
        raise DataError(
            f"the data set {name!r} is generated and has no folder. Name one with files, or a folder."
        )
    return part.dataset_folder


def _annotations_of(name: str, registry: Registry) -> Iterator[tuple[str, list[Query]]]:
    """Yield a title and the queries of an annotation file, or of each split of a data set."""
    from amrbench.data.required_splits import describe_part
    from amrbench.files.annotations import read_annotations
    from amrbench.slots.data import DatasetPart
    from amrbench.tools.annotation_statistics import known_queries

    if Path(name).is_file():
        yield name, read_annotations(Path(name))
    elif name not in registry.names(DatasetPart.slot) and Path(name).is_dir():
        folder = _dataset_folder(name, registry)
        yield from ((f"{name} {split}", folder.queries(split)) for split in folder.annotated_splits)
    else:
        part = _dataset_part(name, registry)
        yield from ((f"{describe_part(part)} {split}", queries) for split, queries in known_queries(part))


def _encoder(name: str, registry: Registry) -> FeaturesPart:
    from amrbench.config.load import parse_part
    from amrbench.slots.features import FeaturesPart

    part = parse_part(name, FeaturesPart, registry, called="--encoder")  # type: ignore[type-abstract]
    if len(part.encoders) > 1:
        encoders = ", ".join(encoder.label for encoder in part.encoders)
        raise DataError(
            f"--encoder: {part.use!r} combines several encoders ({encoders}); give them one by one."
        )
    return part
