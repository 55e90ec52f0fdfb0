"""Claims: which process makes something in a folder, of this machine or shared by several.

A claim is a file that can be made only once. It holds the host and the number of the process, which touches
it again and again. One that was not touched for a minute is void, and so is one of a process of this host
that has ended. No lock of the operating system is needed, which shared file systems may lack. A process that
was stopped for more than a minute may go on although another has taken its claim, so what is made must allow
that both finish it.

Clocks may jump. A minute is over by the clock of the file system, if no touch was seen for more than two
renewals after that; or by the own clock of the process that waits, which never jumps.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from amrbench.errors import DataError
from amrbench.files.owner import Owner, this_process

RENEW_SECONDS = 10.0
VOID_SECONDS = 60.0
"""Age at which a claim is void; several renewals may be late or lost."""
SEEN_SECONDS = 2.5 * RENEW_SECONDS
"""Time without a renewal after which an age by the clock of the file system is trusted."""
PAUSE_SECONDS = 0.2
"""Time between two attempts to get a claim."""


class Claim:
    """A file that says which process makes something."""

    _held: set[Path] = set()  # noqa: RUF012  shared on purpose: the claims of this process
    _seen: dict[Path, tuple[tuple[int, int], float]] = {}  # noqa: RUF012  and those that it waits for

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self) -> bool:
        """Take the claim if no other process holds it.

        Raises:
            DataError: The file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._make() and not self._replace_void():
                return False
        except OSError as error:
            reason = f"{error.filename or self.path}: {error.strerror}"
            raise DataError(f"{self.path}: cannot be written ({reason}). Choose another folder.") from error
        self._held.add(self.path)
        self._seen.pop(self.path, None)
        return True

    def renew(self) -> None:
        """Say that the process is still there; a claim that another process has taken over is left alone."""
        if self.is_held():
            with suppress(OSError):
                os.utime(self.path)

    def is_free(self) -> bool:
        """Whether a process could take the claim now."""
        return not self.path.exists() or self._is_void(self.owner())

    def age(self) -> float:
        """Return the seconds since it was renewed, by the clock of the file system; 0 if there is none."""
        try:
            return max(0.0, self._now() - self.path.stat().st_mtime)
        except OSError:
            return 0.0

    def is_held(self) -> bool:
        """Whether this process still holds the claim: after a long stop, another may have taken it."""
        return self.path in self._held and self.owner() == this_process()

    def release(self) -> None:
        """Give the claim up."""
        if self.is_held():
            self.path.unlink(missing_ok=True)
        self._held.discard(self.path)

    def owner(self) -> Owner | None:
        """Return who holds it; None if nobody does, or if the file is damaged."""
        try:
            return Owner(**json.loads(self.path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _make(self) -> bool:
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(asdict(this_process())).encode())
        except OSError:
            self.path.unlink(missing_ok=True)
            raise
        return True

    def _replace_void(self) -> bool:
        """Take the claim if it is void. Of several processes that find it void, one can rename it."""
        owner = self.owner()
        if not self._is_void(owner):
            return False
        aside = self.path.with_name(f".{self.path.name}.{this_process().label}.void")
        with suppress(FileNotFoundError):
            self.path.rename(aside)
            if Claim(aside).owner() != owner:  # Another process has replaced it just now.
                aside.rename(self.path)
                return False
            aside.unlink()
        return self._make()

    def _is_void(self, owner: Owner | None) -> bool:
        if owner == this_process() and self.path not in self._held:
            return True  # Of an earlier process with the same number.
        if owner and owner.has_ended():
            return True
        with suppress(FileNotFoundError):
            touched = self.path.stat()
            seen = self._seen_for((touched.st_ino, touched.st_mtime_ns))
            late = seen > SEEN_SECONDS and self._now() - touched.st_mtime > VOID_SECONDS
            return late or seen > VOID_SECONDS
        return True

    def _seen_for(self, touch: tuple[int, int]) -> float:
        """Return for how long this process has seen no other touch, in seconds."""
        now = time.monotonic()
        if self._seen.get(self.path, (None,))[0] != touch:
            self._seen[self.path] = touch, now
        return now - self._seen[self.path][1]

    def _now(self) -> float:
        """Return the time by the clock of the file system."""
        probe = self.path.with_name(f".{self.path.name}.{this_process().label}.clock")
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def claim_beside(output: Path) -> Path:
    """Return the path of the claim on an output and on the unfinished parts beside it, which share its stem.

    Its name is none that people or other programs give to a file: a void claim is removed.

    >>> claim_beside(Path("/data/features.h5"))
    PosixPath('/data/.features.amrbench.lock')
    """
    path = Path(os.path.abspath(output))  # One such as "." has no name of its own.
    return path.parent / f".{path.stem}.amrbench.lock"


@contextmanager
def claimed(path: Path) -> Iterator[Claim | None]:
    """Hold a claim within this context; None if another process holds it.

    Raises:
        DataError: The file cannot be written.
    """
    claim, ended = Claim(path), threading.Event()
    if not claim.take():
        yield None
        return

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            claim.renew()

    thread = threading.Thread(target=renew, name=f"claim of {path.name}", daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        ended.set()
        thread.join()
        claim.release()


@contextmanager
def exclusive(path: Path, waiting: Callable[[str], None]) -> Iterator[Claim]:
    """Hold a claim within this context; wait while another process holds it.

    Args:
        path: The file; it is removed at the end.
        waiting: Called once with the holder, e.g. "123 on gpu4", if the claim is not free.

    Raises:
        DataError: The file cannot be written.
    """
    waited = False
    while True:
        with claimed(path) as claim:
            if claim:
                yield claim
                return
        if not waited:
            waited = True
            owner = Claim(path).owner()
            waiting(owner.text() if owner else "unknown")
        time.sleep(PAUSE_SECONDS)
