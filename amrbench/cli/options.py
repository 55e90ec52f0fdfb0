"""Options that several commands have, and how commands load the registry and print tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amrbench.errors import RunError
from amrbench.notes import issued_notes

if TYPE_CHECKING:
    from amrbench.registry import Registry
    from amrbench.slots.executors import ExecutorPart
    from amrbench.slots.observers import ObserverPart

MOST_JOBS = 256


class Format(StrEnum):
    """How a table is printed."""

    github = "github"
    tsv = "tsv"
    latex = "latex"
    json = "json"


def shipped_names(*kinds: str) -> Callable[[], list[str]]:
    """Return a function that lists what is shipped, for the completion of a shell."""

    def names() -> list[str]:
        from amrbench.config.load import shipped

        return [file.stem for kind in kinds for file in shipped(kind)]

    return names


complete_recipe = shipped_names("recipe", "study")
RecipeNames = Annotated[
    list[str] | None,
    typer.Argument(
        help="recipes or studies by shipped name or file",
        show_default="all shipped recipes",
        autocompletion=complete_recipe,
    ),
]
ProtocolName = Annotated[
    str,
    typer.Option(help="protocol: a shipped name or a file", autocompletion=shipped_names("protocol")),
]
MemberName = Annotated[
    str,
    typer.Option(
        help="which of the run's models",
        show_default="first soup, else first model that the soup names, else seed 0",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_JOBS,
        help="parallel processes",
        show_default="cores divided by the protocol's threads, as memory allows; one to train on a GPU",
    ),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        help="where stages are trained: local, ray, '{use: submitit, partition: gpu}' or others; except "
        "with ray, machines share the cache folder",
        show_default="local",
    ),
]
ObserveOption = Annotated[
    list[str] | None,
    typer.Option(
        help="what sees losses and metrics: tensorboard, '{use: tensorboard, folder: logs}' or others; may "
        "be repeated"
    ),
]
Without = Annotated[list[str] | None, typer.Option(help="leave a plugin out; may be repeated")]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="how tables are printed",
        show_default="on a terminal fitted to its width, else github",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]


def registry_of(without: Sequence[str] | None) -> Registry:
    """Return the parts of all plugins except some."""
    from amrbench.discovery import load_registry

    return load_registry(without=without or ())


def executor_of(text: str | None, registry: Registry) -> ExecutorPart | None:
    """Return the executor that an option names, if it names one; RunError if it lacks a package."""
    from amrbench.config.load import parse_part
    from amrbench.slots.executors import ExecutorPart

    if not text:
        return None
    part = parse_part(text, ExecutorPart, registry, called="--executor")  # type: ignore[type-abstract]
    part.build(None)  # Starts nothing, but refuses a missing package, before hours of preparing data.
    return part


def observers_of(texts: Sequence[str] | None, registry: Registry) -> tuple[ObserverPart, ...]:
    """Return the observers that an option names."""
    from amrbench.config.load import parse_part
    from amrbench.slots.observers import ObserverPart

    return tuple(
        parse_part(text, ObserverPart, registry, called="--observe")  # type: ignore[type-abstract]
        for text in texts or ()
    )


def refuse_together(**options: object) -> None:
    """Raise RunError if several options are given of which only one would have an effect.

    Args:
        **options: Their values by name, with underscores; one that is not given is false or None.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if len(given) > 1:
        raise RunError(f"{' and '.join(given)} cannot be given together. Leave one of them out.")


def table_form(form: Format | None, *, as_json: bool = False) -> str:
    """Return how tables are printed: as JSON, in the given format, or as fits a terminal or a pipe.

    Raises:
        RunError: JSON and another format are asked for.
    """
    from amrbench.evaluation.text_table import TERMINAL

    refuse_together(json=as_json, format=form not in (None, Format.json))
    if as_json:
        return Format.json
    return form or (TERMINAL if sys.stdout.isatty() else Format.github)


def print_table(rows: list[dict[str, Any]], form: str) -> None:
    """Print rows that have the same keys, in a form of `table_form`."""
    from amrbench.evaluation.text_table import table_body

    if form == Format.json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        align = ["right" if _is_number(value) else "left" for value in (rows[0].values() if rows else ())]
        typer.echo(table_body(form, rows, align))


def print_json(content: Mapping[str, Any]) -> None:
    """Print plain values as JSON, with the notes of the command under `notes`."""
    notes = [*content.get("notes", ()), *issued_notes()]
    typer.echo(json.dumps({**content, "notes": notes}, indent=2))


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
