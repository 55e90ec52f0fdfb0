"""The contract of observers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from amrbench.errors import RunError
from amrbench.interfaces import brief
from amrbench.part import Part
from amrbench.slots.observers import (
    ObservedEpoch,
    ObservedRow,
    ObservedRun,
    Observer,
    ObserverPart,
)
from amrbench.testing.small_data import ContractFixture, expect

RUNS = [
    ObservedRun(
        name=f"{recipe}@tiny-0123abcd",
        folder=Path("runs") / f"{recipe}@tiny-0123abcd",
        recipe=recipe,
        protocol="tiny",
        about="For tests. Stand-ins: a stands in for b.",
        options={"model": {"use": "toy", "width": 8}, "soup": None, "ranking": ["clip", "round"]},
        stages=("toy pretrain", f"{recipe} finetune, seed 0", f"{recipe} finetune, seed 1"),
    )
    for recipe in ("one", "two <b>|")
]
"""Two runs that share a stage."""


def check_observer(part: Part, fixture: ContractFixture) -> None:
    """Check that an observer bears whole, stopped and empty commands, and changes nothing it is shown.

    It works in an empty folder of its own. One whose package is not installed cannot be checked further.
    """
    who, part = f"observer {part.use!r}", cast("ObserverPart", part)
    with TemporaryDirectory() as folder, chdir(folder):
        try:
            observer = part.build()
            _close_unbegun(observer, who)
        except RunError as error:
            if isinstance(error.__cause__, ImportError):
                return
            raise
        expect(not list(Path().iterdir()), f"{who}: build and close write files before anything begins.")
        for epochs in (0, 1, 2):
            observer = part.build()
            shown = [RUNS, *seen_epochs(epochs), *rows_of(epochs)]
            before = copy.deepcopy(shown)
            returned = show(observer, epochs, shown)
            expect(shown == before, f"{who}: it changes what it is shown.")
            wrong = [own for own in returned if own is not None]
            expect(not wrong, f"{who}: a method returns {brief(next(iter(wrong), None))}, not None.")


def _close_unbegun(observer: Observer, who: str) -> None:
    """Close an observer as a command does that fails before anything is trained."""
    try:
        observer.close()
    except RunError:
        raise
    except Exception as error:
        raise AssertionError(
            f"{who}: close fails where begin was not called: {type(error).__name__}: {error}. A command that "
            "fails early calls it too, so set in __init__ what it reads."
        ) from error


def seen_epochs(count: int) -> list[ObservedEpoch]:
    """Return epochs of the three stages of the first run, and of a stage that goes on and repeats one."""
    names = tuple(run.name for run in RUNS)
    stages = [(RUNS[0].stages[0], names), *((stage, names[:1]) for stage in RUNS[0].stages[1:])]
    epochs = [
        ObservedEpoch(
            stage=stage,
            runs=runs,
            epoch=number,
            epochs=2,
            losses={"spans": 1.5 / number, "balance": -0.25},
            val={"decoder": {"R1@0.7": 12.5, "mAP": 3.0}} if number > 1 else {},
            seconds=0.5,
        )
        for stage, runs in stages
        for number in range(1, count + 1)
    ]
    return [*epochs, *epochs[-1:]]


def rows_of(count: int) -> list[list[ObservedRow]]:
    """Return the rows of each run, of which the second is not scored; none if the command was stopped."""
    rows = [ObservedRow("seed 0", "test", {"R1@0.7": 10.0}), ObservedRow("mean", "test", {"R1@0.7": 10.0})]
    return [rows, [ObservedRow("seed 0", "eval", {})]] if count != 1 else []


def show(observer: Observer, epochs: int, shown: Sequence[object]) -> list[object]:
    """Show runs, epochs and rows to an observer; return what its methods return."""
    count = len(seen_epochs(epochs))
    runs, rows = cast("list[ObservedRun]", shown[0]), shown[count + 1 :]
    returned: list[object] = [observer.begin(runs)]  # type: ignore[func-returns-value]
    returned += [observer.epoch(cast("ObservedEpoch", own)) for own in shown[1 : count + 1]]  # type: ignore[func-returns-value]
    for run, own in zip(runs, rows, strict=False):
        returned.append(observer.end(run, cast("list[ObservedRow]", own)))  # type: ignore[func-returns-value]
    return [*returned, observer.close()]  # type: ignore[func-returns-value]
