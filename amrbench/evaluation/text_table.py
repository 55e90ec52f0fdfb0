"""Rows as text below the sentences that say what they mean."""

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
    """Return rows with the same keys as a table below sentences, which become comments where it needs that.

    Args:
        form: One of `FORMS` but json.
        heading: The sentences.
        rows: At least one; text stands as it is, numbers have two decimals.
        align: "left" or "right" for each column; without it, numbers are to the right.
    """
    from tabulate import tabulate

    sides = align or ["left" if isinstance(each, str) else "right" for each in rows[0].values()]
    cells = [{key: _cell(value) for key, value in row.items()} for row in rows]
    body = tabulate(cells, headers="keys", tablefmt=form, disable_numparse=True, colalign=sides)
    above = [f"{_COMMENT[form]}{sentence}" for sentence in heading]
    return "\n".join([*above, "", body] if form == "github" else [*above, body])


def _cell(value: str | float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
