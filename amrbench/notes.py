"""Notes: what people must know of a command that succeeds, e.g. that a sentence was shortened.

A note is a warning of the class `Note`, so Python programs can list, silence or raise it like any other. The
commands print each note once on stderr, and put it under `notes` in their JSON.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_issued: ContextVar[list[str]] = ContextVar("_issued")


class Note(UserWarning):
    """One sentence that names the file, and what was read or done differently than people may expect."""


def note(text: str) -> None:
    """Issue a note.

    >>> with collected_notes() as notes:
    ...     note("a.jsonl: starts with a byte order mark, which is ignored.")
    >>> notes
    ['a.jsonl: starts with a byte order mark, which is ignored.']
    """
    warnings.warn(text, Note, stacklevel=2)


@contextmanager
def collected_notes(report: Callable[[str], object] = str) -> Iterator[list[str]]:
    """Collect the notes that are issued inside, each text once; other warnings are shown as usual.

    Args:
        report: Called with each note as it is issued.
    """
    notes: list[str] = []
    token = _issued.set(notes)
    with warnings.catch_warnings():
        warnings.simplefilter("always", Note)
        show = warnings.showwarning

        def collect(message, category, filename, lineno, file=None, line=None):  # type: ignore[no-untyped-def]
            if not issubclass(category, Note):
                show(message, category, filename, lineno, file, line)
            elif str(message) not in notes:
                notes.append(str(message))
                report(str(message))

        warnings.showwarning = collect
        try:
            yield notes
        finally:
            _issued.reset(token)


def issued_notes() -> list[str]:
    """Return the notes that the innermost `collected_notes` has collected so far."""
    return _issued.get([])
