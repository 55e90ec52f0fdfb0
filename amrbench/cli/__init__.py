"""The command line: each command parses its arguments, calls one function and prints the result.

Heavy imports are inside the commands, so that only commands that compute with torch import it. Exit codes: 0
success, 1 a bug (with a traceback), 2 an error of the user's input or files (one message), 130 stopped by
Ctrl-C, 143 stopped by SIGTERM.
"""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
from contextlib import suppress
from importlib.metadata import version
from io import TextIOWrapper
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup
from typing_extensions import override

from amrbench.cli import data, plugins, results, run
from amrbench.errors import AmrbenchError
from amrbench.interrupts import Interrupted
from amrbench.notes import collected_notes


class _Commands(TyperGroup):
    """The commands; typer itself would say no more than "Aborted" of one that was stopped."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            _end_stopped(stopped)


_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""Errors of writing to an open file that are no bugs."""
app = typer.Typer(
    name="amrbench",
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)
for commands in (run.commands, results.commands, plugins.commands):
    app.add_typer(commands)
app.add_typer(data.commands, name="data", rich_help_panel="Data")


def main() -> None:
    """Run the command line; user errors become one message and exit code 2, notes lines on stderr."""
    if isinstance(sys.stdout, TextIOWrapper):  # Names of files may be no text that the output can hold.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with collected_notes(lambda text: typer.echo(f"note: {text}", err=True)):
            app(_arguments(), prog_name="amrbench")  # Also where Python was asked for the package.
    except AmrbenchError as error:
        _stop(str(error))
    except (Exception, SystemExit) as error:
        # Without the registry no plugin is loaded, and reading this module would take a while.
        if "amrbench.registry" in sys.modules:
            from amrbench.plugin_errors import plugin_error

            if named := plugin_error(error):
                _stop(str(named))
        if not isinstance(error, OSError) or not (text := _about(error)):
            raise
        _stop(text)


def _about(error: OSError) -> str:
    """Return a message if it names a file of the user, or is of writing to the output; empty for a bug."""
    if isinstance(error.filename, str | bytes | PathLike):
        return (
            f"{os.fsdecode(error.filename)}: {error.strerror or error}. Check that it is the right file or "
            "folder, that it may be read and written, and that the disk is not full."
        )
    if error.errno not in _OF_OUTPUT:
        return ""
    return (
        f"the output of this command cannot be written ({error.strerror}). Free some space, or write "
        "elsewhere."
    )


def _arguments() -> list[str]:
    """Return the arguments; a file whose name begins with a dash, as ids of videos may, is no option."""
    return [f"./{argument}" if _is_dashed_file(argument) else argument for argument in sys.argv[1:]]


def _is_dashed_file(argument: str) -> bool:
    return argument.startswith("-") and "." in argument and os.path.exists(argument)


def _end_stopped(stopped: KeyboardInterrupt) -> NoReturn:
    """Say what was saved and how to go on; the exit code is that of a process that its signal ended."""
    at = f" at {stopped.at}; its state is saved" if isinstance(stopped, Interrupted) else ""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    typer.echo(f"stopped{at}. What is finished is kept. To go on: {command}", err=True)
    sys.exit(128 + (getattr(stopped, "number", 0) or signal.SIGINT))


def _stop(text: str) -> None:
    with suppress(OSError):  # Messages may go to the same full disk; the exit code says it then.
        typer.echo(f"error: {text}", err=True)
    for stream in (sys.stdout, sys.stderr):
        _drop_unwritten(stream)
    sys.exit(2)


def _drop_unwritten(stream: TextIO | None) -> None:
    """Drop what cannot be written: Python would try again at its end, and change the exit code."""
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        with suppress(OSError), open(os.devnull, "wb") as nowhere:  # A stream may have no file.
            os.dup2(nowhere.fileno(), stream.fileno())


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"amrbench {version('amrbench')}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Benchmark suite for Audio Moment Retrieval."""
