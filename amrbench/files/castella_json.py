"""The JSON files of CASTELLA, as in github.com/line/CASTELLA: a list of recordings with their moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amrbench.errors import DataError
from amrbench.files.jsonl import LARGEST, NUMBERS, parse_json, shown
from amrbench.types import Query


def parse_castella(path: Path, text: str) -> Iterator[Query]:
    """Yield the queries in the text of a file; their windows keep their order.

    Args:
        path: The file, for messages.
        text: Its text.

    Raises:
        DataError: The text is not JSON, or not as in CASTELLA.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        if _is_json(text.lstrip().partition("\n")[0]):
            raise DataError(
                f"{path}: is JSON Lines, not one JSON list as in CASTELLA. Annotations as JSON Lines need no "
                "conversion."
            ) from None
        raise DataError(f"{path}: cannot be read as JSON ({error}). Download it again.") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: is not a list of recordings, as in CASTELLA.")
    for number, entry in enumerate(content, start=1):
        try:
            yield from _queries(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: entry {number} is not as in CASTELLA ({type(error).__name__}: {error}): it "
                "needs yid, duration and moments with local_caption and timestamps."
            ) from error


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


def _queries(entry: Mapping[str, Any]) -> Iterator[Query]:
    vid, duration = _text(entry["yid"], "yid"), _seconds(entry["duration"], "duration")
    for number, moment in enumerate(entry["moments"], start=1):
        text = _text(moment["local_caption"], "local_caption")
        windows = []
        for window in moment["timestamps"]:
            if not isinstance(window, list) or len(window) != 2:
                raise TypeError(f"timestamps contain {shown(window)}, not [start, end]")
            windows.append((_seconds(window[0], "start"), _seconds(window[1], "end")))
        yield Query(f"{vid}_{number}", text, vid, duration, tuple(windows))


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {shown(value)}, not text")
    return value


def _seconds(value: Any, name: str) -> float:
    if type(value) not in NUMBERS or not abs(value) <= LARGEST:
        raise TypeError(f"{name} is {shown(value)}, not a number of seconds")
    return float(value)
