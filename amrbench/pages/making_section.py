"""How runs were made: recipe and protocol as given, and what is known of data, stages and versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from amrbench.evaluation.result import Environment, Result
from amrbench.pages.page import (
    Cell,
    Markup,
    Section,
    data_table,
    details,
    heading,
    joined,
    paragraph,
    verbatim,
)

FILES = ("recipe.yaml", "protocol.yaml")
"""Of a run, that are shown as they are."""


@dataclass(frozen=True)
class ReportedRun:
    """A finished run.

    Attributes:
        name: That of its recipe; if several runs of the page have it, with the folder behind it.
        folder: Of its files.
        result: What it says about itself.
    """

    name: str
    folder: Path
    result: Result

    @property
    def named_result(self) -> Result:
        """Return the result with the name of the run in place of that of its recipe."""
        recipe = self.result.recipe.model_copy(update={"name": self.name})
        return self.result.model_copy(update={"recipe": recipe})


def making_section(runs: Sequence[ReportedRun]) -> Section:
    """Return the section about how runs were made."""
    return Section("How it was made", joined([part for run in runs for part in _about(run)]))


def _about(run: ReportedRun) -> Iterator[Markup]:
    result = run.result
    yield heading(run.name)
    yield paragraph(f"Folder {run.folder.resolve().name}, hash {result.hash}.")
    if result.recipe.replaced:
        yield paragraph(f"The protocol replaces {'; '.join(result.recipe.replaced)}.")
    for name in FILES:
        text = (run.folder / name).read_text(encoding="utf-8", errors="replace")
        yield details(f"{name}, as it was given", verbatim(name, text))
    for title, rows in _tables(result):
        if rows:
            yield details(title, data_table(f"{run.name}: {title.lower()}", rows))


def _tables(result: Result) -> Iterator[tuple[str, list[dict[str, Cell]]]]:
    """Yield title and rows of each table of a run."""
    yield (
        "Stages",
        [
            {
                "stage": stage.stage,
                "epochs": stage.epochs,
                "steps": stage.steps,
                "chosen epoch": ", ".join(f"{own.epoch} ({name})" for name, own in stage.selected.items()),
                "seconds": round(stage.seconds),
                "memory, MiB": round(stage.memory_mib),
                "hardware": stage.hardware,
                "key": stage.key,
            }
            for stage in result.stages
        ],
    )
    yield (
        "Data",
        [
            {
                "used for": ", ".join(split.uses),
                "data set": split.dataset,
                "version": split.version,
                "split": split.split,
                "recordings": split.recordings,
                "queries": split.queries,
                "encoder": split.encoder,
            }
            for split in result.data
        ],
    )
    yield (
        "Parts",
        [
            {
                "slot": part.slot,
                "part": part.use,
                "version": part.version,
                "plugin": part.plugin,
                "distribution": f"{part.distribution} {part.distribution_version}",
            }
            for part in result.parts
        ],
    )
    yield "Versions and what decides the last bits", _environment(result.environment)


def _environment(environment: Environment) -> list[dict[str, Cell]]:
    """Return a row for each thing that is known."""
    known = {
        **environment.versions,
        "device": environment.device,
        "numbers": environment.dtype,
        "threads": str(environment.threads),
        "processor": environment.cpu,
        "GPU": environment.gpu,
        **environment.settings,
    }
    return [{"what": name, "value": value} for name, value in known.items() if value]
