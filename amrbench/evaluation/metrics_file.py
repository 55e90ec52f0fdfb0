"""What a run found: the content of metrics.json. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from amrbench.errors import RunError
from amrbench.files.atomic import write_text_atomic

FILE = "metrics.json"
Kind = Literal["seed", "mean", "soup", "single", "control", "prior"]


class Frozen(BaseModel):
    """Read as it was written, or refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Slice(Frozen):
    """The metrics of the queries that share a value of an annotation key."""

    value: str
    queries: int
    metrics: Mapping[str, float]


class Row(Frozen):
    """The metrics of one member of a run."""

    member: str = Field(description="e.g. 'seed 0', 'mean', 'queries shuffled', 'always 0-10 s'")
    kind: Kind
    split: str
    queries: int = Field(description="queries that are predicted")
    metrics: Mapping[str, float] = Field(
        description="percent by name, not rounded; none where the answers are not public"
    )
    slices: Mapping[str, tuple[Slice, ...]] = Field(
        default_factory=dict, description="by annotation key, one entry for each of its values"
    )
    predictions: str = Field("", description="file in the run folder that gives the metrics; none for a mean")
    ingredients: tuple[str, ...] = Field((), description="seeds whose weights a soup is made of")
    note: str = Field("", description="what a reader of the figures should know of how it was made")


class Results(Frozen):
    """All that metrics.json says."""

    layout: Literal[1] = Field(1, description="raised when the fields change")
    recipe: str
    protocol: str
    about: str = Field("", description="what the protocol says about itself")
    stand_ins: str = Field("", description="which encoders stand in for which, or nothing")
    chains: Literal["shared", "own"] = Field(
        "shared", description="whether seeds share all stages but the last, or have all of their own"
    )
    hash: str = Field(description="of all that determines the figures")
    conditions: str = Field(description="hash of what must be equal for figures to stand in one table")
    truth: str = Field("", description="annotation file in the run folder")
    versions: Mapping[str, str]
    rows: tuple[Row, ...] = Field(min_length=1)

    @property
    def scored(self) -> bool:
        """Whether there are figures."""
        return any(row.metrics for row in self.rows)

    def refuse_unscored(self, what: str) -> None:
        """Raise RunError where there are no figures.

        Args:
            what: What they are needed for, e.g. "compared".
        """
        if not self.scored:
            raise RunError(
                f"the run of {self.recipe!r} under {self.protocol!r} has predictions only, so it cannot be "
                f"{what}: the answers of split {self.rows[0].split!r} are not public. Use a protocol that "
                "reports another split."
            )

    def row(self, member: str) -> Row:
        """Return the row of a member; KeyError if there is none."""
        found = {row.member: row for row in self.rows}
        return found[member]


def read_results(path: Path) -> Results:
    """Read the results of a run.

    Args:
        path: A run folder, or its metrics.json.

    Raises:
        RunError: There is no finished run, or the file is not as a run wrote it.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{path}: there is no finished run ({file.name} is missing).")
    try:
        return Results.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the file"
        raise RunError(
            f"{file}: not the results of a run ({place}: {first['msg']}). "
            "Move the folder away and run the recipe again; finished stages are kept."
        ) from None


def write_results(folder: Path, results: Results) -> None:
    """Write metrics.json, whole or not at all: its presence means that the run is finished."""
    write_text_atomic(folder / FILE, results.model_dump_json(indent=1) + "\n")
