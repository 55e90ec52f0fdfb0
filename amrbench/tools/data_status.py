"""`amrbench data status`: which files a protocol or a data set needs, and whether they can be used.

A file counts as present only if `amrbench data verify` would find no fault in it. Rows of features are not
read, because all of them take minutes; `verify` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amrbench.config.load import find, load_protocol, shipped
from amrbench.config.study import expand
from amrbench.data.local_dataset import FEATURES, NOT_PUBLISHED, DatasetFolder, HasDatasetFolder
from amrbench.data.required_splits import FeatureRequest, RequiredSplits
from amrbench.errors import DataError, some
from amrbench.files.feature_file import open_feature_file
from amrbench.registry import Registry
from amrbench.required_files import RequiredFile
from amrbench.tools.verify_data import (
    Finding,
    annotation_findings,
    differs_from_published,
    feature_findings,
    size_finding,
)


@dataclass(frozen=True)
class FileStatus:
    """A file that is needed.

    Attributes:
        file: What it is and where it must be.
        faults: Why it cannot be used although it is there.
        notes: What else is unusual about it.
    """

    file: RequiredFile
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it is present and has no fault."""
        return self.file.present and not self.faults

    def as_row(self) -> dict[str, str]:
        """Return the row of a table."""
        return self.file.as_row() | ({"here": "faulty"} if self.faults else {})


def required_splits(recipes: Sequence[str], protocol: str, registry: Registry) -> list[FeatureRequest]:
    """Return the splits that recipes need under a protocol; those of all shipped recipes by default."""
    file = find("protocol", protocol)
    rules = load_protocol(file, registry)
    names = recipes or [path.stem for path in shipped("recipe")]
    methods = [method for name in names for method in expand(name, registry).methods]
    return [request for method in methods for request in RequiredSplits(method.recipe, rules, file).all]


def status_of_requests(requests: Sequence[FeatureRequest]) -> list[FileStatus]:
    """Return the files that some splits need, each once."""
    files: dict[RequiredFile, list[FeatureRequest]] = {}
    for request in requests:
        for file in request.required_files:
            files.setdefault(file, []).append(request)
    return [_examined(file, _uses(users)) for file, users in files.items()]


def status_of_folder(folder: DatasetFolder) -> list[FileStatus]:
    """Return the files of a data set: annotations, published and present features, and audio."""
    uses = [(folder, split) for split in folder.splits]
    encoders = dict.fromkeys([*folder.features, *(path.stem for path in folder.feature_files)])
    files = [
        RequiredFile(
            f"annotations of {folder.name} {split}",
            folder.annotations(split),
            folder.annotations(split).is_file(),
            published.published,
            "",
        )
        for split, published in folder.splits.items()
    ]
    for encoder in encoders:
        path = folder.root / FEATURES / f"{encoder}.h5"
        published = folder.features.get(encoder, NOT_PUBLISHED)
        files.append(
            RequiredFile(f"features {encoder} of {folder.name}", path, path.is_file(), published, "")
        )
    audio = RequiredFile(f"audio of {folder.name}", folder.audio_folder, folder.has_audio, folder.audio, "")
    return [_examined(file, uses) for file in (*files, audio)]


def _uses(requests: Sequence[FeatureRequest]) -> list[tuple[DatasetFolder, str]]:
    return [
        (request.dataset.dataset_folder, request.split)
        for request in requests
        if isinstance(request.dataset, HasDatasetFolder)
    ]


def _examined(file: RequiredFile, uses: Sequence[tuple[DatasetFolder, str]]) -> FileStatus:
    """Return the status of a file that some splits of data set folders need."""
    if not file.present:
        return FileStatus(file)
    faults: list[str] = []
    notes: list[str] = []
    for folder, split in uses:
        try:
            for finding in _findings(file, folder, split):
                texts = faults if finding.fault else notes
                where = f": {some(finding.where, 3)}" if finding.where else ""
                texts.append(f"{file.path}: {finding.text}{where}.")
        except DataError as error:
            faults.append(str(error))
    return FileStatus(file, tuple(dict.fromkeys(faults)), tuple(dict.fromkeys(notes)))


def _findings(file: RequiredFile, folder: DatasetFolder, split: str) -> Iterator[Finding]:
    """Yield what is unusual about a file, for a split; DataError if it cannot be read."""
    annotations = folder.annotations(split)
    if file.path == annotations:
        queries = folder.queries(split)
        yield from (finding for finding in annotation_findings(queries) if finding.fault)
        if differs_from_published(folder, split):
            yield size_finding(folder, split, queries)
    elif file.path.parent == folder.root / FEATURES:
        features = open_feature_file(file.path)
        if annotations.is_file():
            queries = folder.queries(split)
            findings = feature_findings(file.path.stem, features, queries, read_rows=False)
            yield from (finding for finding in findings if finding.fault)
    elif file.path == folder.audio_folder and annotations.is_file():
        folder.refuse_missing_audio(query.vid for query in folder.queries(split))
