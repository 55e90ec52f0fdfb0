"""What `amrbench runs` lists: folders and files of the cache and of folders of runs, and their claims."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amrbench.errors import DataError
from amrbench.files.claim import SEEN_SECONDS, VOID_SECONDS, Claim
from amrbench.files.owner import Owner, number_space

SETTLE_SECONDS = SEEN_SECONDS + 1
"""Time after which a claim that seemed void is void, or was renewed."""
Kind = Literal["run", "stage", "data", "leftover"]


@dataclass(frozen=True)
class StoredItem:
    """A folder or file.

    Attributes:
        kind: A finished run, a trained stage, prepared data, or what is none of these any more.
        path: Of the folder or file.
        claim: The claim of the process that makes it.
        about: What it holds.
        size: Of its files, in bytes.
        used_by: Folders of the runs that a stage or prepared data is of.
        stale: Why it may be removed; empty where it is of use.
        held: The process that makes it, or may read it; empty for none. It cannot be removed then.
    """

    kind: Kind
    path: Path
    claim: Path
    about: str
    size: int
    used_by: tuple[str, ...] = ()
    stale: str = ""
    held: str = ""

    @property
    def name(self) -> str:
        """Return the name by which it is removed, unless an item of another folder has the same."""
        return self.path.name

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "path": str(self.path),
            "about": self.about,
            "size": self.size,
            "used_by": list(self.used_by),
            "stale": self.stale,
            "held": self.held,
        }

    def remove(self) -> None:
        """Remove it while no other process can make it.

        Raises:
            DataError: Another process holds its claim, or it cannot be removed.
        """
        claim = Claim(self.claim)
        if not claim.take():
            owner = claim.owner()
            holder = f"process {owner.text()}" if owner else "a process"
            raise DataError(f"{self.path}: {holder} has just begun to use it. Give the same command again.")
        try:
            if self.path == self.claim:
                return
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(
                f"{error.filename}: cannot be removed ({error.strerror}). Let this user write there."
            ) from error
        finally:
            claim.release()


class Claims:
    """The claims in a folder, and which processes hold them.

    A claim of another machine is taken to be void if it was not renewed for a minute; see `doubtful`.

    Attributes:
        held: Owner of each claim that is held, as text.
        labels: Of the processes that hold them, as they are in names of unfinished folders.
        doubtful: Claims that seem void. After `SETTLE_SECONDS` it is known that nobody renews them.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = list(paths)
        self.held: dict[Path, str] = {}
        self.labels: dict[str, str] = {}
        self.doubtful: list[Claim] = []
        for path in self.paths:
            self._add(Claim(path))

    def holder(self, claim: Path, label: str = "") -> str:
        """Return who holds a claim, or is the process of a label that holds any; empty for nobody."""
        return self.held.get(claim, "") or (self.labels.get(label, "") or _alive(label) if label else "")

    @property
    def busy(self) -> str:
        """Return one process that holds a claim; empty if there is none."""
        return next(iter(self.held.values()), "")

    def _add(self, claim: Claim) -> None:
        if claim.is_free():
            return
        if claim.age() > VOID_SECONDS:
            self.doubtful.append(claim)
        else:
            self._hold(claim)

    def _hold(self, claim: Claim) -> None:
        owner = claim.owner()
        self.held[claim.path] = owner.text() if owner else "unknown"
        if owner:
            self.labels[owner.label] = owner.text()


def _alive(label: str) -> str:
    """Return the number of the process of a label if it is of this machine and has not ended."""
    space, _, number = label.rpartition("-")
    if space != number_space() or not number.isdecimal():
        return ""
    return "" if Owner("", int(number), space).has_ended() else number


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; files that vanish meanwhile count 0."""
    if path.is_symlink() or not path.is_dir():
        with suppress(OSError):
            return path.lstat().st_size
        return 0
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total


def size_text(size: int) -> str:
    """Return a number of bytes for people.

    >>> size_text(3 * 2**20)
    '3.0 MiB'
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, by name; nothing if there is no such folder.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}). Let this user read it.") from error
