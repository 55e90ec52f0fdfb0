"""The study_table of a study: the mean of each recipe, and its difference to the recipe that it was made from.

Reads results only. Soups have rows of their own in the table of the runs; here
single runs are compared with single runs, and pairs of them have the same seed.
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
SPREAD = "R1@0.7"
"""The metric whose differences are shown seed by seed: a mean of few seeds hides how much they disagree."""


@dataclass(frozen=True)
class StudyRow:
    """One recipe of a study.

    Attributes:
        family: "only" or "without"; empty for the two given recipes.
        change: What is changed; "base" or "full" for the two given recipes.
        results: Of the recipe.
        against: Of the recipe that it was made from; of itself for the two given recipes.
    """

    family: str
    change: str
    results: Results
    against: Results

    @property
    def same(self) -> bool:
        """Whether the protocol leaves nothing of the change, so that all figures are the same."""
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
        """Return the differences of the seeds that both have, by member and metric."""
        theirs = {row.member: row for row in self.against.rows if row.kind == "seed"}
        return {
            row.member: _minus(row.metrics, theirs[row.member].metrics)
            for row in self.results.rows
            if row.kind == "seed" and row.member in theirs
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything, unrounded."""
        said = {"family": self.family, "change": self.change, "recipe": self.results.recipe}
        if not self.family:
            return {**said, "mean": dict(self.mean)}
        found = {"mean": dict(self.mean), "difference": self.difference, "seeds": self.seeds}
        return {**said, "against": self.against.recipe, "same": self.same, **found}


@dataclass(frozen=True)
class StudyTable:
    """All rows of a study, and what they are called."""

    study: Study
    rows: tuple[StudyRow, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything, unrounded."""
        return {
            "study": self.study.name,
            "base": self.study.base.recipe.name,
            "full": self.study.full.recipe.name,
            "rows": [row.as_json() for row in self.rows],
        }

    def text(self, form: str = "github") -> str:
        """Return the study_table for people: means in percent, differences in points."""
        base, full = self.study.base.recipe.name, self.study.full.recipe.name
        heading = (
            f"Study {self.study.name}: 'only' is {base} with one change, compared with {base}; "
            f"'without' is {full} less one change, compared with {full}."
        )
        notes = ["'=': the protocol leaves nothing of this change."] * any(row.same for row in self.rows)
        align = ["left", "left", *["right"] * (2 * len(SHOWN) + 1)]
        return format_table(form, [heading, *notes], [_cells(row) for row in self.rows], align=align)


def study_table(study: Study, results: Sequence[Results]) -> StudyTable:
    """Return the study_table of a study from the results of its recipes, in the order of `Study.methods`."""
    for each in results:
        each.refuse_unscored("put into a grid")
    base, full, *others = results
    rows = [StudyRow("", "base", base, base), StudyRow("", "full", full, full)]
    for variant, each in zip(study.variants, others, strict=True):
        against = base if variant.family == "only" else full
        rows.append(StudyRow(variant.family, variant.switch.name, each, against))
    return StudyTable(study, tuple(rows))


def study_tables(wanted: Sequence[Study | Method], results: Sequence[Results]) -> list[StudyTable]:
    """Return the grids of all studies among what was run.

    Args:
        wanted: What was run.
        results: Of all its recipes, in its order.
    """
    rest, found = list(results), []
    for each in wanted:
        count = len(each.methods)
        if isinstance(each, Study):
            found.append(study_table(each, rest[:count]))
        rest = rest[count:]
    return found


def with_more(table: str, more: Sequence[StudyTable | Comparison], form: str) -> str:
    """Return a table as `amrbench.evaluation.table.table` gives it, followed by grids or a comparison.

    Where it is JSON, all is one document.
    """
    if not more:
        return table
    if form != "json":
        return "\n\n".join([table, *(each.text(form) for each in more)])
    grids = [each.as_json() for each in more if isinstance(each, StudyTable)]
    compared = [each.as_json() for each in more if not isinstance(each, StudyTable)]
    whole = json.loads(table) | ({"studies": grids} if grids else {})
    return json.dumps(whole | ({"comparison": compared[0]} if compared else {}), indent=2)


def _mean(results: Results) -> Mapping[str, float]:
    return next(row.metrics for row in results.rows if row.kind == "mean")


def _cells(row: StudyRow) -> dict[str, str]:
    cells = {"family": row.family, "change": row.change}
    for name in SHOWN:
        difference = "=" if row.same else f"{row.difference[name]:+.2f}"
        cells |= {name: f"{row.mean[name]:.2f}", f"diff {name}": difference if row.family else ""}
    shown = bool(row.family) and not row.same
    apart = [f"{each[SPREAD]:+.2f}" for each in row.seeds.values()] if shown else []
    return {**cells, f"diff {SPREAD} of each seed": ", ".join(apart)}


def _minus(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    return {name: value - two[name] for name, value in one.items()}
