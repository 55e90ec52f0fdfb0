"""What trackers are given: names and numbers of epochs and of tables."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from types import ModuleType

from amrbench.errors import RunError
from amrbench.slots.observers import ObservedEpoch, ObservedRow


def epoch_values(epoch: ObservedEpoch) -> dict[str, float]:
    """Return the numbers of an epoch by name: "loss", "loss/<term>" and "val/<read-out>/<metric>"."""
    values = {"loss": sum(epoch.losses.values())}
    values |= {f"loss/{name}": value for name, value in epoch.losses.items()}
    for readout, metrics in epoch.val.items():
        values |= {f"val/{readout}/{name}": value for name, value in metrics.items()}
    return values | {"seconds": epoch.seconds}


def row_values(row: ObservedRow) -> dict[str, float]:
    """Return the metrics of a row by name: "<split>/<metric>/<member>"."""
    return {f"{row.split}/{name}/{row.member}": value for name, value in row.metrics.items()}


def plain_name(name: str) -> str:
    """Return a name of a run or stage with what is not allowed in names of files left out.

    >>> plain_name("ours3 finetune, seed 1")
    'ours3 finetune, seed 1'
    >>> plain_name("../a:b")
    '___a_b'
    """
    return re.sub(r"[^\w ,@+-]|^\s|\s$", "_", name)


def markdown(rows: Mapping[str, str]) -> str:
    """Return rows of a name and a text as a table in Markdown."""
    lines = [f"| {name} | {text.replace('|', ' ')} |" for name, text in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def imported(package: str, extra: str) -> ModuleType:
    """Return a package; RunError says with which extra it is installed."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise RunError(
            f"the observer needs the package {package.partition('.')[0]}. Install it with 'pip install "
            f"amrbench[{extra}]'."
        ) from error
