"""The table of a study: the mean of each recipe, and its difference from the recipe that was changed.

Reads result.json only. Single models are compared with single models of the same seed; soups are in the
table of the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from amrbench.config.load import Method
from amrbench.config.study import Study
from amrbench.evaluation.compare import METRICS
from amrbench.evaluation.result import Result
from amrbench.evaluation.text_table import format_table

BY_SEED = "R1@0.7"
"""The metric with a difference for each seed: the mean of few seeds hides how much they disagree."""


@dataclass(frozen=True)
class StudyTable:
    """The results of a study.

    Attributes:
        study: Name of the study.
        base: Name of its base.
        full: Name of its full recipe; None for a study of variants only.
        rows: `family`, `change`, `recipe` and its `mean` by metric, in percent, not rounded. For a variant
            also `against`, the recipe that it is compared with; `same`, whether the protocol undoes the
            change; `soup_only`, whether nothing but the soup differs, so that the single models are the same;
            and its `difference` by metric, in points, and that of each of the `seeds`.
    """

    study: str
    base: str
    full: str | None
    rows: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, not rounded."""
        return asdict(self)

    def text(self, form: str = "github") -> str:
        """Return the table with its heading: means in percent, differences in points."""
        families = {
            "only": f"'only' is {self.base} with one change, compared with {self.base}",
            "without": f"'without' is {self.full} less one change, compared with {self.full}",
            "steps": f"'steps' adds one change after another to {self.base}, compared with the row before",
            "change": f"'change' is {self.base} with some options changed, compared with {self.base}",
            "variant": f"'variant' is compared with {self.base}",
        }
        shown = [
            text for family, text in families.items() if any(row["family"] == family for row in self.rows)
        ]
        heading = [f"Study {self.study}: {'; '.join(shown)}."]
        if any(row.get("same") for row in self.rows):
            heading.append("'=': the protocol leaves nothing of this change.")
        if any(row.get("soup_only") for row in self.rows):
            heading.append("'soup': the single models are the same; the soups are in the table of the runs.")
        align = ["left", "left", *["right"] * (2 * len(METRICS) + 1)]
        return format_table(form, heading, [_cells(row) for row in self.rows], align=align)


def study_table(study: Study, results: Sequence[Result]) -> StudyTable:
    """Return the table of a study from the results of its recipes, in the order of `Study.methods`.

    Raises:
        RunError: A run has no metrics.
    """
    for run in results:
        run.refuse_unscored("put into the table of a study")
    given = dict(zip(["base", "full"] if study.full else ["base"], results, strict=False))
    rows: list[dict[str, Any]] = [
        {"family": "", "change": name, "recipe": run.recipe.name, "mean": dict(run.row("mean").metrics)}
        for name, run in given.items()
    ]
    before = given["base"]
    for variant, run in zip(study.variants, results[len(given) :], strict=True):
        against = given["full" if variant.family == "without" else "base"]
        if variant.family == "steps":
            against, before = before, run
        others = {row.member: row.metrics for row in against.rows if row.kind == "seed"}
        seeds = {row.member: row.metrics for row in run.rows if row.kind == "seed" and row.member in others}
        mean = run.row("mean").metrics
        rows.append(
            {
                "family": variant.family,
                "change": variant.change,
                "recipe": run.recipe.name,
                "against": against.recipe.name,
                "same": run.hash == against.hash,
                "soup_only": _differ_in_soup_alone(run, against),
                "mean": dict(mean),
                "difference": _minus(mean, against.row("mean").metrics),
                "seeds": {seed: _minus(metrics, others[seed]) for seed, metrics in seeds.items()},
            }
        )
    full = study.full.recipe.name if study.full else None
    return StudyTable(study.name, study.base.recipe.name, full, tuple(rows))


def study_tables(runnables: Sequence[Study | Method], results: Sequence[Result]) -> list[StudyTable]:
    """Return the tables of all studies among recipes and studies that were run.

    Args:
        runnables: The recipes and studies.
        results: Of all their recipes, in the same order.
    """
    rest = iter(results)
    own = [list(islice(rest, len(runnable.methods))) for runnable in runnables]
    return [
        study_table(runnable, runs)
        for runnable, runs in zip(runnables, own, strict=True)
        if isinstance(runnable, Study)
    ]


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    cells = {"family": row["family"], "change": row["change"]}
    difference = row.get("difference", {})
    equal = "=" if row.get("same") else "soup" if row.get("soup_only") else ""
    for name in METRICS:
        points = f"{difference[name]:+.2f}" if difference else ""
        cells |= {name: f"{row['mean'][name]:.2f}", f"diff {name}": equal or points}
    seeds = [] if equal else row.get("seeds", {}).values()
    return {**cells, f"diff {BY_SEED} of each seed": ", ".join(f"{seed[BY_SEED]:+.2f}" for seed in seeds)}


def _differ_in_soup_alone(run: Result, against: Result) -> bool:
    one, two = run.recipe.options, against.recipe.options
    names = {name for name in (one.keys() | two.keys()) if one.get(name) != two.get(name)}
    return "soup" in names and names <= {"name", "about", "against", "soup"}


def _minus(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    return {name: value - two[name] for name, value in one.items()}
