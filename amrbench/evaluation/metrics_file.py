"""The content of metrics.json, and the names of the files in the folder of a run. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from amrbench.errors import RunError
from amrbench.files.atomic import write_text_atomic

METRICS = "metrics.json"
LOCK = "lock.json"
STAGES = "stages.json"
Kind = Literal["seed", "mean", "soup", "single", "control", "prior"]


class Frozen(BaseModel):
    """Content of a file; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Slice(Frozen):
    """The metrics of the queries that share a value of an annotation key."""

    value: str
    queries: int
    metrics: Mapping[str, float]


class Row(Frozen):
    """The metrics of one member of a run: a model, a mean of models, a control or a baseline."""

    member: str = Field(description="e.g. 'seed 0', 'mean', 'seed 0, queries shuffled', 'always 0-10 s'")
    kind: Kind
    split: str
    queries: int = Field(description="queries that are predicted")
    metrics: Mapping[str, float] = Field(
        description="percent by name, not rounded; empty if the ground truth is not public"
    )
    slices: Mapping[str, tuple[Slice, ...]] = Field(
        default_factory=dict, description="by annotation key, one entry for each of its values"
    )
    predictions: str = Field("", description="scored file in the run folder; empty for a mean")
    ingredients: tuple[str, ...] = Field((), description="seeds whose weights a soup is made of")
    note: str = Field("", description="how the member was made, for readers of the table")


class Results(Frozen):
    """The content of metrics.json."""

    layout: Literal[1] = Field(1, description="raised when the fields change")
    recipe: str
    protocol: str
    about: str = Field("", description="purpose of the protocol")
    stand_ins: str = Field("", description="which encoders stand in for which; empty for none")
    chains: Literal["shared", "own"] = Field(
        "shared", description="whether seeds share all stages but the last, or each seed trains all stages"
    )
    hash: str = Field(description="of everything that determines the metrics")
    conditions: str = Field(description="hash of what all runs of one table must share")
    truth: str = Field("", description="annotation file in the run folder")
    versions: Mapping[str, str]
    rows: tuple[Row, ...] = Field(min_length=1)

    @property
    def scored(self) -> bool:
        """Whether there are metrics."""
        return any(row.metrics for row in self.rows)

    def refuse_unscored(self, what: str) -> None:
        """Raise RunError if there are no metrics.

        Args:
            what: What cannot be done without them, e.g. "compared".
        """
        if not self.scored:
            raise RunError(
                f"the run of {self.recipe!r} under {self.protocol!r} has predictions only, so it cannot be "
                f"{what}: the ground truth of split {self.rows[0].split!r} is not public. Use a protocol "
                "that reports another split."
            )

    def row(self, member: str) -> Row:
        """Return the row of a member; KeyError if there is none."""
        return {row.member: row for row in self.rows}[member]


def read_results(path: Path) -> Results:
    """Read the results of a run.

    Args:
        path: A run folder, or its metrics.json.

    Raises:
        RunError: There is no finished run, or the file was not written by a run.
    """
    path = Path(path)
    file = path / METRICS if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{path}: there is no finished run ({file.name} is missing).")
    try:
        return Results.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"]) or "the file"
        raise RunError(
            f"{file}: not the results of a run ({key}: {first['msg']}). "
            "Move the folder away and run the recipe again; finished stages are kept."
        ) from None


def refuse_mixed(runs: Mapping[str, Results]) -> None:
    """Raise RunError unless all runs are under the same protocol and data.

    Args:
        runs: By their names in messages.
    """
    (first, one), *others = runs.items()
    for other, two in others:
        if one.protocol != two.protocol:
            raise RunError(
                f"{first} was run under the protocol {one.protocol!r}, {other} under {two.protocol!r}: their "
                "metrics mean different things and cannot be compared."
            )
        if one.conditions != two.conditions:
            raise RunError(
                f"the protocol {one.protocol!r} or its data changed between {first} and {other}, so they "
                "cannot be compared. Run the older one again."
            )


def write_results(folder: Path, results: Results) -> None:
    """Write metrics.json atomically: its presence means that the run is finished."""
    write_text_atomic(folder / METRICS, results.model_dump_json(indent=1) + "\n")
