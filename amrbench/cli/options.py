"""Options that several commands have, and how commands load the registry and print tables."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from amrbench.registry import Registry


class Format(StrEnum):
    """How a table is printed."""

    github = "github"
    tsv = "tsv"
    latex = "latex"
    json = "json"


Without = Annotated[list[str] | None, typer.Option(help="leave a plugin out; may be repeated")]
FormatOption = Annotated[Format, typer.Option("--format", help="how the table is printed")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
ProtocolName = Annotated[str, typer.Option(help="protocol: a shipped name or a file")]


def registry_of(without: list[str] | None) -> Registry:
    """Return the parts of all plugins except some."""
    from amrbench.discovery import load_registry

    return load_registry(without=without or ())


def print_table(rows: list[dict[str, Any]], form: Format) -> None:
    """Print rows that have the same keys."""
    if form is Format.json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from tabulate import tabulate

    numbers = [_is_number(value) for value in (rows[0].values() if rows else ())]
    typer.echo(
        tabulate(
            [list(row.values()) for row in rows],
            headers=list(rows[0]) if rows else (),
            tablefmt=form.value,
            disable_numparse=True,
            colalign=["right" if number else "left" for number in numbers],
        )
    )


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
