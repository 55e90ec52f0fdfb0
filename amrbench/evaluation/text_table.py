"""Format rows as a text table with a heading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.errors import RunError, did_you_mean

FORMS = ("github", "tsv", "latex", "json")
_COMMENT = {"github": "", "tsv": "# ", "latex": "% "}


def refuse_unknown_format(form: str) -> None:
    """Raise RunError unless a form is one of `FORMS`."""
    if form not in FORMS:
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
        form: One of `FORMS` except json.
        heading: Sentences, one a line.
        rows: At least one, all with the same keys; a float gets two decimals.
        align: "left" or "right" for each column; by default text is left and numbers are right.
    """
    from tabulate import tabulate

    sides = align or ["left" if isinstance(value, str) else "right" for value in rows[0].values()]
    cells = [
        {key: f"{value:.2f}" if isinstance(value, float) else str(value) for key, value in row.items()}
        for row in rows
    ]
    body = tabulate(cells, headers="keys", tablefmt=form, disable_numparse=True, colalign=sides)
    above = [f"{_COMMENT[form]}{sentence}" for sentence in heading]
    return "\n".join([*above, "", body] if form == "github" else [*above, body])
