"""What must be true of the splits of a run before anything is trained: `run`, `--dry-run` and `check` ask it.

Some of it shows in annotations alone, so it is asked before features are made, and again with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from amrbench.data.feature_dataset import is_trainable, refuse_other_length, refuse_shared
from amrbench.data.feature_source import FeatureSource
from amrbench.data.local_dataset import HasDatasetFolder
from amrbench.data.required_splits import FeatureRequest, RequiredSplits
from amrbench.errors import DataError, RunError, did_you_mean, some
from amrbench.functional.aligned_windows import (
    LONGEST,
    recording_key,
    scorable,
    sentence_key,
    unanswerable_note,
)
from amrbench.notes import note
from amrbench.slots.model import Limits
from amrbench.types import Query


@dataclass(frozen=True)
class KnownSplit:
    """What is known of a split.

    Attributes:
        request: The split.
        queries: All of them.
        hop: Seconds between two audio rows.
        source: Their features; None if they are not made yet.
    """

    request: FeatureRequest
    queries: Sequence[Query]
    hop: float
    source: FeatureSource | None = None

    @classmethod
    def of_source(cls, request: FeatureRequest, source: FeatureSource) -> KnownSplit:
        """Return a split with its features."""
        return cls(request, source.queries, source.hop, source)

    @property
    def location(self) -> str:
        """Return the annotation file, or what the split is."""
        return self.request.location

    def is_trainable(self, query: Query, limits: Limits) -> bool:
        """Whether a query has a window inside its feature rows; without features, their number is a guess."""
        rows = self.source.audio_length(query.vid) if self.source else int(query.duration / self.hop)
        return is_trainable(query, rows, self.hop, limits)


def annotated_splits(requests: Sequence[FeatureRequest]) -> dict[str, KnownSplit]:
    """Return the splits whose annotation files are present, without features, by `FeatureRequest.key`.

    Raises:
        DataError: An annotation file is wrong, or there is neither a recording nor a file with its features.
    """
    known = {}
    for request in requests:
        if isinstance(request.dataset, HasDatasetFolder):
            folder = request.dataset.dataset_folder
            if folder.annotations(request.split).is_file():
                hop, queries = request.features.encoders[0].build().hop, folder.queries(request.split)
                known[request.key] = KnownSplit(request, queries, hop)
    return known


def refuse_missing_recordings(splits: Iterable[KnownSplit]) -> None:
    """Raise DataError if a split lacks features as well as recordings to make them from."""
    for split in splits:
        if isinstance(split.request.dataset, HasDatasetFolder):
            folder, encoders = split.request.dataset.dataset_folder, split.request.features.encoders
            if not all(folder.feature_file(encoder).is_file() for encoder in encoders):
                folder.refuse_missing_audio(query.vid for query in split.queries)


def refuse_unusable(splits: RequiredSplits, known: Mapping[str, KnownSplit]) -> None:
    """Refuse splits with which a run would fail or mean nothing.

    Args:
        splits: Of the run.
        known: Those that are known, by `FeatureRequest.key`; nothing is asked of the others.

    Raises:
        DataError: No query can be trained on, choose an epoch or be scored, splits that are joined share a
            query, features are of another recording, or no query has a key of `slices`.
        RunError: A stage trains or selects on queries that are to be scored.
    """
    for split in known.values():
        if split.source:
            _refuse_other_lengths(split.source)
    for stage in splits.resolved.stages:
        train = [known[request.key] for request in splits.training(stage.data) if request.key in known]
        if len(train) == len(splits.training(stage.data)):
            refuse_shared([split.queries for split in train], [split.location for split in train])
            _refuse_untrainable(train, splits, f"so the stage {stage.name!r} has nothing to learn")
        if select := known.get(splits.selection(stage.data).key):
            _refuse_unscorable(select, "so no epoch can be chosen by it")
    soup, select = splits.resolved.soup, known.get(splits.selection("target").key)
    if select and soup.losses_read and splits.protocol.chains == "shared":
        _refuse_untrainable([select], splits, f"which the soup {soup.use!r} needs")
    report = known.get(splits.report.key)
    if report and any(query.windows for query in report.queries):
        _refuse_unscorable(report, "so there is nothing to score")
    refuse_known_answers(splits, {key: split.queries for key, split in known.items()})
    if report:
        _refuse_unknown_slices(splits, report)


def note_left_out(splits: RequiredSplits, known: Mapping[str, KnownSplit]) -> None:
    """Issue a note for each split with features of which training or scoring leaves out queries."""
    requests = {request.key for stage in splits.resolved.stages for request in splits.training(stage.data)}
    for split in (known[key] for key in known if key in requests and known[key].source):
        left_out = [
            str(query.qid) for query in split.queries if not split.is_trainable(query, splits.resolved.limits)
        ]
        if left_out:
            note(
                f"{split.location}: training leaves out {len(left_out):,} of {len(split.queries):,} queries, "
                "which have no window inside the feature rows of their recording: "
                f"{some(left_out, 3)}."
            )
    report = known.get(splits.report.key)
    if report and report.source and any(query.windows for query in report.queries):
        count = int((~scorable(report.queries)).sum())
        if count:
            note(f"{report.location}: of the split that is scored, {unanswerable_note(count)}")


def refuse_known_answers(splits: RequiredSplits, queries: Mapping[str, Sequence[Query]]) -> None:
    """Raise RunError if a stage trains or selects on queries that are to be scored.

    Args:
        splits: Of the run.
        queries: By `FeatureRequest.key`, of the splits that are known.
    """
    scored = _asked(queries.get(splits.report.key, ()))
    for stage in splits.resolved.stages:
        uses = [(request, "trains on") for request in splits.training(stage.data)]
        for request, use in (*uses, (splits.selection(stage.data), "selects on")):
            if shared := len(scored & _asked(queries.get(request.key, ()))):
                reported = splits.protocol.splits.report
                raise RunError(
                    f"{splits.protocol_file}: the split {reported!r} is to be scored, but the stage "
                    f"{stage.name!r} {use} {shared} of its {len(scored)} queries, so its metrics would mean "
                    f"nothing. Report another split, or give the role {stage.data!r} other data."
                )


def _asked(queries: Iterable[Query]) -> set[tuple[str, str]]:
    """Return recordings and sentences: published files give a query other ids, windows and durations."""
    return {(recording_key(query.vid), sentence_key(query.query)) for query in queries}


def _refuse_untrainable(train: Sequence[KnownSplit], splits: RequiredSplits, consequence: str) -> None:
    limits = splits.resolved.limits
    if not any(split.is_trainable(query, limits) for split in train for query in split.queries):
        queries = [query for split in train for query in split.queries]
        raise DataError(
            f"{', '.join(split.location for split in train)}: none of {len(queries):,} queries "
            f"({_with_windows(queries)}) has a window inside the feature rows of its recording, "
            f"{consequence}. Check the windows, and 'limits.frames' of the recipe."
        )


def _refuse_unscorable(split: KnownSplit, consequence: str) -> None:
    if not scorable(split.queries).any():
        raise DataError(
            f"{split.location}: none of the {len(split.queries):,} queries ({_with_windows(split.queries)}) "
            f"has a window longer than 0 s and at most {LONGEST:g} s, {consequence}. Correct the windows, or "
            "use another split."
        )


def _refuse_other_lengths(source: FeatureSource) -> None:
    # Moments are scaled by the duration of their own query, which may not be that of another.
    for query in {(query.vid, query.duration): query for query in source.queries}.values():
        refuse_other_length(source, query, source.audio_length(query.vid))


def _refuse_unknown_slices(splits: RequiredSplits, report: KnownSplit) -> None:
    known = {key for query in report.queries for key in query.extra}
    for key in splits.protocol.slices:
        if key not in known:
            raise DataError(
                f"{splits.protocol_file}: 'slices' names {key!r}, but no query of {report.location} has this "
                f"key.{did_you_mean(key, known)} Keys: {', '.join(sorted(known)) or 'none'}."
            )


def _with_windows(queries: Sequence[Query]) -> str:
    """Return the first queries with their windows, for a message."""
    return some([f"{query.qid}: {_windows(query)}" for query in queries], 3)


def _windows(query: Query) -> str:
    return ", ".join(f"[{start:g}, {end:g}]" for start, end in query.windows[:3]) or "no window"
