"""`amrbench pack`: a run as a submission to DCASE 2026 Task 6, with predictions and a meta file."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from amrbench.errors import RecipeError, RunError, some
from amrbench.evaluation.result import Result
from amrbench.experiment.finished_run import FinishedRun
from amrbench.files.annotations import read_annotations
from amrbench.files.atomic import atomic_path, refuse_replacing
from amrbench.files.checksums import refuse_changed
from amrbench.files.predictions import read_predictions
from amrbench.files.writable_folder import refuse_missing_parent
from amrbench.files.yaml_file import limited_events, line_of
from amrbench.types import Moments, Query

TEMPLATE = Path(__file__).parent / "submission.yaml"
LABEL = re.compile(r"[A-Za-z]+_[A-Za-z0-9]+_task6_[1-4]")
OPEN = "FILL_IN"
NOTE = (
    "This command was written before the official key list of DCASE 2026 Task 6 was known. Compare the meta "
    "file with the task page before you submit."
)
WARNING = "NOT_A_SUBMISSION.txt"
_FIELD = re.compile(r"\$\{([^}\n]*)\}")
_UNCLOSED = re.compile(r"\$\{[^}]*$")
_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""PyYAML raises the others at values that do not fit their tags, and at lists that contain themselves."""
_ENTRY_TIME = (2026, 1, 1, 0, 0, 0)
"""Of all entries of the zip file, so that the same content gives the same bytes."""
_TOLERANCE = 1e-3
"""Seconds by which a window may leave its recording."""
_RERUN = "Run the recipe again."
_OTHER_FILE = "Give predictions for the queries of this run."


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        path: The zip file.
        queries: Number of queries in the prediction file.
        empty: Number of windows of length 0, which cannot match anything.
        total: Parameters of encoders and model; None where either is unknown.
        trainable: Trained parameters of the model; None where the model is unknown.
        unresolved: Paths of the values of the meta file that are not filled in.
        protocol: Name and description of the run's protocol.
        faults: Why this is no submission; none unless it was asked for.
    """

    path: Path
    queries: int
    empty: int
    total: int | None
    trainable: int | None
    unresolved: tuple[str, ...]
    protocol: str
    faults: tuple[str, ...]

    def text(self) -> str:
        """Return lines for people."""
        total, trained = (
            "unknown" if count is None else f"{count:,}" for count in (self.total, self.trainable)
        )
        lines = [
            f"{self.path}: {self.queries} queries, {total} parameters in all, {trained} trained",
            f"Protocol {self.protocol}",
        ]
        lines += [_warning(self.faults)] * bool(self.faults)
        if self.empty:
            lines.append(f"{self.empty:,} windows have length 0 after rounding and cannot match anything")
        return "\n".join([*lines, *(f"still to be filled in: {path}" for path in self.unresolved), NOTE])


def pack(
    finished: FinishedRun,
    label: str,
    output: Path,
    *,
    template: Path | None = None,
    predictions: Path | None = None,
    not_a_submission: bool = False,
) -> Packed:
    """Write the zip file of a submission: `<label>.output.jsonl` and `<label>.meta.yaml` in one folder.

    Args:
        finished: The run, with the member to submit.
        label: In the form that the challenge requires, e.g. Lee_KAIST_task6_1.
        output: The zip file.
        template: YAML to fill in, instead of the shipped one.
        predictions: Prediction file for the run's queries, e.g. of an ensemble, instead of the member's. Its
            models are unknown, so the meta file gets only the protocol of the run.
        not_a_submission: Pack a run with `submission_faults` too; the files say that it is none.

    Raises:
        RunError: The label is wrong, the run makes no submission, the predictions do not fit the queries, the
            template is wrong, or the output cannot be written.
        DataError: The prediction file cannot be read, or the output is an input, of the run, or no file.
    """
    _refuse_other_label(label)
    refuse_missing_parent(output)
    given = [file for file in (template, predictions) if file]
    refuse_replacing(output, [*given, *finished.files()])
    result = finished.result
    faults = submission_faults(result)
    if faults and not not_a_submission:
        raise _no_submission(finished, faults)
    queries = read_annotations(finished.folder / result.truth)
    file = predictions or finished.folder / finished.member.predictions
    refuse_changed(file)
    predicted = read_predictions(file)
    refuse_faults(file, predicted, queries, remedy=_OTHER_FILE if predictions else _RERUN)
    total, trainable = (None, None) if predictions else _parameters(finished)
    fields = {
        "label": label,
        "protocol": result.protocol.name,
        "version": result.environment.versions.get("amrbench", OPEN),
        **({} if predictions else _about_model(finished)),
        **({} if trainable is None else {"trainable_parameters": str(trainable)}),
        **({} if total is None else {"total_parameters": str(total)}),
    }
    meta, unresolved = filled(template or TEMPLATE, fields)
    rows = official(predicted, queries)
    _write(output, {f"{label}/{label}.output.jsonl": rows} | _about(label, meta, faults))
    return Packed(
        output,
        len(queries),
        empty=sum(int((moments.windows[:, 0] == moments.windows[:, 1]).sum()) for moments in predicted),
        total=total,
        trainable=trainable,
        unresolved=unresolved,
        protocol=result.protocol.title(),
        faults=faults,
    )


def _refuse_other_label(label: str) -> None:
    if not LABEL.fullmatch(label):
        raise RunError(
            f"the label {label!r} is not <Surname>_<Institute>_task6_<1 to 4>, as the challenge requires."
        )


def submission_faults(result: Result) -> tuple[str, ...]:
    """Return why the predictions of a run are no submission: stand-ins, a smaller budget, another split."""
    changes = [change for change in result.recipe.replaced if not change.startswith("features")]
    budget = f"its budget replaces {some(changes, 3)}" if changes else ""
    split = f"the ground truth of its split {result.rows[0].split!r} is public" if result.scored else ""
    return tuple(filter(None, (result.stand_ins, budget, split)))


def _no_submission(finished: FinishedRun, faults: Sequence[str]) -> RunError:
    return RunError(
        f"{finished.folder}: was run under the protocol {finished.result.protocol.name!r}, so its "
        f"predictions are not a submission to the challenge: {'; '.join(faults)}. Run the recipe under a "
        "protocol without stand-ins and budget that reports the evaluation set, such as dcase2026; to try "
        "the packing, use --not-a-submission, and the files will say so."
    )


def _about(label: str, meta: str, faults: Sequence[str]) -> dict[str, str]:
    """Return the meta file, with a warning in it and in a file of its own if this is no submission."""
    name = f"{label}/{label}.meta.yaml"
    if not faults:
        return {name: meta}
    return {name: f"# {_warning(faults)}\n{meta}", f"{label}/{WARNING}": f"{_warning(faults)}\n"}


def _warning(faults: Sequence[str]) -> str:
    return f"NOT A SUBMISSION: {'; '.join(faults)}."


def _parameters(finished: FinishedRun) -> tuple[int | None, int]:
    """Return the parameters of encoders and model, None where unknown, and the trained ones of the model."""
    trained = sum(weight.numel() for weight in finished.criterion.model.parameters())
    encoders = [part.parameters() for part in finished.recipe.features.encoders]
    return None if None in encoders else trained + sum(filter(None, encoders)), trained


def _about_model(finished: FinishedRun) -> dict[str, str]:
    recipe, member = finished.recipe, finished.member
    return {
        "recipe": finished.result.recipe.name,
        "member": member.member,
        "about": _quoted(recipe.about),
        "encoder": recipe.features.label,
        "ingredients": str(len(member.ingredients) or 1),
        **{name: f"{value:.2f}" for name, value in member.metrics.items()},
    }


def _quoted(text: str) -> str:
    """Return a text as YAML in one line; JSON would halve emoji, and YAML does not join the halves."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()


def refuse_faults(
    file: Path, predictions: Sequence[Moments], queries: Sequence[Query], *, remedy: str = _RERUN
) -> None:
    """Raise RunError unless there are predictions for all queries in order, inside recordings, best first."""
    expected, predicted = [str(query.qid) for query in queries], [str(moments.qid) for moments in predictions]
    expected_set, predicted_set = set(expected), set(predicted)
    missing = [qid for qid in expected if qid not in predicted_set]
    unknown = [qid for qid in predicted if qid not in expected_set]
    if missing or unknown:
        what = [f"without {some(missing)}"] * bool(missing) + [f"with {some(unknown)}"] * bool(unknown)
        raise RunError(f"{file}: not the queries of the run: {' and '.join(what)}. {remedy}")
    if expected != predicted:
        raise RunError(f"{file}: the queries are not in the order of the annotations. {remedy}")
    for moments, query in zip(predictions, queries, strict=True):
        windows, fault = moments.windows, ""
        if moments.vid != query.vid:
            fault = f"is about {moments.vid!r}, not {query.vid!r}"
        elif not len(windows):
            fault = "has no window"
        elif windows.min() < -_TOLERANCE or windows.max() > query.duration + _TOLERANCE:
            fault = f"has a window outside of its recording of {query.duration:g} s"
            remedy = "Put {use: clip, to: recording} last in the recipe's 'ranking'."
        elif moments.scores is not None and (np.diff(moments.scores) > 0).any():
            fault = "is not sorted by score"
        if fault:
            raise RunError(f"{file}: query {query.qid!r} {fault}. {remedy}")


def official(predictions: Sequence[Moments], queries: Sequence[Query]) -> str:
    """Return predictions in the format of the official evaluator: JSON lines, windows without scores."""
    rows = [
        {
            "qid": query.qid,
            "query": query.query,
            "duration": query.duration,
            "vid": query.vid,
            "pred_relevant_windows": moments.windows.tolist(),
        }
        for moments, query in zip(predictions, queries, strict=True)
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def filled(template: Path, known: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return a template with its fields `${name}` filled in, and the paths of values that are still open.

    Raises:
        RunError: The template cannot be read, has a field without an end, or is not YAML after filling in.
    """
    try:
        text = template.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{template}: the template cannot be read ({error}).") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if unclosed := _UNCLOSED.search(line):
            raise RunError(
                f"{template}: line {number}: {unclosed[0]!r} does not end. Write '}}' after the name."
            )
    text = _FIELD.sub(lambda field: known.get(field[1], OPEN), text)
    try:
        for event in limited_events(text, str(template)):
            if isinstance(event, yaml.AliasEvent):
                raise RunError(
                    f"{template}: line {line_of(event)}: the alias *{event.anchor} points elsewhere in the "
                    "file; write the value out."
                )
        return text, tuple(_open_paths(yaml.safe_load(text), ""))
    except RecipeError as error:
        raise RunError(str(error)) from error
    except _YAML_ERRORS as error:
        raise RunError(
            f"{template}: is not YAML after filling in ({str(error).partition(chr(10))[0]}). Correct it."
        ) from error


def _open_paths(value: object, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _open_paths(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _open_paths(item, f"{path}.{index}")
    elif isinstance(value, str) and OPEN in value:
        yield path


def _write(output: Path, content: Mapping[str, str]) -> None:
    try:
        with atomic_path(output) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in content.items():
                entry = zipfile.ZipInfo(name, _ENTRY_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, text.encode("utf-8"))
    except OSError as error:
        raise RunError(f"{output}: cannot be written ({error.strerror}). Choose another path.") from error
