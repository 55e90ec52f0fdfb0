"""Data sets, annotations and encoders that commands are given by name, with options, by folder or file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from amrbench.config.load import parse_part
from amrbench.data.local_dataset import DatasetFolder, HasDatasetFolder
from amrbench.data.required_splits import describe_part
from amrbench.errors import DataError, did_you_mean
from amrbench.files.annotations import read_annotations
from amrbench.registry import Registry
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart
from amrbench.tools.annotation_statistics import known_queries
from amrbench.tools.verify_shards import has_manifest
from amrbench.types import Query


def is_dataset(name: str, registry: Registry) -> bool:
    """Whether a name is that of a data set, maybe with options, or of a folder with annotations."""
    folder = Path(name)
    if ": " in name and not folder.exists():  # {use: files, folder: x}, and no file of an unusual name
        return True
    return name in registry.names(DatasetPart.slot) or (folder.is_dir() and any(folder.glob("*.jsonl")))


def holds_shards(name: str, registry: Registry) -> bool:
    """Whether a name is that of a folder of feature files with a manifest, and not of a data set."""
    if name in registry.names(DatasetPart.slot) or not has_manifest(Path(name)):
        return False
    return not dataset_folder(name, registry).present_splits


def refuse_unknown(name: str, what: str, known: Mapping[str, Sequence[str]]) -> None:
    """Raise DataError unless a name is a path that exists, or one of those that are known of each kind."""
    names = [own for listed in known.values() for own in listed]
    if name in names or Path(name).exists():
        return
    lists = " ".join(f"{kind}: {', '.join(listed) or 'none'}." for kind, listed in known.items())
    raise DataError(
        f"there is no {what} {name!r}: no such file or folder, and none of this name."
        f"{did_you_mean(name, names)} {lists}"
    )


def dataset_part(name: str, registry: Registry) -> DatasetPart:
    """Return the data set of a name, or of a name with options.

    Raises:
        DataError: There is none of this name, or it is that of a file.
        RecipeError: The options are wrong.
    """
    if ":" not in name:  # Options have colons: {use: files, folder: x}.
        names = registry.names(DatasetPart.slot)
        refuse_unknown(name, "data set", {"Data sets": names})
        if Path(name).is_file() and name not in names:
            raise DataError(f"{name}: is a file. Name a data set, or the folder of its annotations.")
    return parse_part(name, DatasetPart, registry, called="the data set")  # type: ignore[type-abstract]


def dataset_folder(name: str, registry: Registry) -> DatasetFolder:
    """Return the folder of a data set, given by its name or by the folder itself.

    Raises:
        DataError: There is no such data set, or it is generated.
    """
    is_folder = name not in registry.names(DatasetPart.slot) and Path(name).is_dir()
    options = json.dumps({"use": "files", "folder": name}, ensure_ascii=False) if is_folder else name
    part = dataset_part(options, registry)
    if not isinstance(part, HasDatasetFolder):
        raise DataError(
            f"the data set {name!r} is generated and has no folder. Name one with files, or a folder."
        )
    return part.dataset_folder


def annotations_of(name: str, registry: Registry) -> Iterator[tuple[str, list[Query]]]:
    """Yield a title and the queries of an annotation file, or of each split of a data set."""
    if Path(name).is_file():
        yield name, read_annotations(Path(name))
    elif name not in registry.names(DatasetPart.slot) and Path(name).is_dir():
        folder = dataset_folder(name, registry)
        yield from ((f"{name} {split}", folder.queries(split)) for split in folder.annotated_splits)
    else:
        part = dataset_part(name, registry)
        yield from ((f"{describe_part(part)} {split}", queries) for split, queries in known_queries(part))


def encoder_of(name: str, registry: Registry) -> FeaturesPart:
    """Return the encoder of a name, or of a name with options.

    Raises:
        DataError: It combines several encoders.
        RecipeError: There is none of this name.
    """
    part = parse_part(name, FeaturesPart, registry, called="--encoder")  # type: ignore[type-abstract]
    if len(part.encoders) > 1:
        encoders = ", ".join(encoder.label for encoder in part.encoders)
        raise DataError(
            f"--encoder: {part.use!r} combines several encoders ({encoders}); give them one by one."
        )
    return part
