"""Messages for errors that mean that memory is short. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import override

from amrbench.errors import RunError

_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "ALLOC_FAILED", "bad_alloc")
"""In texts of RuntimeError: torch on a GPU, torch on CPU, the system, libraries for GPUs, and C++."""
_ASKED = re.compile(
    r"(?:tried to allocate|unable to allocate) (?P<size>[\d.]+) ?(?P<unit>[KMGTP]iB|bytes)", re.I
)
_SPACE = re.compile(
    r"GPU \d+ has a total capacity of [\d.]+ [KMGT]iB of which [\d.]+ [KMGT]?i?B(?:ytes)? is free"
)


def memory_request(error: BaseException) -> str | None:
    """Return what an error asked for, e.g. "2.00 GiB could not be had"; None if memory was not short."""
    text = str(error)
    if not isinstance(error, MemoryError):
        if not isinstance(error, RuntimeError):
            return None
        if not any(sign.lower() in text.lower() for sign in _SIGNS):
            return None
    asked = _ASKED.search(text)
    request = f"{_size(asked['size'], asked['unit'])} could not be had" if asked else "no more could be had"
    space = _SPACE.search(text)
    return f"{request} ({space[0]})" if space else request


class MemoryShortError(RunError):
    """Memory is short.

    Attributes:
        request: What could not be had; see `memory_request`.
    """

    def __init__(self, text: str, request: str) -> None:
        super().__init__(text)
        self.request = request

    @override
    def __reduce__(self) -> tuple[type[MemoryShortError], tuple[str, str]]:
        return type(self), (str(self), self.request)


@contextmanager
def explained_memory(where: str, remedy: str) -> Iterator[None]:
    """Turn errors that mean that memory is short into one message.

    Args:
        where: What is done inside, e.g. "toy finetune, validation".
        remedy: What to lower, as a sentence.

    Raises:
        MemoryShortError: Memory is short.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        request = memory_request(error)
        if request is None:
            raise
        raise MemoryShortError(f"{where}: out of memory: {request}. {remedy}", request) from error


def _size(number: str, unit: str) -> str:
    if unit.lower() != "bytes":
        return f"{number.rstrip('.')} {unit}"
    size, names = float(number), ["KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and names:
        size, unit = size / 1024, names.pop(0)
    return f"{size:.2f} {unit}" if unit != "bytes" else f"{size:.0f} bytes"
