"""Which file a recording has: ids and names of files, compared in one way everywhere.

A file has the name of an id if the id is the name of the file with or without suffix. Letters may be composed
or decomposed, the suffix may be in capitals, and the file may be in a sub-folder. If there is no such file,
suffixes of audio are left out on both sides, then the dots of the id, as in published archives; such a file
is accepted if no other id could have it. An id may also be a path below the folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from amrbench.data.audio import OTHER_SUFFIXES, SUFFIXES, readable_suffixes
from amrbench.errors import DataError, some
from amrbench.files.folder_files import FolderFiles, composed, files_below
from amrbench.notes import note

_OF_RECORDINGS = frozenset(SUFFIXES + OTHER_SUFFIXES)


def without_suffix(name: str) -> str:
    """Return a composed name without suffixes of audio and video files.

    >>> without_suffix("street.WAV"), without_suffix("2.5_street")
    ('street', '2.5_street')
    """
    name = composed(name)
    while (dot := name.rfind(".")) > 0 and name[dot:].lower() in _OF_RECORDINGS:
        name = name[:dot]
    return name


def loose_names(own: str) -> tuple[str, ...]:
    """Return the further names that the file of an id may have, the nearest first.

    >>> loose_names("2.5_street.wav")
    ('2.5_street', '25_street', '25_streetwav')
    """
    bare = without_suffix(own)
    return (bare, bare.replace(".", ""), composed(own).replace(".", ""))


def owners_of_loose_names(ids: Iterable[str]) -> dict[str, str]:
    """Return the ids by their loose names; without those that two ids have.

    >>> owners_of_loose_names(["b.0", "b0"])
    {'b.0': 'b.0'}
    """
    owners = defaultdict[str, set[str]](set)
    for own in ids:
        for name in loose_names(own):
            owners[name].add(own)
    return {name: next(iter(several)) for name, several in owners.items() if len(several) == 1}


class IdsByName:
    """The ids that files belong to which are read one after another, e.g. from an archive."""

    def __init__(self, ids: Iterable[str]) -> None:
        ids = list(ids)
        self._exact = {composed(own): own for own in reversed(ids)} | {own: own for own in ids}
        self._owners = owners_of_loose_names(ids)

    def id_of(self, file: PurePath) -> str | None:
        """Return the id whose name a file has; None if there is none."""
        for name in (file.stem, composed(file.stem), composed(file.name)):
            if name in self._exact:
                return self._exact[name]
        return self._owners.get(without_suffix(file.stem))


@dataclass(frozen=True, eq=False)
class RecordingFiles:
    """The files below a folder by the ids that they belong to. Pickles.

    Attributes:
        folder: The folder; it need not exist.
        ids: All ids whose file may be named without suffix of audio or without dots.
        suffixes: Of the files that can be read, in lower case.
    """

    folder: Path
    ids: Sequence[str]
    suffixes: tuple[str, ...]

    @classmethod
    def with_audio(cls, folder: Path, ids: Iterable[str]) -> RecordingFiles:
        """Return the audio files below a folder."""
        return cls(folder, tuple(dict.fromkeys(ids)), readable_suffixes())

    @cached_property
    def listed(self) -> FolderFiles:
        """Return all files below the folder; they are listed once."""
        return files_below(self.folder) if self.folder.is_dir() else FolderFiles(self.folder)

    @cached_property
    def readable(self) -> list[Path]:
        """Return the files that can be read, sorted."""
        return [path for path in self.listed.files if path.suffix.lower() in self.suffixes]

    def find(self, own: str) -> Path | None:
        """Return the file of an id; None if there is none.

        Raises:
            DataError: Several files could be the one.
        """
        paths = self._paths_of(own)
        return only_file(paths, own, self.folder) if paths else None

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return those ids among some that have no file.

        Raises:
            DataError: Several files could be that of an id.
        """
        return [own for own in dict.fromkeys(ids) if self.find(own) is None]

    def others(self, ids: Iterable[str]) -> list[Path]:
        """Return the files that belong to none of some ids."""
        used = {path for own in ids for path in self._paths_of(own)}
        return [path for path in self.listed.files if path not in used]

    def _paths_of(self, own: str) -> list[Path]:
        name = composed(own)
        if paths := self._by_name.get(name):
            return paths
        if "/" in name or "\\" in name:
            return self._by_path.get(name.replace("\\", "/").removeprefix("./"), [])
        for loose in loose_names(own):
            if self._owners.get(loose) == own and (paths := self._by_loose_name.get(loose)):
                return paths
        return []

    @cached_property
    def _owners(self) -> Mapping[str, str]:
        return owners_of_loose_names(self.ids)

    @cached_property
    def _by_name(self) -> Mapping[str, list[Path]]:
        return _index(self.readable, lambda path: _with_and_without_suffix(path, _stem(path)))

    @cached_property
    def _by_loose_name(self) -> Mapping[str, list[Path]]:
        return _index(self.readable, lambda path: [without_suffix(_stem(path))])

    @cached_property
    def _by_path(self) -> Mapping[str, list[Path]]:
        def names(path: Path) -> Iterator[str]:
            for name in _with_and_without_suffix(path, name_below(self.folder, path)):
                yield from (name, f"{self.folder.name}/{name}")

        return _index(self.readable, names)


def name_below(folder: Path, path: Path) -> str:
    """Return the path of a file below a folder, without its suffix and with composed letters.

    >>> name_below(Path("audio"), Path("audio/day1/a.wav"))
    'day1/a'
    """
    return composed(path.relative_to(folder).with_suffix("").as_posix().replace("\\", "/"))


def _stem(path: Path) -> str:
    """Return the name of a file without suffix, and without folders that archives of Windows put into it."""
    return path.stem.rpartition("\\")[2]


def only_file(paths: Sequence[Path], own: str, folder: Path) -> Path:
    """Return the one file of an id; a file that libsndfile reads comes before others, with a note.

    Raises:
        DataError: Several different files could be the one.
    """
    if len(paths) == 1:
        return paths[0]
    usual = [path for path in paths if path.suffix.lower() in SUFFIXES]
    first, *further = usual or paths
    for path in further:
        if not path.samefile(first):
            one, other = first.relative_to(folder), path.relative_to(folder)
            raise DataError(
                f"{folder}: '{one}' and '{other}' could both be the file of {own!r}. Move one of them away, "
                "or give the two recordings ids of their own."
            )
    if left_out := [str(path.relative_to(folder)) for path in paths if usual and path not in usual]:
        note(f"{folder}: '{first.relative_to(folder)}' is read as {own!r}, and {some(left_out)} is not.")
    return first


def _with_and_without_suffix(path: Path, stem: str) -> list[str]:
    suffix = path.suffix
    names = [stem, stem + suffix]
    return names if suffix.islower() else [*names, stem + suffix.lower()]


def _index(paths: Iterable[Path], names: Callable[[Path], Iterable[str]]) -> dict[str, list[Path]]:
    """Return paths by each of their names, composed."""
    index = defaultdict[str, list[Path]](list)
    for path in paths:
        for name in {composed(name) for name in names(path)}:
            index[name].append(path)
    return dict(index)
