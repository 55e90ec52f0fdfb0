"""Which windows are scored: the predicted and the annotated ones of each query, paired by its id."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import DataError, some
from amrbench.functional.official_evaluator import Bools, RaggedArray
from amrbench.types import Moments, Query

LONGEST = 1500.0
"""Seconds; the official evaluator ignores longer annotated windows."""

_Item = TypeVar("_Item", Query, Moments)


@dataclass(frozen=True, eq=False)
class AlignedWindows:
    """The windows of the queries that are scored, before they are compared.

    Attributes:
        queries: The Q scored queries, in the order of the annotations.
        listed: Start, end and score of the predicted windows of each query, best first; the order replaces
            missing scores.
        truth: Start and end of the annotated windows of usable length; at least one for each query.
        has_scores: Whether all predicted windows have a score.
        missing: As in `Evaluation`, like the next two.
        extra: See `missing`.
        unanswerable: See `missing`.
    """

    queries: tuple[Query, ...]
    listed: RaggedArray
    truth: RaggedArray
    has_scores: bool
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    unanswerable: tuple[str, ...]


def align(predictions: Iterable[Moments], truth: Iterable[Query], *, partial: bool = False) -> AlignedWindows:
    """Return both windows of each scored query; arguments and errors are those of `score`."""
    annotated, predicted = _by_id(truth, "annotations"), _by_id(predictions, "predictions")
    pairs = [(query, predicted[qid]) for qid, query in annotated.items() if qid in predicted]
    _refuse_other_recordings(pairs)
    missing = tuple(qid for qid in annotated if qid not in predicted) if len(pairs) < len(annotated) else ()
    extra = tuple(qid for qid in predicted if qid not in annotated) if len(pairs) < len(predicted) else ()
    if (missing or extra) and not partial:
        unscored = f"{len(missing)} of {len(annotated)} queries have no prediction: {some(missing)}"
        unknown = f"{len(extra)} predictions belong to no annotated query: {some(extra)}"
        faults = [text for text, ids in ((unscored, missing), (unknown, extra)) if ids]
        raise DataError(
            f"{'; '.join(faults)}. Give one line for each query, or score the common ones "
            "('amrbench score --partial')."
        )
    if not pairs:
        raise DataError(
            "predictions and annotations have no query in common. Check that they belong together."
        )
    windows = annotated_windows([query for query, _ in pairs])
    kept = scored_rows(windows).tolist()
    return AlignedWindows(
        queries=tuple(pairs[row][0] for row in kept),
        listed=_listed([pairs[row][1] for row in kept]),
        truth=RaggedArray.of(windows.values, windows.counts[kept]),
        has_scores=all(pairs[row][1].scores is not None or not len(pairs[row][1].windows) for row in kept),
        missing=missing,
        extra=extra,
        unanswerable=tuple(str(pairs[row][0].qid) for row in np.flatnonzero(windows.counts == 0).tolist()),
    )


def scorable(queries: Sequence[Query]) -> Bools:
    """Return (Q,), True where a query has a window longer than 0 s and at most 1500 s to score by."""
    return annotated_windows(queries).counts > 0


def unanswerable_note(count: int) -> str:
    """Return the sentence about queries that are not scored, because they have no window to score by."""
    return f"{count:,} queries without a window longer than 0 s and at most {LONGEST:g} s were left out."


def scored_rows(annotated: RaggedArray) -> NDArray[np.int64]:
    """Return the queries with an annotated window of usable length; DataError if there are none."""
    kept = np.flatnonzero(annotated.counts)
    if not len(kept):
        raise DataError(
            f"none of the {len(annotated.counts)} queries has a window longer than 0 s and at most "
            f"{LONGEST:g} s to score by."
        )
    return kept


def same_recording(one: str, two: str) -> bool:
    """Whether two ids are of one recording, whichever way their letters are written."""
    return one == two or recording_key(one) == recording_key(two)


def recording_key(vid: str) -> str:
    """Return the id of a recording with composed letters: macOS decomposes them."""
    return unicodedata.normalize("NFC", vid)


def sentence_key(sentence: str) -> str:
    """Return a sentence without what makes no difference: case, spaces and a full stop at the end."""
    return " ".join(unicodedata.normalize("NFC", sentence).casefold().split()).removesuffix(".").rstrip()


def annotated_windows(queries: Sequence[Query]) -> RaggedArray:
    """Return the annotated windows of usable length; some queries may have none."""
    counts = np.fromiter((len(query.windows) for query in queries), np.int64, len(queries))
    flat = chain.from_iterable(chain.from_iterable(query.windows for query in queries))
    windows = RaggedArray.of(np.fromiter(flat, np.float64).reshape(-1, 2), counts)
    _refuse_bad(windows, [query.qid for query in queries], "annotated")
    length = windows.values[:, 1] - windows.values[:, 0]
    return windows.keep((length > 0) & (length <= LONGEST))


def _by_id(items: Iterable[_Item], side: str) -> dict[str, _Item]:
    entries = list(items)
    by_id = {str(item.qid): item for item in entries}
    if len(by_id) < len(entries):
        repeated = [qid for qid, count in Counter(str(item.qid) for item in entries).items() if count > 1]
        raise DataError(f"the {side} hold more than one entry for {some(repeated)}; keep one each.")
    return by_id


def _refuse_other_recordings(pairs: Sequence[tuple[Query, Moments]]) -> None:
    # Few ids differ at all, and the call that compares them in full costs more than the rest.
    other = [(one, two) for one, two in pairs if one.vid != two.vid and not same_recording(one.vid, two.vid)]
    if other:
        query, moments = other[0]
        raise DataError(
            f"{len(other)} of {len(pairs)} predictions are about other recordings than the queries with "
            f"their ids: the prediction for {str(query.qid)!r} is about {moments.vid!r}, the query about "
            f"{query.vid!r}. Ids may start again in each split; give the predictions for these "
            "annotations, with the ids of recordings as they are there."
        )


def _listed(predictions: Sequence[Moments]) -> RaggedArray:
    """Return start, end and score of all predicted windows; the order replaces missing scores."""
    counts = np.fromiter((len(moments.windows) for moments in predictions), np.int64, len(predictions))
    windows = np.concatenate([moments.windows for moments in predictions], dtype=np.float64)
    scores = [
        -np.arange(len(moments.windows)) if moments.scores is None else moments.scores
        for moments in predictions
    ]
    columns = np.column_stack([windows, np.concatenate(scores, dtype=np.float64)])
    listed = RaggedArray.of(columns, counts)
    _refuse_bad(listed, [moments.qid for moments in predictions], "predicted")
    return listed


def _refuse_bad(windows: RaggedArray, qids: Sequence[str | int], side: str) -> None:
    not_finite = ~np.isfinite(windows.values).all(axis=1)
    backward = windows.values[:, 1] < windows.values[:, 0]
    for wrong, fault in ((not_finite, "are not finite"), (backward, "end before they start")):
        if wrong.any():
            names = some(dict.fromkeys(qids[query] for query in windows.query[wrong].tolist()))
            raise DataError(f"{side} windows of {names} {fault}; correct them.")
