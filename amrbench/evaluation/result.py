"""What a run leaves behind: the content of result.json, with one writer and one reader. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from amrbench.data.required_splits import Use
from amrbench.errors import RunError, dotted, some
from amrbench.files.atomic import write_text_atomic
from amrbench.files.checksums import (
    CHECKSUMS,
    changed_files,
    files_below,
    has_checksums,
    is_set_aside,
    write_checksums,
)
from amrbench.files.folders import RUNS

RESULT = "result.json"
Kind = Literal["seed", "mean", "soup", "single", "control", "prior"]
Record_ = TypeVar("Record_", bound="Record")


class Record(BaseModel):
    """Content of a file; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Slice(Record):
    """The metrics of the queries that share a value of an annotation key."""

    value: str
    queries: int
    metrics: Mapping[str, float]


class Fitted(Record):
    """What the read-out and the ranking steps of a model took from data."""

    readout: Mapping[str, Any] = Field(default_factory=dict, description="from the training windows")
    ranking: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict, description="by ranking step, learned on the selection split"
    )


class Row(Record):
    """The metrics of one member of a run: a model, a mean of models, a control or a baseline."""

    member: str = Field(description="e.g. 'seed 0', 'mean', 'seed 0, queries shuffled', 'always 0-10 s'")
    kind: Kind
    split: str
    queries: int = Field(description="queries that are predicted")
    metrics: Mapping[str, float] = Field(
        description="percent by name, not rounded; empty if the ground truth is not public, or if the row is "
        "missing, as 'note' says"
    )
    slices: Mapping[str, tuple[Slice, ...]] = Field(
        default_factory=dict, description="by annotation key, one entry for each of its values"
    )
    predictions: str = Field(
        "", description="scored file in the run folder; empty for a mean, and for a row that is missing"
    )
    saliency: str = Field(
        "",
        description="relevance of each feature row, of the first seed alone; empty if its model gives none",
    )
    ingredients: tuple[str, ...] = Field((), description="seeds whose weights a soup is made of")
    fitted: Fitted = Field(Fitted(), description="of a model's read-out and ranking")
    note: str = Field("", description="how the member was made, for readers of the table")


class RecipeRecord(Record):
    """The recipe of a run."""

    name: str
    options: Mapping[str, Any] = Field(description="with the protocol's stand-ins and budget in place")
    replaced: tuple[str, ...] = Field((), description="e.g. 'stages.0.epochs: 200 -> 10'")


class ProtocolRecord(Record):
    """The protocol of a run."""

    name: str
    version: int
    about: str = Field("", description="its purpose")
    chains: Literal["shared", "own"] = Field(
        "shared", description="whether seeds share all stages but the last, or each seed trains all stages"
    )
    options: Mapping[str, Any] = Field(description="all of it, with the number of seeds that was asked for")

    def title(self, split: str = "") -> str:
        """Return its name, a split if one is given, and its purpose, for people."""
        name = f"{self.name}, split {split}" if split else self.name
        return f"{name}: {self.about}".removesuffix(": ")


class SplitRecord(Record):
    """A split of a data set and its features."""

    uses: tuple[Use, ...] = Field(description="training, the choice of an epoch, or the table")
    dataset: str = Field(description="name, and the options that are not defaults")
    version: int = Field(description="of the data set's part")
    split: str
    encoder: str = Field(description="names and fingerprints of the encoders")
    fingerprint: str = Field(description="hash of all that determines queries and features")
    recordings: int
    queries: int


class Selected(Record):
    """The epoch that is best for a read-out; its weights are kept."""

    epoch: int = Field(description="from 1")
    val: Mapping[str, float] = Field(description="metrics on the selection split")


class TrainedStage(Record):
    """What training a stage gave; the content of done.json beside its weights."""

    key: str = Field(description="name of its folder in the cache")
    selected: Mapping[str, Selected] = Field(description="by read-out of training.readouts")
    epochs: int
    steps: int = Field(description="of the optimizer")
    content: Mapping[str, Any] = Field(description="what the key is a hash of")


class StageRecord(TrainedStage):
    """A trained stage of a run, and what it cost."""

    stage: str = Field(description="recipe, stage and seed")
    seconds: float = Field(description="of training and validation")
    memory_mib: float = Field(
        description="peak of the GPU, or of the process, which may have trained other stages before"
    )
    hardware: str = Field("", description="models of the processors or GPUs that trained it")
    log: str = Field(
        "", description="losses and validation of each epoch, in the run folder; empty in older runs"
    )


class PartRecord(Record):
    """A part that was used, and who ships it."""

    slot: str
    use: str
    version: int
    plugin: str
    distribution: str
    distribution_version: str


class Environment(Record):
    """Where a run was made: what decides the bits of numbers besides recipe, protocol and data."""

    device: str
    dtype: str
    threads: int = Field(description="of one training process")
    cpu: str = Field(
        "", description="processor and the instructions that torch uses; others round differently"
    )
    gpu: str = Field("", description="model; empty without one")
    settings: Mapping[str, str] = Field(
        default_factory=dict, description="of torch that decide the last bits, by name"
    )
    versions: Mapping[str, str] = Field(
        description="of Python, amrbench, the libraries that compute, and the training loop"
    )


class Result(Record):
    """All that a run says about itself."""

    version: Literal[1] = Field(1, description="raised when the fields change")
    recipe: RecipeRecord
    protocol: ProtocolRecord
    stand_ins: str = Field("", description="which encoders stand in for which; empty for none")
    hash: str = Field(description="of everything that determines the metrics")
    conditions: str = Field(description="hash of what all runs of one table must share")
    data: tuple[SplitRecord, ...]
    stages: tuple[StageRecord, ...] = Field(description="each once, in the order of training")
    models: Mapping[str, str] = Field(description="key of the stage with the weights of each seed, by member")
    parts: tuple[PartRecord, ...]
    environment: Environment
    truth: str = Field(description="annotation file in the run folder")
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
                f"the run of {self.recipe.name!r} under {self.protocol.name!r} has predictions only, so it "
                f"cannot be {what}: the ground truth of split {self.rows[0].split!r} is not public. Use a "
                "protocol that reports another split."
            )

    def chains(self) -> dict[str, frozenset[str]]:
        """Return the keys of all stages that made the model of each seed, by its name."""
        parents = {stage.key: stage.content.get("parent", "") for stage in self.stages}

        def ancestry(key: str) -> Iterator[str]:
            while key in parents:
                yield key
                key = parents[key]

        return {member: frozenset(ancestry(key)) for member, key in self.models.items()}

    def row(self, member: str) -> Row:
        """Return the row of a member; KeyError if there is none."""
        return {row.member: row for row in self.rows}[member]


def read_result(path: Path) -> Result:
    """Read the result of a run.

    Args:
        path: A run folder, or its result.json.

    Raises:
        RunError: There is no finished run, or the file was not written by a run.
    """
    file = path / RESULT if path.is_dir() else path
    if not file.is_file():
        missing = f"{file.name} is missing" if path.is_dir() else "no such file or folder"
        raise RunError(f"{path}: there is no finished run ({missing}). {_known_runs()}")
    if file.name != RESULT:
        raise RunError(f"{path}: is a file. Name the folder of a run. {_known_runs()}")
    if not has_checksums(file.parent):
        raise RunError(
            f"{file.parent}: is no finished run: {CHECKSUMS} is missing, which a run writes last. Run the "
            "recipe again; finished stages are kept."
        )
    if faults := changed_files(file.parent):
        raise RunError(
            f"{file.parent}: {faults[0]} since the run wrote it. Move the folder away and run the recipe "
            "again; finished stages are kept."
        )
    return read_record(
        file, Result, what="the result of a run", remedy="run the recipe again; finished stages are kept"
    )


def finished_runs(below: Path = RUNS) -> list[Path]:
    """Return the folders of the finished runs that were not set aside, the newest first."""
    files = [
        file
        for file in below.glob(f"*/{RESULT}")
        if has_checksums(file.parent) and not is_set_aside(file.parent)
    ]
    return [file.parent for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)]


def _known_runs() -> str:
    """Return which runs could be meant, or how to make one."""
    if runs := finished_runs():
        return f"Finished runs: {some([str(run) for run in runs])}."
    return f"There is none in {str(RUNS)!r} either: run a recipe first ('amrbench run recipes/ours3.yaml')."


def write_result(folder: Path, result: Result) -> None:
    """Write result.json and then the checksums of all files of the run, which mean that it is finished."""
    write_record(folder / RESULT, result)
    write_checksums(folder, files_below(folder))


def read_record(file: Path, model: type[Record_], *, what: str, remedy: str) -> Record_:
    """Read a file that `write_record` wrote.

    Args:
        file: Must exist.
        model: The type of its content.
        what: What it should hold, e.g. "the result of a run", for messages.
        remedy: What to do once the folder of a damaged file is moved away.

    Raises:
        RunError: It cannot be read, or has other content.
    """
    try:
        return model.model_validate_json(file.read_bytes())
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror}). Check the file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = dotted(first["loc"]) or "the file"
        raise RunError(
            f"{file}: not {what} ({key}: {first['msg']}). Move the folder away and {remedy}."
        ) from None


def write_record(file: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all; RunError if the file cannot be written."""
    write_text_atomic(file, json.dumps(record.model_dump(mode="json"), indent=1) + "\n")


def refuse_mixed(runs: Mapping[str, Result]) -> None:
    """Raise RunError unless all runs are under the same protocol and data.

    Args:
        runs: By their names in messages.
    """
    (first, one), *others = runs.items()
    for other, two in others:
        if one.protocol.name != two.protocol.name:
            raise RunError(
                f"{first} was run under the protocol {one.protocol.name!r}, {other} under "
                f"{two.protocol.name!r}: their metrics mean different things and cannot be compared."
            )
        if one.conditions != two.conditions:
            raise RunError(
                f"the protocol {one.protocol.name!r} or its data changed between {first} and {other}, so "
                "they cannot be compared. Run the older one again."
            )
