"""Tables of finished runs. Reads result.json only: no model, no audio, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from amrbench.errors import RunError, did_you_mean
from amrbench.evaluation.result import Result, Row, refuse_mixed
from amrbench.evaluation.text_table import format_table, refuse_unknown_format


def table(results: Sequence[Result], form: str = "github", *, by: str = "") -> str:
    """Return a table of runs under one protocol, below a heading with the conditions.

    Args:
        results: The runs, in the order of their rows; a run that is given twice appears once.
        form: One of `FORMS`.
        by: Annotation key to slice by; each of its values gets rows of its own.

    Raises:
        RunError: There is no run, the form or the key is unknown, or the conditions of the runs differ.
    """
    refuse_unknown_format(form)
    if not results:
        raise RunError("a table needs at least one run.")
    runs = list({(run.recipe.name, run.hash): run for run in results}.values())
    refuse_mixed({f"{run.recipe.name} ({run.hash[:8]})": run for run in runs})
    first = runs[0]
    members = [(run.recipe.name, row) for run in runs for row in run.rows if row.kind != "prior"]
    members += [("", row) for row in first.rows if row.kind == "prior"]  # Baselines appear once, at the end.
    rows = [row for recipe, member in members for row in _rows(recipe, member, by)]
    stand_ins = [note for note in dict.fromkeys(run.stand_ins for run in runs) if note]
    split = first.rows[0].split
    if form == "json":
        conditions = {"protocol": first.protocol.name, "about": first.protocol.about, "split": split}
        return json.dumps({**conditions, "stand_ins": stand_ins, "rows": rows}, indent=2)
    heading = [
        f"Protocol {first.protocol.title(split)}",
        *["The ground truth is not public: predictions only, no metrics."] * (not first.scored),
        *(f"Stand-ins: {note}." for note in stand_ins),
        *(f"{run.recipe.name}, {row.member}: {row.note}." for run in runs for row in run.rows if row.note),
    ]
    blank = dict.fromkeys(first.rows[0].metrics, "")  # Of a row that is missing.
    cells = [{key: row[key] for key in row if key != "metrics"} | blank | row["metrics"] for row in rows]
    return format_table(form, heading, cells)


def _rows(recipe: str, row: Row, by: str) -> Iterator[dict[str, Any]]:
    """Yield the cells of a member, or of each of its slices."""
    names = {"recipe": recipe, "member": row.member}
    if not by:
        yield {**names, "queries": row.queries, "metrics": dict(row.metrics)}
        return
    if row.kind == "control" and not row.predictions:
        return  # Missing: it has no slices.
    if by not in row.slices:
        raise RunError(
            f"the run of {recipe!r} has no slices by {by!r}.{did_you_mean(by, row.slices)} "
            f"It has: {', '.join(sorted(row.slices)) or 'none'}. The protocol names them ('slices')."
        )
    for part in row.slices[by]:
        yield {**names, by: part.value, "queries": part.queries, "metrics": dict(part.metrics)}
