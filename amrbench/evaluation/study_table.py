"""The table of a study: the mean of each recipe, and its difference from the recipe that was changed.

Reads metrics.json only. Single models are compared with single models of the same seed; soups are in the
table of the runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amrbench.config.study import Method, Study
from amrbench.evaluation.compare import Comparison
from amrbench.evaluation.metrics_file import Results
from amrbench.evaluation.text_table import format_table

SHOWN = ("R1@0.5", "R1@0.7", "mAP")
SHOWN_BY_SEED = "R1@0.7"
"""The metric with a difference for each seed: the mean of few seeds hides how much they disagree."""


@dataclass(frozen=True)
class StudyRow:
    """One recipe of a study.

    Attributes:
        family: "only" or "without"; empty for the two given recipes.
        change: Name of the change; "base" or "full" for the two given recipes.
        results: Of the recipe.
        against: Of the recipe that was changed; of itself for the two given recipes.
    """

    family: str
    change: str
    results: Results
    against: Results

    @property
    def same(self) -> bool:
        """Whether the protocol undoes the change, so that all metrics are the same."""
        return bool(self.family) and self.results.hash == self.against.hash

    @property
    def mean(self) -> Mapping[str, float]:
        """Return the mean of the seeds by metric."""
        return _mean(self.results)

    @property
    def difference(self) -> dict[str, float]:
        """Return the difference of the means by metric, in points."""
        return _minus(self.mean, _mean(self.against))

    @property
    def seeds(self) -> dict[str, dict[str, float]]:
        """Return the differences for the seeds that both recipes have, by member and metric."""
        others = {row.member: row for row in self.against.rows if row.kind == "seed"}
        return {
            row.member: _minus(row.metrics, others[row.member].metrics)
            for row in self.results.rows
            if row.kind == "seed" and row.member in others
        }

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, not rounded."""
        row = {"family": self.family, "change": self.change, "recipe": self.results.recipe}
        if not self.family:
            return {**row, "mean": dict(self.mean)}
        return {
            **row,
            "against": self.against.recipe,
            "same": self.same,
            "mean": dict(self.mean),
            "difference": self.difference,
            "seeds": self.seeds,
        }


@dataclass(frozen=True)
class StudyTable:
    """A study and the rows of its recipes."""

    study: Study
    rows: tuple[StudyRow, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, not rounded."""
        return {
            "study": self.study.name,
            "base": self.study.base.recipe.name,
            "full": self.study.full.recipe.name,
            "rows": [row.as_json() for row in self.rows],
        }

    def text(self, form: str = "github") -> str:
        """Return the table with its heading: means in percent, differences in points."""
        base, full = self.study.base.recipe.name, self.study.full.recipe.name
        heading = (
            f"Study {self.study.name}: 'only' is {base} with one change, compared with {base}; "
            f"'without' is {full} less one change, compared with {full}."
        )
        notes = ["'=': the protocol leaves nothing of this change."] * any(row.same for row in self.rows)
        align = ["left", "left", *["right"] * (2 * len(SHOWN) + 1)]
        return format_table(form, [heading, *notes], [_cells(row) for row in self.rows], align=align)


def study_table(study: Study, results: Sequence[Results]) -> StudyTable:
    """Return the table of a study from the results of its recipes, in the order of `Study.methods`.

    Raises:
        RunError: A run has no metrics.
    """
    for run in results:
        run.refuse_unscored("put into the table of a study")
    base, full, *others = results
    rows = [StudyRow("", "base", base, base), StudyRow("", "full", full, full)]
    for variant, run in zip(study.variants, others, strict=True):
        rows.append(StudyRow(variant.family, variant.change, run, base if variant.family == "only" else full))
    return StudyTable(study, tuple(rows))


def study_tables(runnables: Sequence[Study | Method], results: Sequence[Results]) -> list[StudyTable]:
    """Return the tables of all studies among recipes and studies that were run.

    Args:
        runnables: The recipes and studies.
        results: Of all their recipes, in the same order.
    """
    rest, tables = list(results), []
    for runnable in runnables:
        count = len(runnable.methods)
        if isinstance(runnable, Study):
            tables.append(study_table(runnable, rest[:count]))
        rest = rest[count:]
    return tables


def with_more(table: str, more: Sequence[StudyTable | Comparison], form: str) -> str:
    """Return a table of `amrbench.evaluation.table.table`, followed by tables of studies or a comparison.

    As JSON, all are one document.
    """
    if not more:
        return table
    if form != "json":
        return "\n\n".join([table, *(other.text(form) for other in more)])
    studies = [other.as_json() for other in more if isinstance(other, StudyTable)]
    comparisons = [other.as_json() for other in more if isinstance(other, Comparison)]
    document = json.loads(table) | ({"studies": studies} if studies else {})
    return json.dumps(document | ({"comparison": comparisons[0]} if comparisons else {}), indent=2)


def _mean(results: Results) -> Mapping[str, float]:
    return next(row.metrics for row in results.rows if row.kind == "mean")


def _cells(row: StudyRow) -> dict[str, str]:
    cells = {"family": row.family, "change": row.change}
    for name in SHOWN:
        difference = "=" if row.same else f"{row.difference[name]:+.2f}"
        cells |= {name: f"{row.mean[name]:.2f}", f"diff {name}": difference if row.family else ""}
    changed = bool(row.family) and not row.same
    seeds = [f"{seed[SHOWN_BY_SEED]:+.2f}" for seed in row.seeds.values()] if changed else []
    return {**cells, f"diff {SHOWN_BY_SEED} of each seed": ", ".join(seeds)}


def _minus(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    return {name: value - two[name] for name, value in one.items()}
