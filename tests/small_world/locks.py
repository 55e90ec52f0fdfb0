"""Hold a lock as another process would."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from amrbench.files.claim import exclusive


@contextmanager
def held(lock: Path) -> Iterator[Callable[[], None]]:
    """Hold a lock and offer a function that releases it; after 30 s it is released, so that no test hangs."""
    with ExitStack() as holding:
        holding.enter_context(exclusive(lock, pytest.fail))
        timer = threading.Timer(30, holding.close)
        timer.start()
        holding.callback(timer.cancel)
        yield holding.close
