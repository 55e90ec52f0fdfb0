"""A run as a submission to the challenge: predictions in the official form, and what is told about them."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from amrbench.errors import RunError, some
from amrbench.evaluation.metrics_file import Row
from amrbench.experiment.finished_run import FinishedRun
from amrbench.files.annotations import read_annotations
from amrbench.files.atomic import atomic_path
from amrbench.files.predictions import read_predictions
from amrbench.types import Moments, Query

TEMPLATE = Path(__file__).parent / "submission.yaml"
LABEL = re.compile(r"[A-Za-z]+_[A-Za-z0-9]+_task6_[1-4]")
OPEN = "FILL_IN"
NOTE = (
    "The official key list of DCASE 2026 Task 6 was not at hand when this command was written. Compare the "
    "meta file with the task page before you submit."
)
_PLACE = re.compile(r"\$\{([^}\n]*)\}")
_UNCLOSED = re.compile(r"\$\{[^}]*$")
_NO_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises at values that are not what their tags say, and what lists in themselves end in."""
_MOMENT = (2026, 1, 1, 0, 0, 0)
"""Of all entries, so that the same content gives the same file."""
_SLACK = 1e-3
_AGAIN = "Run the recipe again."
_OTHER = "Give predictions for the queries of this run."


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        path: The zip file.
        queries: In the prediction file.
        empty: Windows without a length, which cannot match anything.
        total: Parameters of encoder and model; None where the encoder's or the models are not known.
        trainable: Parameters that were trained and are needed to predict; None where models are not known.
        unresolved: Places of the meta file that are still to be filled in.
        protocol: Of the run, and what it is about.
        stand_ins: Which encoders others stand in for; empty if none, or if it is not known.
    """

    path: Path
    queries: int
    empty: int
    total: int | None
    trainable: int | None
    unresolved: tuple[str, ...]
    protocol: str
    stand_ins: str

    def text(self) -> str:
        """Return it as lines for people."""
        total, trained = ("unknown" if each is None else f"{each:,}" for each in (self.total, self.trainable))
        lines = [
            f"{self.path}: {self.queries} queries, {total} parameters in all, {trained} trained",
            f"Protocol {self.protocol}",
            *[f"Stand-ins: {self.stand_ins}. What they predict is no submission to the challenge."]
            * bool(self.stand_ins),
            *[f"{self.empty:,} windows were rounded to no length and cannot match anything"]
            * bool(self.empty),
            *(f"still to be filled in: {place}" for place in self.unresolved),
            NOTE,
        ]
        return "\n".join(lines)


def pack(
    finished: FinishedRun,
    label: str,
    output: Path,
    *,
    template: Path | None = None,
    predictions: Path | None = None,
) -> Packed:
    """Write the zip file of a submission: `<label>.output.jsonl` and `<label>.meta.yaml` in one folder.

    Args:
        finished: The run, and the member that is submitted.
        label: As the challenge wants it, e.g. Lee_KAIST_task6_1.
        output: The zip file.
        template: YAML to fill in, instead of the one that comes with amrbench.
        predictions: Prediction file for the run's queries, instead of the member's, e.g. of an ensemble. What
            made it is not known, so the meta file is filled in with what holds for the run's queries alone.

    Raises:
        RunError: The label is wrong, the predictions are not as they must be, the template cannot be
            read, or the output cannot be written.
        DataError: The prediction file cannot be read.
    """
    if not LABEL.fullmatch(label):
        raise RunError(
            f"the label {label!r} is not <Surname>_<Institute>_task6_<1 to 4>, as the challenge wants it."
        )
    folder, member = finished.folder, finished.member
    queries = read_annotations(folder / finished.results.truth)
    file = predictions or folder / member.predictions
    moments = read_predictions(file)
    refuse_faults(file, moments, queries, remedy=_OTHER if predictions else _AGAIN)
    total, trainable = (None, None) if predictions else _parameters(finished)
    known = {"label": label, **_of_the_run(finished)}
    if trainable is not None:
        known |= _of_the_member(finished, total, trainable)
    meta, unresolved = filled(template or TEMPLATE, known)
    rows = official(moments, queries)
    _write(output, {f"{label}/{label}.output.jsonl": rows, f"{label}/{label}.meta.yaml": meta})
    empty = sum(int((each.windows[:, 0] == each.windows[:, 1]).sum()) for each in moments)
    about = finished.about()
    return Packed(
        output,
        len(queries),
        empty,
        total,
        trainable,
        unresolved,
        protocol=f"{about['protocol']}: {about['protocol_about']}".removesuffix(": "),
        stand_ins="" if predictions else about["stand_ins"],
    )


def refuse_faults(
    file: Path, moments: Sequence[Moments], queries: Sequence[Query], *, remedy: str = "Run the recipe again."
) -> None:
    """Raise RunError unless predictions are those of all queries in order, inside recordings, best first."""
    wanted, given = [str(query.qid) for query in queries], [str(each.qid) for each in moments]
    missing = [qid for qid in wanted if qid not in set(given)]
    strange = [qid for qid in given if qid not in set(wanted)]
    if missing or strange:
        what = [f"without {some(missing)}"] * bool(missing) + [f"with {some(strange)}"] * bool(strange)
        raise RunError(f"{file}: not the queries of the run: {' and '.join(what)}. {remedy}")
    if wanted != given:
        raise RunError(f"{file}: the queries are not in the order of the annotations. {remedy}")
    for each, query in zip(moments, queries, strict=True):
        for fault, own in _faults(each, query):
            raise RunError(f"{file}: query {query.qid!r} {fault}. {own or remedy}")


def official(moments: Sequence[Moments], queries: Sequence[Query]) -> str:
    """Return predictions as the evaluator of the challenge reads them: JSON lines, windows without scores."""
    rows = [
        {
            "qid": query.qid,
            "query": query.query,
            "duration": query.duration,
            "vid": query.vid,
            "pred_relevant_windows": each.windows.tolist(),
        }
        for each, query in zip(moments, queries, strict=True)
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def filled(template: Path, known: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return a template with its places filled in, and the places that are still open.

    Raises:
        RunError: The template cannot be read, has a place that does not end, or is no YAML once it is filled
            in.
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
    text = _PLACE.sub(lambda place: known.get(place[1], OPEN), text)
    try:
        return text, tuple(_open(yaml.safe_load(text), ""))
    except _NO_YAML as error:
        raise RunError(
            f"{template}: is no YAML once it is filled in ({str(error).partition(chr(10))[0]}). Mend it."
        ) from error


def _open(value: object, place: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _open(each, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _open(each, f"{place}.{number}")
    elif isinstance(value, str) and OPEN in value:
        yield place


def _faults(moments: Moments, query: Query) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the windows of a query, each with its remedy if it has one of its own."""
    windows, scores = moments.windows, moments.scores
    if moments.vid != query.vid:
        yield f"is about {moments.vid!r}, not {query.vid!r}", ""
    if not len(windows):
        yield "has no window", ""
    elif windows.min() < -_SLACK or windows.max() > query.duration + _SLACK:
        outside = f"has a window outside of its recording of {query.duration:g} s"
        yield outside, "Let {use: clip, to: recording} come last in the recipe's 'ranking'."
    if scores is not None and (np.diff(scores) > 0).any():
        yield "is not sorted by score", ""


def _parameters(finished: FinishedRun) -> tuple[int | None, int]:
    model: Any = finished.criterion.model
    trained = sum(each.numel() for each in model.parameters())
    encoders = [part.parameters() for part in finished.recipe.features.encoders]
    known = [each for each in encoders if each is not None]
    return (sum(known) + trained if len(known) == len(encoders) else None), trained


def _of_the_run(finished: FinishedRun) -> dict[str, str]:
    """Return what holds for whatever answers the queries of a run."""
    results = finished.results
    return {"protocol": results.protocol, "version": results.versions.get("amrbench", OPEN)}


def _of_the_member(finished: FinishedRun, total: int | None, trainable: int) -> dict[str, str]:
    about = finished.about()
    found = {
        "recipe": about["recipe"],
        "member": about["member"],
        "about": json.dumps(finished.recipe.about),
        "encoder": finished.recipe.features.label,
        "ingredients": str(len(finished.member.ingredients) or 1),
        "trainable_parameters": str(trainable),
        **_figures(finished.member),
    }
    return found | ({} if total is None else {"total_parameters": str(total)})


def _figures(member: Row) -> dict[str, str]:
    return {name: f"{value:.2f}" for name, value in member.metrics.items()}


def _write(output: Path, content: Mapping[str, str]) -> None:
    try:
        with atomic_path(output) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in content.items():
                entry = zipfile.ZipInfo(name, _MOMENT)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, text.encode("utf-8"))
    except OSError as error:
        raise RunError(f"{output}: cannot be written ({error.strerror}). Choose another place.") from error
