"""A collection of takes: a folder for each class of sounds, and a file that says how people name them.

    <folder>/sounds.yaml            phrases of each class, and which classes are speech
    <folder>/background/<takes>     ambiences without a sound that stands out
    <folder>/<class>/<takes>        audio files; those in a folder of their own stay together

The splits share no take, except that a class of two takes has one for training and selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from amrbench.content_hash import content_hash
from amrbench.data.audio import readable_suffixes
from amrbench.errors import DataError, RecipeError, did_you_mean, some
from amrbench.files.folder_files import files_below, is_hidden
from amrbench.files.remembered_hashes import file_hashes
from amrbench.files.yaml_file import Document, Mistake, mistakes_error, read_yaml
from amrbench.part import Strict
from amrbench_plugins.datasets.corpora.catalogue import hash_fraction

SOUNDS = "sounds.yaml"
BACKGROUND = "background"
SPLITS = ("train", "val", "test")
_TEST_SHARE, _VAL_SHARE = 3, 6
"""One of so many takes is for test or val."""
_HELD_OUT = 0.4
"""Share of the phrases of a class that only test has, rounded down."""

Phrase = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


class SoundsFile(Strict):
    """The content of `sounds.yaml`."""

    phrases: Mapping[str, Annotated[tuple[Phrase, ...], Field(min_length=1)]]
    speech: tuple[str, ...] = ()


@dataclass(frozen=True)
class Takes:
    """The takes of a class, or of the background.

    Attributes:
        train: To train on.
        val: To choose an epoch with.
        test: To score on.
    """

    train: tuple[Path, ...]
    val: tuple[Path, ...]
    test: tuple[Path, ...]

    def of(self, split: str) -> tuple[Path, ...]:
        """Return the takes of a split."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


@dataclass(frozen=True)
class SoundClass:
    """A class of sounds.

    Attributes:
        name: Of its folder.
        phrases: How people name it, in lower case and without a full stop; the last ones are for test only.
        takes: Of each split.
        speech: Whether it is speech.
    """

    name: str
    phrases: tuple[str, ...]
    takes: Takes
    speech: bool

    @property
    def known_phrases(self) -> tuple[str, ...]:
        """Return the phrases that all splits have."""
        return self.phrases[: len(self.phrases) - int(_HELD_OUT * len(self.phrases))]


@dataclass(frozen=True)
class Collection:
    """All takes of a folder."""

    folder: Path
    classes: tuple[SoundClass, ...]
    background: Takes

    def fingerprint(self) -> str:
        """Return a hash of phrases, and of names and content of all takes."""
        kinds = [(kind.name, kind.phrases, kind.speech, kind.takes) for kind in self.classes]
        kinds.append((BACKGROUND, (), False, self.background))
        paths = [path for *_, takes in kinds for split in SPLITS for path in takes.of(split)]
        hashes = dict(zip(paths, file_hashes(self.folder, paths), strict=True))
        return content_hash(
            [
                [name, phrases, speech, [self._named(takes.of(split), hashes) for split in SPLITS]]
                for name, phrases, speech, takes in kinds
            ]
        )

    def _named(self, paths: Sequence[Path], hashes: Mapping[Path, str]) -> list[tuple[str, str]]:
        return [(path.relative_to(self.folder).as_posix(), hashes[path]) for path in paths]


def read_collection(folder: Path) -> Collection:
    """Read the list of sounds, and list the takes; no audio is read.

    Raises:
        DataError: `sounds.yaml` is missing or wrong, it and the folders do not name the same classes, or a
            class has fewer than two takes.
    """
    file = folder / SOUNDS
    try:
        document = read_yaml(file)
        sounds = _validated(document)
        _refuse_other_folders(document, sounds, _folders_of(folder))
    except RecipeError as error:
        raise DataError(str(error)) from error
    classes = tuple(
        SoundClass(name, phrases, _takes_of(folder / name), name in sounds.speech)
        for name, phrases in sounds.phrases.items()
    )
    return Collection(folder, classes, _takes_of(folder / BACKGROUND))


def _validated(document: Document) -> SoundsFile:
    try:
        return SoundsFile.model_validate(document.data)
    except ValidationError as error:
        raise document.error_of(error.errors()) from error


def _folders_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(Path(path.name))}


def _refuse_other_folders(document: Document, sounds: SoundsFile, folders: set[str]) -> None:
    mistakes = list(_unknown_names(document, sounds, folders))
    if BACKGROUND not in folders:
        mistakes.append(Mistake(1, "", f"there is no folder {BACKGROUND!r} with ambiences beside this file."))
    if further := sorted(folders - sounds.phrases.keys() - {BACKGROUND}):
        line = document.line(("phrases",))
        text = f"has no phrases for {some(further)}; add them, or move the folders away."
        mistakes.append(Mistake(line, "phrases", text))
    if mistakes:
        raise mistakes_error(document.name, mistakes)


def _unknown_names(document: Document, sounds: SoundsFile, folders: set[str]) -> Iterator[Mistake]:
    for name in sounds.phrases:
        if name not in folders or name == BACKGROUND:
            near = did_you_mean(name, folders - {BACKGROUND})
            text = f"there is no folder of takes {name!r} beside this file.{near}"
            yield Mistake(document.line(("phrases", name)), f"phrases.{name}", text)
    for index, name in enumerate(sounds.speech):
        if name not in sounds.phrases:
            text = f"there are no phrases for {name!r}.{did_you_mean(name, sounds.phrases)}"
            yield Mistake(document.line(("speech", index)), f"speech.{index}", text)


def _takes_of(folder: Path) -> Takes:
    """Divide the takes of a class; those in one folder inside it are not divided."""
    suffixes = readable_suffixes()
    paths = [path for path in files_below(folder).files if path.suffix.lower() in suffixes]
    groups = [tuple(paths) for _, paths in groupby(paths, lambda path: path.relative_to(folder).parts[0])]
    if len(groups) < 2:
        held = "no take" if not paths else "one take"
        if len(paths) > 1:
            held = f"{len(paths)} takes in one folder, which stays together"
        raise DataError(
            f"{folder}: holds {held}. At least two are needed, one of which is kept for test. Add takes, or "
            f"delete the class from {SOUNDS} and move its folder away."
        )
    return divided(groups, folder.name)


def divided(groups: Sequence[tuple[Path, ...]], name: str) -> Takes:
    """Divide groups of takes between the splits, by hashes of their names.

    Args:
        groups: At least two.
        name: Of their class.
    """
    order = sorted(groups, key=lambda group: hash_fraction(f"{name}/{group[0].name}"))
    tests = max(1, len(order) // _TEST_SHARE)
    selects = max(1, len(order) // _VAL_SHARE)
    test, rest = order[:tests], order[tests:]
    val, train = (rest[:selects], rest[selects:]) if len(rest) > 1 else (rest, rest)
    first, second, third = (tuple(path for group in part for path in group) for part in (train, val, test))
    return Takes(first, second, third)
