"""Make the next item while the current one is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def look_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items; a thread makes each of them while the one before is used.

    So a GPU does not wait for its next batch. What an item raises is raised where it is due.
    """
    iterator = iter(items)

    def following() -> list[T]:
        return list(islice(iterator, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="look-ahead") as pool:
        coming = pool.submit(following)
        while item := coming.result():
            coming = pool.submit(following)
            yield from item
