"""Tables of finished runs. Reads result.json only: no model, no audio, no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from amrbench.errors import RunError, did_you_mean
from amrbench.evaluation.result import Result, Row, refuse_mixed
from amrbench.evaluation.text_table import format_table


@dataclass(frozen=True)
class RunTable:
    """The rows of runs under one protocol.

    Attributes:
        protocol: Its name.
        about: Its purpose.
        split: That is scored.
        stand_ins: Which encoders stand in for which.
        heading: The sentences above the table.
        rows: The cells of each member, with its metrics under `metrics`; none of a row that is missing.
    """

    protocol: str
    about: str
    split: str
    stand_ins: tuple[str, ...]
    heading: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    def cells(self) -> list[dict[str, str | float]]:
        """Return the rows with a column for each metric; all have the same keys."""
        blank = dict.fromkeys(self.rows[0]["metrics"], "")
        return [
            {key: row[key] for key in row if key != "metrics"} | blank | row["metrics"] for row in self.rows
        ]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, not rounded."""
        conditions = {"protocol": self.protocol, "about": self.about, "split": self.split}
        return {**conditions, "stand_ins": list(self.stand_ins), "rows": list(self.rows)}

    def text(self, form: str = "github") -> str:
        """Return the table with its heading; see `format_table`."""
        return format_table(form, self.heading, self.cells())


def run_table(results: Sequence[Result], *, by: str = "") -> RunTable:
    """Return a table of runs under one protocol, with the conditions as its heading.

    Args:
        results: The runs, in the order of their rows; a run that is given twice appears once.
        by: Annotation key to slice by; each of its values gets rows of its own. Without public ground truth
            there are no slices, and each member has one row.

    Raises:
        RunError: There is no run, the key is unknown, or the conditions of the runs differ.
    """
    if not results:
        raise RunError("a table needs at least one run.")
    runs = list({(run.recipe.name, run.hash): run for run in results}.values())
    refuse_mixed({f"{run.recipe.name} ({run.hash[:8]})": run for run in runs})
    first = runs[0]
    members = [(run.recipe.name, row) for run in runs for row in run.rows if row.kind != "prior"]
    members += [("", row) for row in first.rows if row.kind == "prior"]  # Baselines appear once, at the end.
    stand_ins = [note for note in dict.fromkeys(run.stand_ins for run in runs) if note]
    split = first.rows[0].split
    heading = [
        f"Protocol {first.protocol.title(split)}",
        *["The ground truth is not public: predictions only, no metrics."] * (not first.scored),
        *(f"Stand-ins: {note}." for note in stand_ins),
        *(f"{run.recipe.name}, {row.member}: {row.note}." for run in runs for row in run.rows if row.note),
    ]
    return RunTable(
        protocol=first.protocol.name,
        about=first.protocol.about,
        split=split,
        stand_ins=tuple(stand_ins),
        heading=tuple(heading),
        rows=tuple(
            row for recipe, member in members for row in _rows(recipe, member, by if first.scored else "")
        ),
    )


def refuse_unknown_slices(by: str, known: Collection[str], owner: str) -> None:
    """Raise RunError if a run or protocol, the owner, has no slices by a key."""
    if by not in known:
        raise RunError(
            f"{owner} has no slices by {by!r}.{did_you_mean(by, known)} "
            f"It has: {', '.join(sorted(known)) or 'none'}. The protocol names them ('slices')."
        )


def _rows(recipe: str, row: Row, by: str) -> Iterator[dict[str, Any]]:
    """Yield the cells of a member, or of each of its slices."""
    names = {"recipe": recipe, "member": row.member}
    if not by:
        yield {**names, "queries": row.queries, "metrics": dict(row.metrics)}
        return
    if row.kind == "control" and not row.predictions:
        return  # Missing: it has no slices.
    refuse_unknown_slices(by, row.slices, f"the run of {recipe!r}")
    for part in row.slices[by]:
        yield {**names, by: part.value, "queries": part.queries, "metrics": dict(part.metrics)}
