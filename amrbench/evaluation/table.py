"""Tables of finished runs. Reads metrics.json only: no model, no audio, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amrbench.errors import RunError, did_you_mean
from amrbench.evaluation.metrics_file import Results, Row
from amrbench.evaluation.text_table import format_table, refuse_unknown_format


@dataclass(frozen=True)
class TableRow:
    """One line of a table.

    Attributes:
        recipe: Name of the recipe; empty for answers that listen to nothing.
        member: What was scored.
        value: Value of the key by which the table is sliced; empty without slices.
        queries: Queries that were scored.
        metrics: Percent by name.
    """

    recipe: str
    member: str
    value: str
    queries: int
    metrics: Mapping[str, float]


def table(results: Sequence[Results], form: str = "github", *, by: str = "") -> str:
    """Return a table of runs under one protocol, with a heading that says the conditions.

    Args:
        results: The runs, in the order in which they shall stand; one given twice stands once.
        form: One of `FORMS`.
        by: Annotation key; each of its values gets lines of its own.

    Raises:
        RunError: There is no run, the form or the key is unknown, or the conditions of the runs differ.
    """
    refuse_unknown_format(form)
    _refuse_mixture(results)
    results = list({(each.recipe, each.hash): each for each in results}.values())
    lines = sliced_lines(results, by) if by else plain_lines(results)
    if form == "json":
        return json.dumps(_plain(results, lines, by), indent=2)
    return format_table(form, headings(results), [_cells(line, by) for line in lines])


def headings(results: Sequence[Results]) -> list[str]:
    """Return the sentences above a table: protocol, its purpose, stand-ins, and notes on members."""
    first = results[0]
    notes = [f"Protocol {first.protocol}, split {first.rows[0].split}: {first.about}".removesuffix(": ")]
    stand_ins = [note for note in dict.fromkeys(each.stand_ins for each in results) if note]
    unscored = ["The answers are not public: predictions only, nothing is scored."] * (not first.scored)
    made = [f"{each.recipe}, {row.member}: {row.note}." for each in results for row in each.rows if row.note]
    return [*notes, *unscored, *(f"Stand-ins: {note}." for note in stand_ins), *made]


def plain_lines(results: Sequence[Results]) -> list[TableRow]:
    """Return a line for each member; answers that listen to nothing stand once, at the end."""
    lines = [_line(each.recipe, row) for each in results for row in each.rows if row.kind != "prior"]
    return lines + [_line("", row) for row in results[0].rows if row.kind == "prior"]


def sliced_lines(results: Sequence[Results], by: str) -> list[TableRow]:
    """Return a line for each member and value of an annotation key.

    Raises:
        RunError: A run has no slices by this key.
    """
    lines = []
    for each, row in _members(results):
        if by not in row.slices:
            known = ", ".join(sorted(row.slices)) or "none"
            raise RunError(
                f"the run of {each.recipe!r} has no slices by {by!r}.{did_you_mean(by, row.slices)} "
                f"It has: {known}. The protocol names them ('slices')."
            )
        recipe = "" if row.kind == "prior" else each.recipe
        lines += [
            TableRow(recipe, row.member, part.value, part.queries, part.metrics) for part in row.slices[by]
        ]
    return lines


def _members(results: Sequence[Results]) -> list[tuple[Results, Row]]:
    own = [(each, row) for each in results for row in each.rows if row.kind != "prior"]
    return own + [(results[0], row) for row in results[0].rows if row.kind == "prior"]


def _line(recipe: str, row: Row) -> TableRow:
    return TableRow(recipe, row.member, "", row.queries, row.metrics)


def _refuse_mixture(results: Sequence[Results]) -> None:
    if not results:
        raise RunError("a table needs at least one run.")
    names = sorted({each.protocol for each in results})
    if len(names) > 1:
        raise RunError(
            f"runs under the protocols {', '.join(names)} cannot stand in one table: their figures mean "
            "different things. Make one table for each."
        )
    if len({each.conditions for each in results}) > 1:
        who = ", ".join(f"{each.recipe} ({each.hash[:8]}: {each.conditions[:8]})" for each in results)
        raise RunError(
            f"the protocol {names[0]!r} or its data changed between these runs, so they cannot stand in one "
            f"table: {who}. Run the older ones again."
        )


def _cells(line: TableRow, by: str) -> dict[str, str | float]:
    sliced = {by: line.value} if by else {}
    return {"recipe": line.recipe, "member": line.member, **sliced, "queries": line.queries, **line.metrics}


def _plain(results: Sequence[Results], lines: Sequence[TableRow], by: str) -> dict[str, object]:
    return {
        "protocol": results[0].protocol,
        "about": results[0].about,
        "split": results[0].rows[0].split,
        "stand_ins": [note for note in dict.fromkeys(each.stand_ins for each in results) if note],
        "rows": [
            {
                "recipe": line.recipe,
                "member": line.member,
                **({by: line.value} if by else {}),
                "queries": line.queries,
                "metrics": dict(line.metrics),
            }
            for line in lines
        ],
    }
