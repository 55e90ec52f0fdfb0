"""Errors caused by bad input, and helpers for their messages.

Every error that bad input can cause is an `AmrbenchError`; the command line prints its text and exits
with 2. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten

LONGEST_REASON = 400
"""Characters of what another package says, in a message."""


class AmrbenchError(Exception):
    """The user's input cannot be used; the text names file, location, value and remedy."""


class RecipeError(AmrbenchError):
    """A recipe, protocol or study is wrong."""


class PluginError(AmrbenchError):
    """A plugin cannot be used."""


class DataError(AmrbenchError):
    """An annotation, prediction, feature or audio file is wrong or missing."""


class CheckpointError(AmrbenchError):
    """A weights file is wrong, or holds objects that are refused."""


class RunError(AmrbenchError):
    """A run cannot be started, continued or found."""


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error for a file that the system does not let us read."""
    return DataError(f"{path}: cannot be read ({error.strerror}). Check the path.")


def unwritable(path: Path | str, error: OSError) -> RunError:
    """Return the error for a file or folder of a run, a stage or an extraction that cannot be written."""
    return RunError(f"{path}: cannot be written ({error.strerror}). Check the folder and the disk.")


@contextmanager
def as_run_error(what: str, remedy: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of another package into a RunError; for a few lines that do little but call it.

    Args:
        what: What failed, with options and their values.
        remedy: What to do about it.
        kinds: The exceptions.

    Raises:
        RunError: One of them was raised.
    """
    try:
        yield
    except (AmrbenchError, MemoryError):
        raise
    except kinds as error:
        reason = shorten(str(error), LONGEST_REASON) or type(error).__name__
        raise RunError(f"{what} ({reason}). {remedy}") from error


def dotted(path: Iterable[object]) -> str:
    """Return the keys and indices that lead to a value as text.

    >>> dotted(("training", "losses", 1, "weight"))
    'training.losses.1.weight'
    """
    return ".".join(str(step) for step in path)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or an empty string.

    >>> did_you_mean("flim", ["film", "cross-attention"])
    " Did you mean 'film'?"
    """
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the nearest known name, or an empty string if none is near.

    >>> nearest("flim", ["film", "cross-attention"])
    'film'
    """
    return next(iter(get_close_matches(str(name), list(known), n=1, cutoff=0.6)), "")


def some(values: Iterable[object], limit: int = 5) -> str:
    """List the first few values for a message and count the rest.

    >>> some(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    shown = [repr(value) for value in values]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")
