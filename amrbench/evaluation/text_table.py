"""Format rows as a text table with a heading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.errors import RunError, did_you_mean

FORMS = ("github", "tsv", "latex", "json")
TERMINAL = "terminal"
"""A further form, whose cells are wrapped to the width of the terminal."""
_COMMENT = {"github": "", TERMINAL: "", "tsv": "# ", "latex": "% "}


def refuse_unknown_format(form: str) -> None:
    """Raise RunError unless a form is `TERMINAL` or one of `FORMS`."""
    if form not in (TERMINAL, *FORMS):
        raise RunError(
            f"there is no table format {form!r}.{did_you_mean(form, FORMS)} Use {', '.join(FORMS)}."
        )


def format_table(
    form: str,
    heading: Sequence[str],
    rows: Sequence[Mapping[str, str | float]],
    *,
    align: Sequence[str] | None = None,
) -> str:
    """Return rows as a table below a heading, which is a comment in formats that have comments.

    Args:
        form: `TERMINAL`, or one of `FORMS` except json.
        heading: Sentences, one a line.
        rows: At least one, all with the same keys; a float gets two decimals.
        align: "left" or "right" for each column; by default text is left and numbers are right.

    Raises:
        RunError: There is no such form.
    """
    refuse_unknown_format(form)
    sides = align or ["left" if isinstance(value, str) else "right" for value in rows[0].values()]
    cells = [
        {key: f"{value:.2f}" if isinstance(value, float) else str(value) for key, value in row.items()}
        for row in rows
    ]
    above = [f"{_COMMENT[form]}{sentence}" for sentence in heading]
    gap = [] if _COMMENT[form] else [""]
    return "\n".join([*above, *gap, table_body(form, cells, sides)])


def table_body(form: str, rows: Sequence[Mapping[str, str]], align: Sequence[str]) -> str:
    """Return rows as a table without a heading; see `format_table`."""
    if form != TERMINAL:
        from tabulate import tabulate

        if form == "github":
            rows = [{key: _escaped(value) for key, value in row.items()} for row in rows]
        return tabulate(rows, headers="keys", tablefmt=form, disable_numparse=True, colalign=align)
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for name, side in zip(rows[0] if rows else (), align, strict=True):
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console = Console(markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def _escaped(value: str) -> str:
    """Return text without what would end a cell or a row in Markdown."""
    return "<br>".join(value.replace("|", "\\|").splitlines())
