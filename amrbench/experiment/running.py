"""The claim of a process that runs recipes: it may read all of the cache folder until it ends. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from amrbench.errors import DataError
from amrbench.files.claim import claimed
from amrbench.files.owner import this_process
from amrbench.files.run_folders import remember_runs
from amrbench.training.store_layout import CLAIM, RUNNING


@contextmanager
def running(cache: Path, out: Path) -> Iterator[None]:
    """Let nobody remove anything from a cache folder within this context, and remember the folder of runs.

    Stages and data have claims only while they are made, and a run reads them until it has scored. A folder
    that cannot be written to is used without a claim: it may hold all that a run needs.

    Args:
        cache: The cache folder.
        out: The folder of the runs, which `amrbench runs` asks what is of use, wherever it is called.
    """
    remember_runs(cache, out)
    with ExitStack() as stack:
        with suppress(DataError):
            stack.enter_context(claimed(cache / RUNNING / f"{this_process().label}{CLAIM}"))
        yield
