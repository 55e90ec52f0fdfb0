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
    """One row of a table.

    Attributes:
        recipe: Name of the recipe; empty for a baseline.
        member: The model, mean, control or baseline that was scored.
        value: Value of the key by which the table is sliced; empty without slices.
        queries: Number of scored queries.
        metrics: Percent by name.
    """

    recipe: str
    member: str
    value: str
    queries: int
    metrics: Mapping[str, float]


def table(results: Sequence[Results], form: str = "github", *, by: str = "") -> str:
    """Return a table of runs under one protocol, below a heading with the conditions.

    Args:
        results: The runs, in the order of their rows; a run that is given twice appears once.
        form: One of `FORMS`.
        by: Annotation key to slice by; each of its values gets rows of its own.

    Raises:
        RunError: There is no run, the form or the key is unknown, or the conditions of the runs differ.
    """
    refuse_unknown_format(form)
    _refuse_mixed_conditions(results)
    runs = list({(run.recipe, run.hash): run for run in results}.values())
    rows = _rows(runs, by)
    if form == "json":
        return json.dumps(_as_json(runs, rows, by), indent=2)
    return format_table(form, _heading(runs), [_cells(row, by) for row in rows])


def _refuse_mixed_conditions(runs: Sequence[Results]) -> None:
    if not runs:
        raise RunError("a table needs at least one run.")
    names = sorted({run.protocol for run in runs})
    if len(names) > 1:
        raise RunError(
            f"runs under the protocols {', '.join(names)} cannot share a table: their metrics mean different "
            "things. Make one table for each."
        )
    if len({run.conditions for run in runs}) > 1:
        hashes = ", ".join(f"{run.recipe} ({run.hash[:8]}: {run.conditions[:8]})" for run in runs)
        raise RunError(
            f"the protocol {names[0]!r} or its data changed between these runs, so they cannot share a "
            f"table: {hashes}. Run the older ones again."
        )


def _heading(runs: Sequence[Results]) -> list[str]:
    """Return the sentences above the table: protocol, its purpose, stand-ins, and notes on members."""
    first = runs[0]
    protocol = f"Protocol {first.protocol}, split {first.rows[0].split}: {first.about}".removesuffix(": ")
    unscored = ["The ground truth is not public: predictions only, no metrics."] * (not first.scored)
    stand_ins = [f"Stand-ins: {note}." for note in _stand_ins(runs)]
    notes = [f"{run.recipe}, {row.member}: {row.note}." for run in runs for row in run.rows if row.note]
    return [protocol, *unscored, *stand_ins, *notes]


def _stand_ins(runs: Sequence[Results]) -> list[str]:
    return [note for note in dict.fromkeys(run.stand_ins for run in runs) if note]


def _rows(runs: Sequence[Results], by: str) -> list[TableRow]:
    """Return a row for each member, or for each member and slice; baselines appear once, at the end."""
    members = [(run, row) for run in runs for row in run.rows if row.kind != "prior"]
    members += [(runs[0], row) for row in runs[0].rows if row.kind == "prior"]
    rows = []
    for run, row in members:
        recipe = "" if row.kind == "prior" else run.recipe
        if not by:
            rows.append(TableRow(recipe, row.member, "", row.queries, row.metrics))
            continue
        _refuse_unknown_key(run, row, by)
        rows += [
            TableRow(recipe, row.member, part.value, part.queries, part.metrics) for part in row.slices[by]
        ]
    return rows


def _refuse_unknown_key(run: Results, row: Row, by: str) -> None:
    if by not in row.slices:
        raise RunError(
            f"the run of {run.recipe!r} has no slices by {by!r}.{did_you_mean(by, row.slices)} "
            f"It has: {', '.join(sorted(row.slices)) or 'none'}. The protocol names them ('slices')."
        )


def _cells(row: TableRow, by: str) -> dict[str, str | float]:
    sliced = {by: row.value} if by else {}
    return {"recipe": row.recipe, "member": row.member, **sliced, "queries": row.queries, **row.metrics}


def _as_json(runs: Sequence[Results], rows: Sequence[TableRow], by: str) -> dict[str, object]:
    return {
        "protocol": runs[0].protocol,
        "about": runs[0].about,
        "split": runs[0].rows[0].split,
        "stand_ins": _stand_ins(runs),
        "rows": [
            {
                "recipe": row.recipe,
                "member": row.member,
                **({by: row.value} if by else {}),
                "queries": row.queries,
                "metrics": dict(row.metrics),
            }
            for row in rows
        ],
    }
